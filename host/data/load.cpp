// The table of readers, and which of them a path is for.
#include "data/load.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

#include "convoy/error.hpp"
#include "data/checksum.hpp"
#include "data/cifar_binary.hpp"
#include "data/cifar_pickle.hpp"
#include "data/gzip.hpp"
#include "data/idx.hpp"
#include "data/image_memory.hpp"
#include "data/parallel.hpp"
#include "data/picture_folder.hpp"
#include "data/resize.hpp"
#include "data/synthetic.hpp"
#include "data/text.hpp"

namespace convoy {
namespace {

// Formats with a signature first; CIFAR's binary files have none, and pictures lie beside nothing else.
constexpr Reader kReaders[] = {
    {"IDX", recognises_idx, read_idx},
    {"CIFAR pickles", recognises_cifar_pickle, read_cifar_pickle},
    {"CIFAR binary", recognises_cifar_binary, read_cifar_binary},
    {"folder of pictures by class", recognises_picture_folder, read_picture_folder},
};

Dataset finish(Dataset data, const std::string& origin) {
  data.origin = origin;
  data.checksum = checksum(data);
  return data;
}

// Pictures of any size become what a network takes; so do synthetic ones.
void bring_to(ImageSet& set, Extent wanted) {
  if (wanted.channels == 0) wanted.channels = set.image.channels;
  if (wanted == set.image) return;
  ImageSet brought;
  make_room(brought, wanted, set.count());
  brought.labels = set.labels;
  const auto from = static_cast<std::size_t>(set.image.elements()), to = static_cast<std::size_t>(wanted.elements());
  parallel_for(set.count(), [&](std::size_t i) {
    const Picture picture{set.image, {set.at(i), set.at(i) + from}};
    std::ranges::copy(fit_to(picture, wanted), brought.images.data() + i * to);
  });
  set = std::move(brought);
}

[[noreturn]] void fail_unknown(const Source& source) {
  const auto unread = std::ranges::find_if(source.files, &SourceFile::is_compressed);
  if (unread != source.files.end() && !archives_missing().empty())
    fail_usage("{}: {}", unread->shown(), archives_missing());
  std::string known;
  for (const Reader& reader : kReaders) known += fmt::format("{}{}", known.empty() ? "" : ", ", reader.name);
  fail_usage("{}: no known data set ({}; plain or .tar.gz) expected, found {} of other kinds", source.path, known,
             source.files.size() == 1 ? "1 file" : grouped(source.files.size()) + " files");
}

bool may_be_archive(const std::string& file) { return is_tar(SourceFile(file, file).head().view()); }

// The data sets inside a folder that is none itself: folders, or else archives (only looked at by their heads).
std::vector<std::string> candidates_in(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<std::string> folders, archives;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string path = entry.path().string();
    std::error_code ignored;
    if (entry.is_directory(ignored) && recognise(open_source(path)) != nullptr) folders.push_back(path);
    if (entry.is_regular_file(ignored) && may_be_archive(path)) archives.push_back(path);
  }
  std::vector<std::string>& found = folders.empty() ? archives : folders;
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

std::span<const Reader> readers() { return kReaders; }

const Reader* recognise(const Source& source) {
  const auto* found = std::find_if(std::begin(kReaders), std::end(kReaders),
                                   [&](const Reader& reader) { return reader.recognises(source); });
  return found == std::end(kReaders) ? nullptr : found;
}

Dataset load_dataset(const Source& source, const LoadOptions& options) {
  const Reader* reader = recognise(source);
  if (reader == nullptr) fail_unknown(source);
  return finish(reader->read(source, options), options.path);
}

Dataset load_dataset(const LoadOptions& options) {
  if (is_synthetic(options.path)) {
    if (options.coarse_labels) fail_usage("synthetic data have no coarse labels: leave out --labels coarse");
    Dataset data = make_synthetic(synthetic_count(options.path), options.seed);
    for (ImageSet* part : {&data.train, &data.test}) bring_to(*part, options.pictures);
    return finish(std::move(data), options.path);
  }
  Source source = open_source(options.path);
  if (recognise(source) == nullptr && source.kind == SourceKind::folder) {
    check_has_train(source);
    const std::vector<std::string> inside = candidates_in(options.path);
    if (inside.size() > 1) {
      fail_usage("{}: one data set expected, found {}: name one of them", options.path, fmt::join(inside, ", "));
    }
    if (inside.empty()) check_has_classes(source);
    if (inside.size() == 1) source = open_source(inside.front());
  }
  return load_dataset(source, options);
}

bool holds_dataset(const std::string& folder) {
  return recognise(open_source(folder)) != nullptr || !candidates_in(folder).empty();
}

}  // namespace convoy
