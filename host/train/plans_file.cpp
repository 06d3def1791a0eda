#include "train/plans_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <vector>

#include "convoy/checksum.hpp"
#include "convoy/error.hpp"
#include "io/checked_json.hpp"

namespace convoy {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// A choice has a few thousand bytes.
constexpr CheckedJson kFile{.format = "convoy plans 1", .what = "a run's plans", .most_bytes = 256 << 20};

// As values, not as text within text, so that a person can read them.
Json to_json(const Choices& choices) {
  Json json = Json::object();
  for (const auto& [key, text] : choices) json[key] = Json::parse(text);
  return json;
}

Choices to_choices(const Json& json) {
  Choices choices;
  for (const auto& [key, value] : json.items()) choices[key] = value.dump();
  return choices;
}

// Of every worker; of the first alone where all chose alike, as a rule, so that their texts need not be sent.
std::vector<Choices> gather_choices(Communicator& workers, const Choices& own) {
  const std::string text = to_json(own).dump();
  const MinMax checksums = workers.min_max(checksum(text.data(), text.size()));
  if (checksums.least == checksums.most) return {own};
  std::vector<Choices> all;
  for (const std::string& one : workers.gather(text)) all.push_back(to_choices(Json::parse(one)));
  return all;
}

}  // namespace

void write_plans(Communicator& workers, const Choices& of_this_worker, const RunFolder* folder) {
  const std::vector<Choices> all = gather_choices(workers, of_this_worker);
  if (folder == nullptr) return;
  Choices common;
  for (const Choices& choices : all) common.insert(choices.begin(), choices.end());
  if (common.empty()) return;
  Json json = {{"plans", to_json(common)}};
  for (std::size_t worker = 0; worker < all.size(); ++worker) {
    Choices apart;
    std::ranges::copy_if(all[worker], std::inserter(apart, apart.end()),
                         [&](const auto& choice) { return common.at(choice.first) != choice.second; });
    if (!apart.empty()) json["of_workers"][std::to_string(worker)] = to_json(apart);
  }
  folder->write_text(kPlansName, to_checked_text(kFile, json));
}

Choices read_plans(const fs::path& folder, int worker) {
  const fs::path path = folder / kPlansName;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return {};
  const Json json = read_checked_json(kFile, path);
  try {
    Json choices = json.at("plans");
    if (json.contains("of_workers")) choices.update(json["of_workers"].value(std::to_string(worker), Json::object()));
    return to_choices(choices);
  } catch (const nlohmann::json::exception&) {
    fail("{}: damaged: it cannot be read as {}", path.string(), kFile.what);
  }
}

std::size_t count_new(const Choices& choices, const Choices& earlier) {
  return static_cast<std::size_t>(std::ranges::count_if(choices, [&](const auto& choice) {
    const auto before = earlier.find(choice.first);
    return before == earlier.end() || before->second != choice.second;
  }));
}

}  // namespace convoy
