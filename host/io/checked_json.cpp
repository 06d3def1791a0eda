// The checksum is of what the object's text is without it, so that the way in which a file was indented is no damage.
#include "io/checked_json.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "convoy/checksum.hpp"
#include "convoy/error.hpp"
#include "io/atomic_file.hpp"

namespace convoy {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) { return json.dump(1, ' ', false, Json::error_handler_t::replace); }

std::string checksum_of(const Json& json) {
  const std::string text = dump(json);
  return fmt::format("{:016x}", checksum(text.data(), text.size()));
}

}  // namespace

std::string to_checked_text(const CheckedJson& kind, const Json& object) {
  Json json = {{"format", kind.format}};
  json.update(object);
  json["checksum"] = checksum_of(json);
  return dump(json) + "\n";
}

Json read_checked_json(const CheckedJson& kind, const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path, kind.most_bytes);
  try {
    Json json = Json::parse(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    CONVOY_CHECK(json.is_object() && json.value("format", "") == kind.format, "{}: not {} of this program",
                 path.string(), kind.what);
    const std::string expected = json.at("checksum").get<std::string>();
    json.erase("checksum");
    CONVOY_CHECK(checksum_of(json) == expected, "{}: damaged: its checksum does not fit", path.string());
    json.erase("format");
    return json;
  } catch (const nlohmann::json::exception&) {
    fail("{}: damaged: it cannot be read as {}", path.string(), kind.what);
  }
}

}  // namespace convoy
