// CIFAR-10 and CIFAR-100 as published in binary. The files have no signature: what tells them is a size that is a
// whole number of records and labels in range at every record's place.
#include "data/cifar_binary.hpp"

#include <algorithm>
#include <optional>

#include "convoy/error.hpp"
#include "data/cifar.hpp"
#include "data/gzip.hpp"
#include "data/image_memory.hpp"
#include "data/parallel.hpp"
#include "data/text.hpp"

namespace convoy {
namespace {

using cifar::Part;
using cifar::Variant;

constexpr std::size_t kPublishedBatchBytes = 30'730'000;
constexpr std::size_t kPublishedTrainBytes = 153'700'000;
constexpr std::size_t kPublishedTestBytes = 30'740'000;

constexpr std::size_t label_bytes(Variant variant) { return variant == Variant::cifar10 ? 1 : 2; }
constexpr std::size_t record_bytes(Variant variant) { return label_bytes(variant) + cifar::kImageBytes; }

bool labels_in_range(Variant variant, const std::uint8_t* record) {
  return variant == Variant::cifar10 ? record[0] < 10 : record[0] < 20 && record[1] < 100;
}

// Looks at records spread over the file: enough to tell an accident (1 in 25 for a byte below 10) from a data set.
bool holds_records(const SourceFile& file, Variant variant) {
  constexpr std::uint64_t kLooks = 16;
  const std::uint64_t size = file.stored_size();
  const std::uint64_t records = size / record_bytes(variant);
  if (file.is_compressed() || records == 0 || size % record_bytes(variant) != 0) return false;
  for (std::uint64_t look = 0; look < std::min(kLooks, records); ++look) {
    const std::uint64_t record = records <= kLooks ? look : look * (records - 1) / (kLooks - 1);
    const Bytes label = file.piece(record * record_bytes(variant), label_bytes(variant));
    if (label.size != label_bytes(variant) || !labels_in_range(variant, label.data.get())) return false;
  }
  return true;
}

bool has_published_name(const SourceFile& file, Variant variant) {
  const std::string& name = file.name();
  if (variant == Variant::cifar100) return name == "train.bin" || name == "test.bin";
  return name.ends_with(".bin") && (cifar::training_batch_number(name) > 0 || name == "test_batch.bin");
}

std::size_t published_bytes(const SourceFile& file, Variant variant) {
  if (variant == Variant::cifar10) return kPublishedBatchBytes;
  return cifar::is_test_part(file.name()) ? kPublishedTestBytes : kPublishedTrainBytes;
}

// By contents where one file at least is sound; else by name, so that a damaged set is told what is wrong with it.
std::optional<Variant> variant_of(const Source& source) {
  constexpr Variant kVariants[] = {Variant::cifar10, Variant::cifar100};
  for (const auto& belongs : {holds_records, has_published_name}) {
    for (const Variant variant : kVariants) {
      for (const SourceFile& file : source.files) {
        if (belongs(file, variant)) return variant;
      }
    }
  }
  return std::nullopt;
}

Part part_of(const SourceFile& file, Variant variant) {
  const std::uint64_t size = file.stored_size();
  CONVOY_CHECK(!file.is_compressed(), "{}: plain records expected, found gzip data: decompress it first", file.shown());
  CONVOY_CHECK(size > 0 && size % record_bytes(variant) == 0, "{}: {} bytes expected (records of {}), found {}; {}",
               file.shown(), grouped(published_bytes(file, variant)), grouped(record_bytes(variant)), grouped(size),
               kDownloadAgain);
  CONVOY_CHECK(size <= kMaxFileBytes, "{}: at most {} bytes expected, found {}", file.shown(), grouped(kMaxFileBytes),
               grouped(size));
  return {&file, cifar::is_test_part(file.name()), size / record_bytes(variant), 0};
}

[[noreturn]] void fail_label(const SourceFile& file, Variant variant, std::size_t index, const std::uint8_t* record) {
  const bool first_is_wrong = record[0] >= (variant == Variant::cifar10 ? 10 : 20);
  const char* which = variant == Variant::cifar10 ? "" : first_is_wrong ? "coarse " : "fine ";
  fail("{}: record {}: a {}label from 0 to {} expected, found {}; {}", file.shown(), grouped(index), which,
       cifar::label_count(variant, first_is_wrong) - 1, record[first_is_wrong ? 0 : 1], kDownloadAgain);
}

void read_part(const Part& part, Variant variant, bool coarse, ImageSet& set) {
  constexpr std::size_t kRecordsAtATime = 64;  // 200 kB: stays in the cache between reading and rearranging
  const std::size_t stride = record_bytes(variant);
  const std::size_t label_place = variant == Variant::cifar100 && !coarse ? 1 : 0;
  std::size_t done = 0;
  part.file->for_each_piece(kRecordsAtATime * stride, [&](std::uint64_t, std::span<const std::uint8_t> bytes) {
    for (std::size_t at = 0; at + stride <= bytes.size() && done < part.count; at += stride, ++done) {
      const std::uint8_t* record = bytes.data() + at;
      if (!labels_in_range(variant, record)) fail_label(*part.file, variant, done, record);
      const std::size_t place = part.first + done;
      set.labels[place] = record[label_place];
      cifar::planes_to_pixels(record + label_bytes(variant), set.images.data() + place * cifar::kImageBytes);
    }
  });
  CONVOY_CHECK(done == part.count, "{}: {} records expected, found {}: it changed while it was read",
               part.file->shown(), grouped(part.count), grouped(done));
}

std::vector<std::string> class_names(const Source& source, Variant variant, bool coarse) {
  const char* name = variant == Variant::cifar10 ? "batches.meta.txt"
                     : coarse                    ? "coarse_label_names.txt"
                                                 : "fine_label_names.txt";
  const SourceFile* file = source.find(name);
  if (file == nullptr) return cifar::default_class_names(variant, coarse);
  std::vector<std::string> names = text_lines(file->contents().view());
  const int expected = cifar::label_count(variant, coarse);
  CONVOY_CHECK(names.size() == static_cast<std::size_t>(expected), "{}: {} class names expected, found {}",
               file->shown(), expected, names.size());
  return names;
}

}  // namespace

bool recognises_cifar_binary(const Source& source) { return variant_of(source).has_value(); }

Dataset read_cifar_binary(const Source& source, const LoadOptions& options) {
  const std::optional<Variant> variant = variant_of(source);
  CONVOY_CHECK(variant.has_value(), "{}: CIFAR records expected, found none", source.path);
  if (options.coarse_labels && *variant == Variant::cifar10) {
    fail_usage("{}: coarse labels expected, found CIFAR-10, which has none: leave out --labels coarse", source.path);
  }
  std::vector<Part> parts;
  for (const SourceFile& file : source.files) {
    if (has_published_name(file, *variant) || holds_records(file, *variant)) parts.push_back(part_of(file, *variant));
  }
  cifar::arrange(source.path, *variant, source.kind, parts);

  Dataset data;
  data.name = *variant == Variant::cifar10 ? "CIFAR-10 (binary)" : "CIFAR-100 (binary)";
  data.class_names = class_names(source, *variant, options.coarse_labels);
  make_room(data.train, cifar::kImage, cifar::images_in(parts, false));
  make_room(data.test, cifar::kImage, cifar::images_in(parts, true));
  parallel_for(parts.size(), [&](std::size_t i) {
    read_part(parts[i], *variant, options.coarse_labels, parts[i].is_test ? data.test : data.train);
  });
  return data;
}

}  // namespace convoy
