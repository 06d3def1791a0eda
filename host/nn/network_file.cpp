// The grammar of network files: JSON -> Network. Every key is asked for by name; whatever is left over is unknown.
#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <unordered_map>

#include "convoy/error.hpp"
#include "nn/network.hpp"

namespace convoy {
namespace {

using Json = nlohmann::json;

// Bounds that keep every product of two extents within 64 bits; far above any network for small images.
constexpr int kMaxPixels = 1 << 14;
constexpr int kMaxChannels = 1 << 20;
constexpr int kMaxKernel = 1 << 10;
constexpr std::size_t kMaxLayers = 10'000;
constexpr std::size_t kMaxName = 100;

constexpr std::array kLayerTypes = {LayerType::convolution,
                                    LayerType::dense,
                                    LayerType::max_pool,
                                    LayerType::average_pool,
                                    LayerType::global_max_pool,
                                    LayerType::global_average_pool,
                                    LayerType::batch_normalisation,
                                    LayerType::dropout,
                                    LayerType::relu,
                                    LayerType::gelu,
                                    LayerType::silu,
                                    LayerType::add,
                                    LayerType::flatten,
                                    LayerType::scale};
constexpr std::array kInitialisations = {Initialisation::glorot_uniform, Initialisation::he_normal,
                                         Initialisation::torch_default, Initialisation::whitening};

// A JSON value as a message shows it.
std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

template <typename Values>
std::string listed(const Values& values) {
  std::string text;
  for (const auto& value : values) text += fmt::format("{}{}", text.empty() ? "" : ", ", name(value));
  return text;
}

bool is_identifier(const std::string& text) {
  return !text.empty() && text.size() <= kMaxName && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' ||
           c == '-';
  });
}

// One object of the file: its keys by type, with errors that name the place.
class Object {
 public:
  Object(const Json& json, std::string place) : json_(json), place_(std::move(place)) {
    if (!json.is_object()) fail_usage("{}: expected an object {{...}}, found {}", place_, shown(json));
    optional("about");
  }

  const std::string& place() const { return place_; }
  void set_place(std::string place) { place_ = std::move(place); }

  const Json* optional(const char* key) {
    known_.insert(key);
    const auto found = json_.find(key);
    return found == json_.end() ? nullptr : &*found;
  }
  const Json& required(const char* key) {
    const Json* value = optional(key);
    if (value == nullptr) fail_usage("{}: \"{}\" is missing", place_, key);
    return *value;
  }
  [[noreturn]] void wrong(const char* key, std::string_view expected, const Json& found) const {
    fail_usage("{}: \"{}\": expected {}, found {}", place_, key, expected, shown(found));
  }

  std::string identifier(const char* key, const Json& value) const {
    if (!value.is_string() || !is_identifier(value.get_ref<const std::string&>()))
      wrong(key, fmt::format("a name of 1 to {} letters, digits, '_', '.' or '-'", kMaxName), value);
    return value.get<std::string>();
  }
  std::string identifier(const char* key, const char* otherwise) {
    const Json* value = optional(key);
    return value == nullptr ? otherwise : identifier(key, *value);
  }
  bool boolean(const char* key, bool otherwise) {
    const Json* value = optional(key);
    if (value == nullptr) return otherwise;
    if (!value->is_boolean()) wrong(key, "true or false", *value);
    return value->get<bool>();
  }
  float number(const char* key, std::optional<float> otherwise, std::string_view expected, bool (*holds)(double)) {
    const Json* value = otherwise ? optional(key) : &required(key);
    if (value == nullptr) return *otherwise;
    if (!value->is_number() || !std::isfinite(value->get<float>()) || !holds(value->get<float>()))
      wrong(key, expected, *value);
    return value->get<float>();
  }

  static bool is_integer(const Json& value, int low, int high) {
    return value.is_number_integer() && (!value.is_number_unsigned() || value.get<std::uint64_t>() <= INT32_MAX) &&
           value.get<std::int64_t>() >= low && value.get<std::int64_t>() <= high;
  }
  // N, or an array of one of the `lengths` integers.
  std::vector<int> integers(const char* key, const Json& value, std::initializer_list<std::size_t> lengths, int low,
                            int high, std::string_view expected) const {
    if (is_integer(value, low, high)) return {value.get<int>()};
    const bool fits =
        value.is_array() && std::find(lengths.begin(), lengths.end(), value.size()) != lengths.end() &&
        std::all_of(value.begin(), value.end(), [&](const Json& item) { return is_integer(item, low, high); });
    if (!fits) wrong(key, fmt::format("{} with numbers from {} to {}", expected, low, high), value);
    return value.get<std::vector<int>>();
  }
  Size2 size(const char* key, std::optional<Size2> otherwise) {
    const Json* value = otherwise ? optional(key) : &required(key);
    if (value == nullptr) return *otherwise;
    const std::vector<int> numbers = integers(key, *value, {2}, 1, kMaxKernel, "N or [H, W]");
    return {numbers.front(), numbers.back()};
  }
  PaddingRule padding() {
    const Json* value = optional("padding");
    if (value == nullptr || *value == "valid") return {};
    if (*value == "same") return {.same = true, .pixels = {}};
    const auto p = integers("padding", *value, {2, 4}, 0, kMaxKernel - 1,
                            "\"valid\", \"same\", N, [H, W] or [top, bottom, left, right]");
    if (p.size() == 4) return {.same = false, .pixels = {p[0], p[1], p[2], p[3]}};
    return {.same = false, .pixels = {p.front(), p.front(), p.back(), p.back()}};
  }
  // N, or the word that stands for what the data say.
  int count(const char* key, const Json& value, const char* word, int meaning) const {
    if (value == word) return meaning;
    if (!is_integer(value, 1, kMaxChannels)) wrong(key, fmt::format("1 to {} or \"{}\"", kMaxChannels, word), value);
    return value.get<int>();
  }

  // To be called last.
  void reject_unknown_keys(std::string_view what) const {
    for (const auto& item : json_.items()) {
      if (known_.contains(item.key())) continue;
      std::string allowed;
      for (const std::string& key : known_) allowed += fmt::format("{}{}", allowed.empty() ? "" : ", ", key);
      fail_usage("{}: unknown key {}; {} has: {}", place_, shown(item.key()), what, allowed);
    }
  }

 private:
  const Json& json_;
  std::string place_;
  std::set<std::string> known_;
};

LayerType read_type(Object& object) {
  const Json& value = object.required("type");
  for (const LayerType type : kLayerTypes)
    if (value == name(type)) return type;
  object.wrong("type", fmt::format("one of {}", listed(kLayerTypes)), value);
}

void read_initialisation(Object& object, Layer& layer) {
  const Json* value = object.optional("initialise");
  if (value == nullptr) return;
  const auto found = std::find_if(kInitialisations.begin(), kInitialisations.end(),
                                  [&](Initialisation scheme) { return *value == name(scheme); });
  if (found == kInitialisations.end())
    object.wrong("initialise", fmt::format("one of {}", listed(kInitialisations)), *value);
  if (*found == Initialisation::whitening && layer.type != LayerType::convolution)
    object.wrong("initialise", "another scheme: whitening is for convolutions", *value);
  layer.initialise = *found;
}

// What convolution and dense share.
void read_weights(Object& object, Layer& layer, const char* outputs, const char* group) {
  layer.outputs = object.count(outputs, object.required(outputs), "classes", kFromClasses);
  layer.bias = object.boolean("bias", true);
  layer.group = object.identifier("group", group);
  layer.bias_group = object.identifier("bias_group", "biases");
  read_initialisation(object, layer);
  if (const Json* frozen = object.optional("frozen")) {
    if (!frozen->is_boolean() && *frozen != "weights" && *frozen != "bias")
      object.wrong("frozen", "true, \"weights\" or \"bias\"", *frozen);
    layer.train_weights = *frozen == false || *frozen == "bias";
    layer.train_bias = *frozen == false || *frozen == "weights";
  }
}

void read_options(Object& object, Layer& layer) {
  switch (layer.type) {
    case LayerType::convolution:
      read_weights(object, layer, "filters", "filters");
      layer.kernel = object.size("kernel", std::nullopt);
      layer.stride = object.size("stride", Size2{1, 1});
      layer.padding = object.padding();
      layer.identity = object.boolean("identity", false);
      break;
    case LayerType::dense:
      read_weights(object, layer, "outputs", "dense");
      layer.unit_std = object.boolean("unit_std", false);
      break;
    case LayerType::max_pool:
    case LayerType::average_pool:
      layer.kernel = object.size("kernel", std::nullopt);
      layer.stride = object.size("stride", layer.kernel);
      layer.padding = object.padding();
      break;
    case LayerType::batch_normalisation:
      layer.epsilon = object.number("epsilon", 1e-5F, "a positive number", [](double e) { return e > 0; });
      layer.momentum = object.number("momentum", 0.1F, "the share of the new value, above 0, at most 1",
                                     [](double m) { return m > 0 && m <= 1; });
      layer.train_weights = object.boolean("scale", true);
      layer.train_bias = object.boolean("shift", true);
      layer.group = object.identifier("group", "norm");
      break;
    case LayerType::dropout:
      layer.rate = object.number("rate", std::nullopt, "the share to zero, 0 or more, below 1",
                                 [](double rate) { return rate >= 0 && rate < 1; });
      break;
    case LayerType::scale:
      layer.factor =
          object.number("factor", std::nullopt, "a number that is not 0", [](double factor) { return factor != 0; });
      break;
    default:
      break;
  }
}

// Names -> indices of layers; only earlier ones are known yet, so there are no cycles.
class Names {
 public:
  // Both for messages: all names of the file, wherever they stand.
  void announce(const std::string& layer) { announced_.insert(layer); }

  void add(Object& object, const std::string& layer) {
    if (layer == "input") fail_usage("{}: \"name\": 'input' is the network's input; choose another", object.place());
    const int index = static_cast<int>(indices_.size());
    if (!indices_.emplace(layer, index).second) fail_usage("{}: the name is used twice", object.place());
  }

  int find(Object& object, const std::string& self, const Json& from) const {
    const std::string wanted = object.identifier("from", from);
    if (wanted == "input") return kNetworkInput;
    if (const auto found = indices_.find(wanted); found != indices_.end()) return found->second;
    if (wanted == self) fail_usage("{}: \"from\": it reads itself", object.place());
    if (announced_.contains(wanted))
      fail_usage("{}: \"from\": '{}' comes later (a cycle, or list that layer first)", object.place(), wanted);
    fail_usage("{}: \"from\": there is no layer '{}'", object.place(), wanted);
  }

 private:
  std::set<std::string> announced_;
  std::unordered_map<std::string, int> indices_;
};

std::vector<int> read_inputs(Object& object, const Layer& layer, int index, const Names& names) {
  const Json* from = object.optional("from");
  if (layer.type == LayerType::add) {
    const Json& both = object.required("from");
    if (!both.is_array() || both.size() != 2) object.wrong("from", "the names of two layers, [\"a\", \"b\"]", both);
    const std::vector<int> inputs = {names.find(object, layer.name, both[0]), names.find(object, layer.name, both[1])};
    if (inputs[0] == inputs[1]) object.wrong("from", "two different layers", both);
    return inputs;
  }
  if (from == nullptr) return {index - 1};  // of the first layer: the network's input
  if (!from->is_string()) object.wrong("from", "the name of one layer", *from);
  return {names.find(object, layer.name, *from)};
}

Extent read_input(Object& object) {
  const Json& value = object.required("input");
  const bool fits = value.is_array() && value.size() == 3 && Object::is_integer(value[0], 1, kMaxPixels) &&
                    Object::is_integer(value[1], 1, kMaxPixels);
  if (!fits) object.wrong("input", fmt::format("[H, W, C], H and W from 1 to {}", kMaxPixels), value);
  return {value[0].get<int>(), value[1].get<int>(), object.count("input", value[2], "channels", kFromChannels)};
}

// The end of the network: all layers lead to the last, which gives the logits.
void check_ends(const Network& network) {
  const auto last = network.layers.size() - 1;
  std::vector<bool> is_read(network.layers.size(), false);
  for (const Layer& layer : network.layers)
    for (const int input : layer.inputs)
      if (input != kNetworkInput) is_read[static_cast<std::size_t>(input)] = true;
  for (std::size_t i = 0; i <= last; ++i) {
    const std::string place = describe_place(network, network.layers[i]);
    const bool is_scale = network.layers[i].type == LayerType::scale;
    if (i < last && !is_read[i]) fail_usage("{}: no layer reads it; name it in a \"from\", or remove it", place);
    if (i < last && is_scale) fail_usage("{}: scale multiplies the logits and must be the last layer", place);
    if (i == last && is_scale && (i == 0 || network.layers[i].inputs[0] != static_cast<int>(i) - 1))
      fail_usage("{}: scale must read the layer before it, the dense layer that gives the logits", place);
  }
  const Layer& logits = network.layers[last].type == LayerType::scale ? network.layers[last - 1] : network.layers[last];
  if (logits.type != LayerType::dense)
    fail_usage("{}: the last layer (but for scale) must be dense, for it gives the logits; found {}",
               describe_place(network, logits), name(logits.type));
}

Json parse_json(std::string_view text, std::string_view origin) {
  std::vector<std::set<std::string>> open_objects;
  const auto on_event = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == Json::parse_event_t::object_end) open_objects.pop_back();
    if (event == Json::parse_event_t::key && !open_objects.back().insert(value.get<std::string>()).second)
      fail_usage("{}: the key {} stands twice in one object", origin, shown(value));
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), on_event);
  } catch (const Json::exception& error) {
    const std::string_view what = error.what();
    const auto bracket = what.find("] ");  // "[json.exception.parse_error.101] parse error at line ..."
    fail_usage("{}: not JSON: {}", origin, bracket == what.npos ? what : what.substr(bracket + 2));
  }
}

}  // namespace

Network parse_network(std::string_view text, std::string_view origin) {
  const Json json = parse_json(text, origin);
  Object file(json, std::string(origin));
  Network network;
  network.origin = origin;
  network.text = text;
  network.name = file.identifier("name", file.required("name"));
  network.input = read_input(file);
  const Json& layers = file.required("layers");
  if (!layers.is_array() || layers.empty() || layers.size() > kMaxLayers)
    file.wrong("layers", fmt::format("a list of 1 to {} layers", kMaxLayers), layers);
  file.reject_unknown_keys("a network");

  Names names;
  for (const Json& item : layers)
    if (item.is_object() && item.contains("name") && item["name"].is_string()) names.announce(item["name"]);
  for (const Json& item : layers) {
    const int index = static_cast<int>(network.layers.size());
    Object object(item, fmt::format("{}: layer {}", origin, index + 1));
    Layer layer;
    layer.name = object.identifier("name", object.required("name"));
    object.set_place(fmt::format("{}: layer '{}'", origin, layer.name));
    layer.type = read_type(object);
    layer.inputs = read_inputs(object, layer, index, names);
    names.add(object, layer.name);
    read_options(object, layer);
    object.reject_unknown_keys(name(layer.type));
    network.layers.push_back(std::move(layer));
  }
  check_ends(network);
  return network;
}

std::string bound_text(const Network& network, int classes, int channels) {
  Json json = Json::parse(network.text);
  for (Json& extent : json["input"])
    if (extent == "channels") extent = channels;
  for (Json& layer : json["layers"])
    for (const char* key : {"filters", "outputs"})
      if (layer.contains(key) && layer[key] == "classes") layer[key] = classes;
  return json.dump();
}

}  // namespace convoy
