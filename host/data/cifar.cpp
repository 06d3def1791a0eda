// What the two published encodings of CIFAR-10 and CIFAR-100 share.
#include "data/cifar.hpp"

#include <algorithm>

#include "convoy/error.hpp"
#include "data/text.hpp"

namespace convoy::cifar {
namespace {

constexpr std::uint64_t kPublishedBatch = 10'000;  // images in each of CIFAR-10's files
constexpr int kPublishedBatches = 5;

std::uint64_t lay_out(std::vector<Part>& parts, bool test) {
  std::uint64_t total = 0;
  for (Part& part : parts) {
    if (part.is_test != test) continue;
    part.first = total;
    total += part.count;
  }
  return total;
}

void check_batches(const std::string& path, const std::vector<Part>& parts) {
  std::uint64_t largest = 0;
  int number = 0;
  for (const Part& part : parts) {
    if (training_batch_number(part.file->name()) > 0) largest = std::max(largest, part.count);
  }
  for (const Part& part : parts) {
    const int found = training_batch_number(part.file->name());
    if (found == 0) continue;
    CONVOY_CHECK(found == ++number, "{}: data_batch_{} expected, found data_batch_{}: a file is missing", path, number,
                 found);
    CONVOY_CHECK(part.count == largest, "{}: {} images expected as in the other batches, found {}; {}",
                 part.file->shown(), grouped(largest), grouped(part.count), kDownloadAgain);
  }
  CONVOY_CHECK(largest != kPublishedBatch || number == kPublishedBatches,
               "{}: {} training batches expected, found {}: a file is missing", path, kPublishedBatches, number);
}

}  // namespace

void planes_to_pixels(const std::uint8_t* planes, std::uint8_t* pixels) {
  for (std::size_t i = 0; i < kPlaneBytes; ++i) {
    pixels[3 * i] = planes[i];
    pixels[3 * i + 1] = planes[kPlaneBytes + i];
    pixels[3 * i + 2] = planes[2 * kPlaneBytes + i];
  }
}

std::vector<std::string> default_class_names(Variant variant, bool coarse) {
  if (variant == Variant::cifar10) {
    return {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
  }
  std::vector<std::string> names;
  for (int i = 0; i < label_count(variant, coarse); ++i) names.push_back(fmt::format("class {}", i));
  return names;
}

int label_count(Variant variant, bool coarse) {
  if (variant == Variant::cifar10) return 10;
  return coarse ? 20 : 100;
}

int training_batch_number(std::string_view name) {
  constexpr std::string_view kPrefix = "data_batch_";
  if (!name.starts_with(kPrefix) || name.size() == kPrefix.size()) return 0;
  const char digit = name[kPrefix.size()];
  const bool ends = name.size() == kPrefix.size() + 1 || name[kPrefix.size() + 1] == '.';
  return ends && digit >= '1' && digit <= '9' ? digit - '0' : 0;
}

bool is_test_part(std::string_view name) { return name.find("test") != std::string_view::npos; }

void arrange(const std::string& path, Variant variant, SourceKind kind, std::vector<Part>& parts) {
  std::stable_sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
    return training_batch_number(a.file->name()) < training_batch_number(b.file->name());
  });
  const std::uint64_t train = lay_out(parts, false);
  const std::uint64_t test = lay_out(parts, true);
  if (kind == SourceKind::file) {  // one file on its own: whatever it is, it is what there is
    parts.front().is_test = false;
    return;
  }
  if (variant == Variant::cifar10) check_batches(path, parts);
  CONVOY_CHECK(train > 0, "{}: training images expected, found only test images: a file is missing", path);
  CONVOY_CHECK(test > 0, "{}: test images expected, found only training images: a file is missing", path);
}

std::uint64_t images_in(const std::vector<Part>& parts, bool test) {
  std::uint64_t count = 0;
  for (const Part& part : parts) count += part.is_test == test ? part.count : 0;
  return count;
}

}  // namespace convoy::cifar
