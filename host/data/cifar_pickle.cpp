// CIFAR-10 and CIFAR-100 as published for Python, read by the pickle reader of pickle.hpp.
#include "data/cifar_pickle.hpp"

#include <algorithm>
#include <optional>

#include "convoy/error.hpp"
#include "data/cifar.hpp"
#include "data/gzip.hpp"
#include "data/image_memory.hpp"
#include "data/parallel.hpp"
#include "data/pickle.hpp"
#include "data/text.hpp"

namespace convoy {
namespace {

using cifar::Part;
using cifar::Variant;

// The published names without ending, by which a damaged file is known to belong to the set.
bool has_published_name(const std::string& name) {
  constexpr std::string_view kNames[] = {"test_batch", "batches.meta", "train", "test", "meta"};
  return (cifar::training_batch_number(name) > 0 && name.find('.') == std::string::npos) ||
         std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

// One file of the set, opened: its bytes stay alive as long as the pickle that looks into them.
struct Opened {
  Bytes bytes;
  std::optional<Pickle> pickle;
  bool holds_images() const { return pickle->find("data") != nullptr; }
  Variant variant() const {
    return pickle->find("fine_labels") != nullptr || pickle->find("fine_label_names") != nullptr ? Variant::cifar100
                                                                                                 : Variant::cifar10;
  }
};

Opened open_pickle(const SourceFile& file) {
  if (!Pickle::recognises(file.head().view())) {
    fail("{}: a Python pickle (first bytes 80 02 7d) expected, found {}; {}", file.shown(),
         file.stored_size() == 0 ? "an empty file" : "something else", kDownloadAgain);
  }
  CONVOY_CHECK(file.stored_size() <= kMaxFileBytes, "{}: at most {} bytes expected, found {}", file.shown(),
               grouped(kMaxFileBytes), grouped(file.stored_size()));
  Opened opened;
  opened.bytes = file.contents();
  opened.pickle.emplace(opened.bytes.view(), file.shown());
  return opened;
}

std::string_view label_key(Variant variant, bool coarse) {
  if (variant == Variant::cifar10) return "labels";
  return coarse ? "coarse_labels" : "fine_labels";
}

Part part_of(const SourceFile& file, const Pickle& pickle) {
  const PickleArray& data = pickle.array("data");
  CONVOY_CHECK(data.columns == static_cast<std::int64_t>(cifar::kImageBytes),
               "{}: images of {} bytes expected, found rows of {}", file.shown(), grouped(cifar::kImageBytes),
               grouped(static_cast<std::uint64_t>(data.columns)));
  CONVOY_CHECK(data.rows > 0, "{}: images expected, found none", file.shown());
  return {&file, cifar::is_test_part(file.name()), static_cast<std::uint64_t>(data.rows), 0};
}

void read_part(const Part& part, const Pickle& pickle, Variant variant, bool coarse, ImageSet& set) {
  const std::string_view key = label_key(variant, coarse);
  const std::span<const PickleValue> labels = pickle.list(key);
  CONVOY_CHECK(labels.size() == part.count, "{}: {} labels expected in '{}', found {}", pickle.name(),
               grouped(part.count), key, grouped(labels.size()));
  const int limit = cifar::label_count(variant, coarse);
  const std::uint8_t* planes = pickle.array("data").bytes.data();
  for (std::size_t i = 0; i < part.count; ++i) {
    CONVOY_CHECK(labels[i].kind == PickleValue::Kind::integer, "{}: '{}', entry {}: an integer expected", pickle.name(),
                 key, grouped(i));
    CONVOY_CHECK(labels[i].integer >= 0 && labels[i].integer < limit,
                 "{}: '{}', entry {}: a label from 0 to {} expected, found {}", pickle.name(), key, grouped(i),
                 limit - 1, labels[i].integer);
    set.labels[part.first + i] = static_cast<std::int32_t>(labels[i].integer);
    cifar::planes_to_pixels(planes + i * cifar::kImageBytes, set.images.data() + (part.first + i) * cifar::kImageBytes);
  }
}

std::vector<std::string> class_names(const std::vector<Opened>& files, Variant variant, bool coarse) {
  const std::string_view key = variant == Variant::cifar10 ? "label_names"
                               : coarse                    ? "coarse_label_names"
                                                           : "fine_label_names";
  for (const Opened& file : files) {
    if (file.pickle->find(key) == nullptr) continue;
    std::vector<std::string> names;
    for (const PickleValue& value : file.pickle->list(key)) {
      CONVOY_CHECK(value.kind == PickleValue::Kind::string, "{}: strings expected in '{}'", file.pickle->name(), key);
      names.push_back(printable(value.text));
    }
    const int expected = cifar::label_count(variant, coarse);
    CONVOY_CHECK(names.size() == static_cast<std::size_t>(expected), "{}: {} class names expected, found {}",
                 file.pickle->name(), expected, names.size());
    return names;
  }
  return cifar::default_class_names(variant, coarse);
}

}  // namespace

bool recognises_cifar_pickle(const Source& source) {
  return std::any_of(source.files.begin(), source.files.end(),
                     [](const SourceFile& file) { return Pickle::recognises(file.head().view()); });
}

Dataset read_cifar_pickle(const Source& source, const LoadOptions& options) {
  std::vector<const SourceFile*> chosen;
  for (const SourceFile& file : source.files) {
    if (Pickle::recognises(file.head().view()) || has_published_name(file.name())) chosen.push_back(&file);
  }
  std::vector<Opened> opened(chosen.size());
  parallel_for(chosen.size(), [&](std::size_t i) { opened[i] = open_pickle(*chosen[i]); });

  std::vector<Part> parts;
  std::optional<Variant> variant;
  for (std::size_t i = 0; i < opened.size(); ++i) {
    if (!opened[i].holds_images()) continue;
    CONVOY_CHECK(!variant || *variant == opened[i].variant(), "{}: one data set expected, found CIFAR-10 and CIFAR-100",
                 source.path);
    variant = opened[i].variant();
    parts.push_back(part_of(*chosen[i], *opened[i].pickle));
  }
  CONVOY_CHECK(variant.has_value(), "{}: pickles with an entry 'data' expected, found none", source.path);
  if (options.coarse_labels && *variant == Variant::cifar10) {
    fail_usage("{}: coarse labels expected, found CIFAR-10, which has none: leave out --labels coarse", source.path);
  }
  cifar::arrange(source.path, *variant, source.kind, parts);

  Dataset data;
  data.name = *variant == Variant::cifar10 ? "CIFAR-10 (Python)" : "CIFAR-100 (Python)";
  data.class_names = class_names(opened, *variant, options.coarse_labels);
  make_room(data.train, cifar::kImage, cifar::images_in(parts, false));
  make_room(data.test, cifar::kImage, cifar::images_in(parts, true));
  parallel_for(parts.size(), [&](std::size_t i) {
    const auto place = std::find(chosen.begin(), chosen.end(), parts[i].file) - chosen.begin();
    read_part(parts[i], *opened[static_cast<std::size_t>(place)].pickle, *variant, options.coarse_labels,
              parts[i].is_test ? data.test : data.train);
  });
  return data;
}

}  // namespace convoy
