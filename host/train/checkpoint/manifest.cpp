#include "train/checkpoint/manifest.hpp"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <system_error>

#include "convoy/error.hpp"
#include "io/build_info.hpp"
#include "io/checked_json.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// A rank's line has about a hundred bytes.
constexpr CheckedJson kFile{.format = "convoy checkpoint 1", .what = "a checkpoint", .most_bytes = 64 << 20};

std::string hexadecimal(std::uint64_t value) { return fmt::format("{:016x}", value); }

std::uint64_t parse_hexadecimal(const std::string& text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  CONVOY_CHECK(std::from_chars(text.data(), end, value, 16).ptr == end && text.size() == 16,
               "sixteen hexadecimal digits expected, '{}' found", text);
  return value;
}

Manifest parse(const Json& json) {
  Manifest manifest;
  manifest.step = json.at("step").get<std::int64_t>();
  manifest.epochs_done = json.at("epochs_done").get<int>();
  manifest.world_size = json.at("world_size").get<int>();
  manifest.steps_per_epoch = json.at("steps_per_epoch").get<std::int64_t>();
  manifest.images_seen = json.at("images_seen").get<std::int64_t>();
  manifest.seed = json.at("seed").get<std::uint64_t>();
  manifest.data_checksum = json.at("data_checksum").get<std::string>();
  manifest.layout_checksum = json.at("layout_checksum").get<std::string>();
  manifest.configuration = json.at("configuration").get<std::string>();
  manifest.resolved = json.at("resolved").get<std::string>();
  manifest.elapsed_seconds = json.at("elapsed_seconds").get<double>();
  manifest.started = json.at("started").get<std::string>();
  if (json.contains("validation_accuracy")) manifest.validation_accuracy = json["validation_accuracy"].get<double>();
  manifest.device = json.at("device").get<std::string>();
  manifest.versions = json.at("versions").get<std::map<std::string, std::string>>();
  for (const Json& file : json.at("files")) {
    manifest.files.push_back({file.at("name").get<std::string>(), file.at("bytes").get<std::uint64_t>(),
                              parse_hexadecimal(file.at("checksum").get<std::string>())});
  }
  return manifest;
}

void check_files(const fs::path& checkpoint, const Manifest& manifest) {
  for (const CheckpointFile& file : manifest.files) {
    const fs::path path = checkpoint / file.name;
    std::error_code error;
    const std::uintmax_t bytes = fs::file_size(path, error);
    CONVOY_CHECK(!error, "{}: cannot be read: {}", path.string(), error.message());
    CONVOY_CHECK(bytes == file.bytes, "{}: {} bytes expected, {} found", path.string(), file.bytes, bytes);
  }
}

}  // namespace

RunPosition position_of(const Manifest& manifest) { return {manifest.step, manifest.epochs_done}; }

std::string to_json(const Manifest& manifest) {
  const BuildInfo& build = build_info();
  Json json = {{"step", manifest.step},
               {"epochs_done", manifest.epochs_done},
               {"world_size", manifest.world_size},
               {"steps_per_epoch", manifest.steps_per_epoch},
               {"images_seen", manifest.images_seen},
               {"seed", manifest.seed},
               {"data_checksum", manifest.data_checksum},
               {"layout_checksum", manifest.layout_checksum},
               {"elapsed_seconds", manifest.elapsed_seconds},
               {"started", manifest.started},
               {"version", build.version},
               {"commit", build.commit},
               {"device", manifest.device},
               {"versions", manifest.versions},
               {"configuration", manifest.configuration},
               {"resolved", manifest.resolved}};
  if (manifest.validation_accuracy) json["validation_accuracy"] = *manifest.validation_accuracy;
  json["files"] = Json::array();
  for (const CheckpointFile& file : manifest.files) {
    json["files"].push_back({{"name", file.name}, {"bytes", file.bytes}, {"checksum", hexadecimal(file.checksum)}});
  }
  return to_checked_text(kFile, json);
}

Manifest read_manifest(const fs::path& checkpoint) {
  const fs::path path = checkpoint / kManifestName;
  const Json json = read_checked_json(kFile, path);
  try {
    const Manifest manifest = parse(json);
    check_files(checkpoint, manifest);
    return manifest;
  } catch (const nlohmann::json::exception&) {
    fail("{}: damaged: it cannot be read as a checkpoint's state", path.string());
  }
}

}  // namespace convoy
