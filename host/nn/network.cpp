// Names of layers and the two ways to find a network: the zoo and a file. The file's grammar is in network_file.cpp.
#include "nn/network.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>

#include "convoy/error.hpp"
#include "io/embedded.hpp"

namespace convoy {

std::string_view name(LayerType type) {
  switch (type) {
    case LayerType::convolution:
      return "convolution";
    case LayerType::dense:
      return "dense";
    case LayerType::max_pool:
      return "max_pool";
    case LayerType::average_pool:
      return "average_pool";
    case LayerType::global_average_pool:
      return "global_average_pool";
    case LayerType::global_max_pool:
      return "global_max_pool";
    case LayerType::batch_normalisation:
      return "batch_normalisation";
    case LayerType::dropout:
      return "dropout";
    case LayerType::relu:
      return "relu";
    case LayerType::gelu:
      return "gelu";
    case LayerType::silu:
      return "silu";
    case LayerType::add:
      return "add";
    case LayerType::flatten:
      return "flatten";
    case LayerType::scale:
      return "scale";
  }
  return "?";
}

std::string_view name(Initialisation scheme) {
  switch (scheme) {
    case Initialisation::glorot_uniform:
      return "glorot_uniform";
    case Initialisation::he_normal:
      return "he_normal";
    case Initialisation::torch_default:
      return "torch_default";
    case Initialisation::whitening:
      return "whitening";
  }
  return "?";
}

std::string describe_place(const Network& network, const Layer& layer) {
  return fmt::format("{}: layer '{}'", network.origin, layer.name);
}

Network load_network(const std::string& name_or_path) {
  std::string zoo;
  for (const EmbeddedFile& file : embedded_networks()) {
    if (file.name == name_or_path) return parse_network(file.text, fmt::format("zoo:{}", file.name));
    zoo += fmt::format("{}{}", zoo.empty() ? "" : ", ", file.name);
  }
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(name_or_path, ignored);
  if (std::filesystem::is_fifo(status))  // a shell's <(...); every rank and every resumption reads it
    fail_usage("model '{}': a pipe, which can be read once only: save it to a file first", name_or_path);
  if (!std::filesystem::is_regular_file(status))
    fail_usage("model '{}': neither a network of the zoo ({}) nor a file", name_or_path, zoo);
  std::ifstream stream(name_or_path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) fail_usage("{}: cannot be read", name_or_path);
  return parse_network(text, std::filesystem::path(name_or_path).filename().string());
}

}  // namespace convoy
