// IDX files (LeCun, Cortes and Burges): 00 00 08 D, D big-endian sizes of 32 bits, then the uint8 values.
#include "data/idx.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>

#include "convoy/error.hpp"
#include "data/gzip.hpp"
#include "data/image_memory.hpp"
#include "data/parallel.hpp"
#include "data/text.hpp"

namespace convoy {
namespace {

constexpr int kClasses = 10;
constexpr std::uint32_t kSide = 32;  // what images are padded to

enum class Content : std::uint8_t { neither, images, labels };

Content content_of(const SourceFile& file) {
  constexpr std::uint8_t kImagesMagic[] = {0, 0, 8, 3};
  constexpr std::uint8_t kLabelsMagic[] = {0, 0, 8, 1};
  const auto head = file.head().view();
  if (head.size() < 4) return Content::neither;
  if (std::memcmp(head.data(), kImagesMagic, 4) == 0) return Content::images;
  return std::memcmp(head.data(), kLabelsMagic, 4) == 0 ? Content::labels : Content::neither;
}

// A damaged file of a set is known by what its published name says.
Content content_by_name(const SourceFile& file) {
  if (file.name().find("-images-idx3") != std::string::npos) return Content::images;
  return file.name().find("-labels-idx1") != std::string::npos ? Content::labels : Content::neither;
}

bool is_test_part(const SourceFile& file) {
  return file.name().starts_with("t10k") || file.name().find("test") != std::string::npos;
}

std::uint32_t big_endian_32(const std::uint8_t* p) {
  return (std::uint32_t{p[0]} << 24) | (std::uint32_t{p[1]} << 16) | (std::uint32_t{p[2]} << 8) | p[3];
}

struct Part {
  const SourceFile* images = nullptr;
  const SourceFile* labels = nullptr;
};

void assign(const SourceFile*& place, const SourceFile& file) {
  if (place != nullptr) {
    fail("{}: one such file expected, found {} too: remove one of them", place->shown(), file.shown());
  }
  place = &file;
}

// The values after the header; the sizes that it names.
struct Values {
  Bytes file;
  std::array<std::uint32_t, 3> sizes{1, 1, 1};
  std::span<const std::uint8_t> values;
};

Values read_values(const SourceFile& source, Content content) {
  const std::size_t dimensions = content == Content::images ? 3 : 1;
  const std::size_t header = 4 + 4 * dimensions;
  if (content_of(source) != content) {
    const auto head = source.head().view();
    fail("{}: IDX data beginning 00 00 08 {:02x} expected, found {}; {}", source.shown(), dimensions,
         head.empty() ? std::string("nothing readable")
                      : fmt::format("{:02x}", fmt::join(head.first(std::min<std::size_t>(4, head.size())), " ")),
         kDownloadAgain);
  }
  CONVOY_CHECK(source.stored_size() <= kMaxFileBytes, "{}: at most {} bytes expected, found {}", source.shown(),
               grouped(kMaxFileBytes), grouped(source.stored_size()));
  Values result;
  result.file = source.contents();
  const auto bytes = result.file.view();
  CONVOY_CHECK(bytes.size() >= header, "{}: a header of {} bytes expected, found {}; {}", source.shown(), header,
               bytes.size(), kDownloadAgain);
  std::uint64_t expected = 1;
  for (std::size_t i = 0; i < dimensions; ++i) {
    result.sizes[i] = big_endian_32(bytes.data() + 4 + 4 * i);
    // Sides first, so that the product below cannot overflow.
    CONVOY_CHECK(i == 0 || (result.sizes[i] > 0 && result.sizes[i] <= kSide),
                 "{}: images of at most {} x {} pixels expected, found a side of {}", source.shown(), kSide, kSide,
                 grouped(result.sizes[i]));
    expected *= result.sizes[i];
  }
  CONVOY_CHECK(expected > 0, "{}: data expected, found a count of 0", source.shown());
  CONVOY_CHECK(bytes.size() == header + expected, "{}: {} bytes expected by its header, found {}; {}", source.shown(),
               grouped(header + expected), grouped(bytes.size()), kDownloadAgain);
  result.values = bytes.subspan(header);
  return result;
}

ImageSet read_part(const Part& part) {
  const Values images = read_values(*part.images, Content::images);
  const Values labels = read_values(*part.labels, Content::labels);
  const std::size_t count = images.sizes[0];
  CONVOY_CHECK(labels.sizes[0] == count, "{}: {} labels expected as {} has images, found {}", part.labels->shown(),
               grouped(count), part.images->name(), grouped(labels.sizes[0]));
  ImageSet set;
  make_room(set, {static_cast<int>(kSide), static_cast<int>(kSide), 1}, count);  // zeros: the padding
  for (std::size_t i = 0; i < count; ++i) {
    CONVOY_CHECK(labels.values[i] < kClasses, "{}: entry {}: a label from 0 to {} expected, found {}; {}",
                 part.labels->shown(), grouped(i), kClasses - 1, labels.values[i], kDownloadAgain);
    set.labels[i] = labels.values[i];
  }
  const std::size_t height = images.sizes[1], width = images.sizes[2];
  const std::size_t top = (kSide - height) / 2, left = (kSide - width) / 2;
  const std::uint8_t* from = images.values.data();
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t y = 0; y < height; ++y, from += width) {
      std::memcpy(set.images.data() + (i * kSide + top + y) * kSide + left, from, width);
    }
  }
  return set;
}

// Both published sets have the same shapes; what tells them is their labels.
constexpr std::array<std::int32_t, 20> kFashionLabels{9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9, 1, 0, 6, 4};
constexpr std::array<std::int32_t, 20> kMnistLabels{5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7, 2, 8, 6, 9};

bool begins_with(const ImageSet& set, const std::array<std::int32_t, 20>& labels) {
  return set.count() >= labels.size() && std::equal(labels.begin(), labels.end(), set.labels.begin());
}

bool path_names_fashion(std::string path) {
  std::transform(path.begin(), path.end(), path.begin(), [](unsigned char c) { return std::tolower(c); });
  return path.find("fashion") != std::string::npos;
}

void name_classes(const std::string& path, Dataset& data) {
  const bool is_mnist = begins_with(data.train, kMnistLabels);
  if (begins_with(data.train, kFashionLabels) || (!is_mnist && path_names_fashion(path))) {
    data.name = "Fashion-MNIST (IDX)";
    data.class_names = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                        "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
    return;
  }
  data.name = is_mnist ? "MNIST (IDX)" : "IDX images";
  for (int i = 0; i < kClasses; ++i) data.class_names.push_back(std::to_string(i));
}

}  // namespace

bool recognises_idx(const Source& source) {
  return std::any_of(source.files.begin(), source.files.end(), [](const SourceFile& file) {
    return content_of(file) != Content::neither || content_by_name(file) != Content::neither;
  });
}

Dataset read_idx(const Source& source, const LoadOptions& options) {
  if (source.kind == SourceKind::file) {
    fail_usage(
        "{}: a folder of four IDX files (train and t10k, images and labels) expected, found one file: give "
        "its folder",
        source.path);
  }
  if (options.coarse_labels) {
    fail_usage("{}: coarse labels expected, found IDX data, which has none: leave out --labels coarse", source.path);
  }
  std::array<Part, 2> parts;  // train, test
  for (const SourceFile& file : source.files) {
    Content content = content_of(file);
    if (content == Content::neither) content = content_by_name(file);
    Part& part = parts[is_test_part(file) ? 1 : 0];
    if (content == Content::images) assign(part.images, file);
    if (content == Content::labels) assign(part.labels, file);
  }
  constexpr const char* kFiles[2][2] = {{"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
                                        {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"}};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    for (const bool images : {true, false}) {
      CONVOY_CHECK((images ? parts[i].images : parts[i].labels) != nullptr,
                   "{}: {} (or .gz) expected, found none: a file is missing", source.path, kFiles[i][images ? 0 : 1]);
    }
  }
  std::array<ImageSet, 2> sets;
  parallel_for(parts.size(), [&](std::size_t i) { sets[i] = read_part(parts[i]); });
  Dataset data;
  data.train = std::move(sets[0]);
  data.test = std::move(sets[1]);
  name_classes(source.path, data);
  return data;
}

}  // namespace convoy
