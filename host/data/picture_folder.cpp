// Lists the files of every class, then decodes them side by side.
#include "data/picture_folder.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <utility>

#include "convoy/error.hpp"
#include "data/decoded_cache.hpp"
#include "data/image_file.hpp"
#include "data/image_memory.hpp"
#include "data/parallel.hpp"
#include "data/resize.hpp"
#include "data/split.hpp"
#include "data/text.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;

constexpr double kHeldOut = 0.1;                  // of each class, where there is no test folder
constexpr std::uint64_t kHeldOutSeed = 20090408;  // of which pictures: the same in every run; a run's seed is another

struct LabelledFile {
  std::string path;
  std::int32_t label = 0;
};

// train/ or test/: its classes and all their pictures, both sorted.
struct Part {
  std::string folder;
  std::vector<std::string> class_names;
  std::vector<LabelledFile> files;
};

std::string name_of(const std::string& path) { return fs::path(path).filename().string(); }

// What file managers leave behind.
bool is_ignored(const std::string& name) {
  return name.starts_with(".") || name == "Thumbs.db" || name == "desktop.ini";
}

std::optional<std::string> folder_named(const std::vector<std::string>& folders, std::string_view name) {
  const auto found = std::find_if(folders.begin(), folders.end(), [&](const auto& f) { return name_of(f) == name; });
  return found == folders.end() ? std::nullopt : std::optional(*found);
}

// Where there is no test/, what others call the pictures that nobody trains on is read as such.
std::optional<std::string> validation_folder(const std::vector<std::string>& folders) {
  for (const std::string_view name : {"val", "valid", "validation"}) {
    if (auto found = folder_named(folders, name)) return found;
  }
  return std::nullopt;
}

std::vector<std::string> folders_in(const std::string& folder) {
  std::vector<std::string> folders;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory() && !is_ignored(name_of(entry.path()))) folders.push_back(entry.path().string());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

bool holds_pictures(const std::string& folder) {
  std::error_code problem;
  for (fs::directory_iterator entry(folder, problem), end; !problem && entry != end; entry.increment(problem)) {
    if (has_picture_name(entry->path().filename().string())) return true;
  }
  return false;
}

// Class names go into weights files, tables and JSON.
void check_class_name(const std::string& folder) {
  const std::string name = name_of(folder);
  const bool has_control = std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < 32 || c == 127; });
  try {
    if (!has_control && !nlohmann::json(name).dump().empty()) return;
  } catch (const nlohmann::json::exception&) {
    // not UTF-8
  }
  fail("{}: a class name of printable UTF-8 expected: rename the folder", printable(folder));
}

void add_class(const std::string& folder, Part& part) {
  check_class_name(folder);
  const auto label = static_cast<std::int32_t>(part.class_names.size());
  const std::size_t before = part.files.size();
  part.class_names.push_back(name_of(folder));
  for (fs::recursive_directory_iterator entry(folder), end; entry != end; ++entry) {
    const std::string path = entry->path().string();
    const bool is_folder = entry->is_directory();
    if (is_ignored(name_of(path))) {
      if (is_folder) entry.disable_recursion_pending();
      continue;
    }
    if (is_folder) continue;
    CONVOY_CHECK(has_picture_name(path), "{}: a .png, .jpg or .jpeg file expected: convert it or take it away", path);
    part.files.push_back({path, label});
  }
  CONVOY_CHECK(part.files.size() > before, "{}: a class without pictures: add some, or remove the folder", folder);
  std::sort(part.files.begin() + static_cast<std::ptrdiff_t>(before), part.files.end(),
            [](const LabelledFile& a, const LabelledFile& b) { return a.path < b.path; });
}

Part list_part(const std::string& folder, const std::vector<std::string>& classes) {
  Part part;
  part.folder = folder;
  try {
    for (const std::string& one : classes) add_class(one, part);
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      CONVOY_CHECK(entry.is_directory() || !has_picture_name(entry.path().string()),
                   "{}: a picture beside the classes' folders: put it into one of them", entry.path().string());
    }
  } catch (const fs::filesystem_error& error) {
    fail("{}: cannot be read: {}", error.path1().string(), error.code().message());
  }
  CONVOY_CHECK(part.class_names.size() >= 2, "{}: a folder for each of at least 2 classes expected, found {}", folder,
               part.class_names.size());
  return part;
}

void check_same_classes(const Part& train, const Part& test) {
  const auto lacks = [](const Part& part, const std::string& name) {
    return !std::binary_search(part.class_names.begin(), part.class_names.end(), name);
  };
  for (const std::string& name : test.class_names) {
    CONVOY_CHECK(!lacks(train, name), "{}/{}: a class that {} does not have: add or remove its folder", test.folder,
                 name, train.folder);
  }
  for (const std::string& name : train.class_names) {
    CONVOY_CHECK(!lacks(test, name), "{}/{}: a class that {} does not have: add or remove its folder", train.folder,
                 name, test.folder);
  }
}

// Everything that decides which pixels come out, but for the files' contents themselves.
std::string content_of(const std::vector<const Part*>& parts) {
  std::string text = fmt::format("pictures, 1\n{}\n", fmt::join(picture_formats(), "\n"));
  for (const Part* part : parts) {
    for (const LabelledFile& file : part->files) {
      std::error_code problem;
      const auto size = fs::file_size(file.path, problem);
      const auto time = fs::last_write_time(file.path, problem);
      if (problem) fail("{}: cannot be read: {}", file.path, problem.message());
      text += fmt::format("{}\n{} {}\n", file.path, size, time.time_since_epoch().count());
    }
  }
  return text;
}

// Channels 1 or 3; `is_colour`, where not null, is set where a picture is.
ImageSet decode(const Part& part, const Extent& wanted, bool& is_colour) {
  ImageSet set;
  make_room(set, wanted, part.files.size());
  const auto bytes = static_cast<std::size_t>(wanted.elements());
  std::vector<std::uint8_t> in_colour(part.files.size());
  parallel_for(part.files.size(), [&](std::size_t i) {
    const Picture picture = read_picture(part.files[i].path);
    in_colour[i] = picture.extent.channels == 3;
    const std::vector<std::uint8_t> pixels = fit_to(picture, wanted);
    std::memcpy(set.images.data() + i * bytes, pixels.data(), bytes);
    set.labels[i] = part.files[i].label;
  });
  is_colour = is_colour || std::find(in_colour.begin(), in_colour.end(), 1) != in_colour.end();
  return set;
}

// [N,H,W,3] of equal channels -> [N,H,W,1]
void keep_one_channel(ImageSet& set) {
  if (set.image.channels == 1) return;
  for (std::size_t i = 0; i < set.images.size() / 3; ++i) set.images[i] = set.images[3 * i];
  set.images.resize(set.images.size() / 3);
  set.image.channels = 1;
}

void hold_out_test_images(const Part& train, Dataset& data) {
  const std::size_t all = data.train.count();
  const auto count = std::max<std::size_t>(1, std::llround(kHeldOut * static_cast<double>(all)));
  Split split = split_validation(data.train, count, kHeldOutSeed);
  data.train = std::move(split.train);
  data.test = std::move(split.validation);
  data.notes.push_back(
      fmt::format("{}: no folder test/ beside it, so {} of its {} pictures, {:.0f} % of each class, are held "
                  "out as test images",
                  train.folder, grouped(count), grouped(all), 100 * kHeldOut));
}

Dataset decode(const Part& train, const std::optional<Part>& test, const Extent& pictures) {
  Extent wanted = pictures;
  if (wanted.channels == 0) wanted.channels = 3;
  bool is_colour = false;
  Dataset data;
  data.name = "pictures";
  data.class_names = train.class_names;
  data.train = decode(train, wanted, is_colour);
  if (test) data.test = decode(*test, wanted, is_colour);
  if (pictures.channels == 0 && !is_colour) {
    keep_one_channel(data.train);
    keep_one_channel(data.test);
  }
  if (!test) hold_out_test_images(train, data);
  return data;
}

}  // namespace

bool recognises_picture_folder(const Source& source) {
  if (source.kind != SourceKind::folder) return false;
  if (const auto train = folder_named(source.folders, "train")) {
    std::error_code problem;
    fs::directory_iterator entry(*train, problem);
    return !problem && std::any_of(entry, fs::directory_iterator(), [](const auto& inside) {
      std::error_code ignored;
      return inside.is_directory(ignored);
    });
  }
  return std::count_if(source.folders.begin(), source.folders.end(), holds_pictures) >= 2;
}

void check_has_train(const Source& source) {
  const std::optional<std::string> test = folder_named(source.folders, "test");
  if (!test || folder_named(source.folders, "train")) return;
  const std::vector<std::string> classes = folders_in(*test);
  if (std::none_of(classes.begin(), classes.end(), holds_pictures)) return;
  fail_usage("{}: a folder test/ of pictures, but no train/ beside it: add one", source.path);
}

void check_has_classes(const Source& source) {
  const auto only = std::find_if(source.folders.begin(), source.folders.end(), holds_pictures);
  if (only == source.folders.end()) return;
  fail_usage("{}: a folder for each of at least 2 classes expected, found 1, {}", source.path,
             printable(name_of(*only)));
}

Dataset read_picture_folder(const Source& source, const LoadOptions& options) {
  if (options.coarse_labels) {
    fail_usage("{}: coarse labels expected, found a folder of pictures, which has none: leave out --labels coarse",
               source.path);
  }
  const std::optional<std::string> train_folder = folder_named(source.folders, "train");
  const std::optional<std::string> own_test = folder_named(source.folders, "test");
  const std::optional<std::string> validation = train_folder ? validation_folder(source.folders) : std::nullopt;
  const std::optional<std::string> test_folder = own_test ? own_test : validation;
  const Part train =
      train_folder ? list_part(*train_folder, folders_in(*train_folder)) : list_part(source.path, source.folders);
  std::optional<Part> test;
  if (train_folder && test_folder) {
    test = list_part(*test_folder, folders_in(*test_folder));
    check_same_classes(train, *test);
  }
  const Extent& wanted = options.pictures;
  std::vector<const Part*> parts{&train};
  if (test) parts.push_back(&*test);
  const CacheKey key{fmt::format("{} {} {} {}", fs::weakly_canonical(source.path).string(), wanted.height, wanted.width,
                                 wanted.channels),
                     content_of(parts)};
  Dataset data = cached(key, [&] { return decode(train, test, wanted); });
  if (validation) {
    data.notes.push_back(own_test ? fmt::format("{}: not read: the test images are those of test/", *validation)
                                  : fmt::format("{}: read as the test images, for there is no test/", *validation));
  }
  return data;
}

}  // namespace convoy
