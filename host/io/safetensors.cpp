// Writer and strict reader of safetensors. Every figure of a header is checked against the file before it is used.
#include "io/safetensors.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "convoy/checksum.hpp"
#include "convoy/error.hpp"
#include "io/atomic_file.hpp"

namespace convoy {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian, and so are our copies");

using Json = nlohmann::json;

constexpr std::uint64_t kLargestHeader = 100'000'000;       // bytes; the reference implementation's limit
constexpr std::size_t kLargestFile = std::size_t{1} << 40;  // bytes; beyond any network of ours
constexpr std::size_t kMostDimensions = 32;
constexpr std::size_t kHeaderAlignment = 8;  // so that the tensors start aligned, as the reference writer does

struct TypeRow {
  TensorType type;
  std::string_view name;
  std::size_t bytes;
};
constexpr TypeRow kTypes[] = {
    {TensorType::f64, "F64", 8},      {TensorType::f32, "F32", 4},   {TensorType::f16, "F16", 2},
    {TensorType::i64, "I64", 8},      {TensorType::bf16, "BF16", 2}, {TensorType::i32, "I32", 4},
    {TensorType::i16, "I16", 2},      {TensorType::i8, "I8", 1},     {TensorType::u64, "U64", 8},
    {TensorType::u32, "U32", 4},      {TensorType::u16, "U16", 2},   {TensorType::u8, "U8", 1},
    {TensorType::boolean, "BOOL", 1},
};

const TypeRow& row_of(TensorType type) {
  const auto* row = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& r) { return r.type == type; });
  CONVOY_CHECK(row != std::end(kTypes), "tensor type {} is unknown", static_cast<int>(type));
  return *row;
}

// A shape as a message shows it: [3, 4].
std::string print(std::span<const std::int64_t> shape) {
  std::string result = "[";
  for (const std::int64_t extent : shape) result += fmt::format("{}{}", result.size() > 1 ? ", " : "", extent);
  return result + "]";
}

// Names come from the file: no control characters, no endless lines in messages.
std::string printable(std::string_view text) {
  constexpr std::size_t kLongest = 100;
  std::string result(text.substr(0, kLongest));
  std::replace_if(
      result.begin(), result.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, '?');
  return text.size() > kLongest ? result + "..." : result;
}

// Bytes of a tensor, or nothing where that does not fit 63 bits.
std::optional<std::uint64_t> bytes_of(TensorType type, std::span<const std::int64_t> shape) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 62;
  std::uint64_t elements = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0) return std::nullopt;
    if (extent == 0) return 0;
  }
  for (const std::int64_t extent : shape) {
    if (elements > kMost / static_cast<std::uint64_t>(extent)) return std::nullopt;
    elements *= static_cast<std::uint64_t>(extent);
  }
  const std::size_t size = bytes_per_element(type);
  return elements > kMost / size ? std::nullopt : std::optional(elements * size);
}

// The header as JSON. Refuses duplicate keys, which a parser would otherwise resolve silently, and deep nesting.
Json parse_header(std::string_view text, const std::string& origin) {
  constexpr int kDeepest = 3;  // { name: { shape: [ ] } }
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    CONVOY_CHECK(depth <= kDeepest, "{}: the header is nested too deeply", origin);
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = value.get_ref<const std::string&>();
      CONVOY_CHECK(keys.back().insert(key).second, "{}: the header names '{}' twice", origin, printable(key));
    }
    return true;
  };
  Json header;
  try {
    header = Json::parse(text, watch);
  } catch (const Json::exception&) {
    fail("{}: the header is not JSON: not a safetensors file, or a damaged one", origin);
  }
  CONVOY_CHECK(header.is_object(), "{}: the header is no JSON object", origin);
  return header;
}

TensorMetadata parse_metadata(const Json& entry, const std::string& origin) {
  CONVOY_CHECK(entry.is_object(), "{}: __metadata__ is no object", origin);
  TensorMetadata metadata;
  for (const auto& [key, value] : entry.items()) {
    CONVOY_CHECK(value.is_string(), "{}: __metadata__ '{}' is no text", origin, printable(key));
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

struct Placed {
  TensorView view;
  std::uint64_t begin = 0, end = 0;
};

Placed parse_tensor(const std::string& tensor_name, const Json& entry, std::uint64_t data_bytes,
                    const std::string& origin) {
  const std::string where = fmt::format("{}: tensor '{}'", origin, printable(tensor_name));
  const bool is_complete = entry.is_object() && entry.size() == 3 && entry.contains("dtype") &&
                           entry.contains("shape") && entry.contains("data_offsets");
  CONVOY_CHECK(is_complete, "{}: dtype, shape and data_offsets expected, and nothing else", where);

  Placed placed;
  placed.view.name = tensor_name;
  const Json& dtype = entry["dtype"];
  CONVOY_CHECK(dtype.is_string(), "{}: dtype is no text", where);
  const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const auto& r) { return r.name == dtype.get_ref<const std::string&>(); });
  CONVOY_CHECK(type != std::end(kTypes), "{}: dtype '{}' is unknown", where, printable(dtype.get<std::string>()));
  placed.view.type = type->type;

  const Json& shape = entry["shape"];
  CONVOY_CHECK(shape.is_array() && shape.size() <= kMostDimensions, "{}: shape: a list of at most {} extents expected",
               where, kMostDimensions);
  for (const Json& extent : shape) {
    const bool is_count = extent.is_number_unsigned() && extent.get<std::uint64_t>() <= INT64_MAX;
    CONVOY_CHECK(is_count, "{}: shape: whole numbers from 0 expected", where);
    placed.view.shape.push_back(extent.get<std::int64_t>());
  }

  const Json& offsets = entry["data_offsets"];
  const bool is_pair =
      offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() && offsets[1].is_number_unsigned();
  CONVOY_CHECK(is_pair, "{}: data_offsets: two whole numbers expected", where);
  placed.begin = offsets[0].get<std::uint64_t>();
  placed.end = offsets[1].get<std::uint64_t>();
  CONVOY_CHECK(placed.begin <= placed.end && placed.end <= data_bytes,
               "{}: data_offsets {} to {} lie outside the {} bytes of data: truncated or damaged", where, placed.begin,
               placed.end, data_bytes);
  const std::optional<std::uint64_t> expected = bytes_of(placed.view.type, placed.view.shape);
  CONVOY_CHECK(expected.has_value(), "{}: shape {} is too large", where, print(placed.view.shape));
  CONVOY_CHECK(*expected == placed.end - placed.begin, "{}: shape {} of {} needs {} bytes, data_offsets give {}", where,
               print(placed.view.shape), type->name, *expected, placed.end - placed.begin);
  return placed;
}

void check_no_holes(const std::vector<Placed>& tensors, std::uint64_t data_bytes, const std::string& origin) {
  std::uint64_t at = 0;
  for (const Placed& tensor : tensors) {
    const std::string shown_name = printable(tensor.view.name);
    CONVOY_CHECK(tensor.begin >= at, "{}: tensor '{}' overlaps the one before it", origin, shown_name);
    CONVOY_CHECK(tensor.begin == at, "{}: {} unused bytes before tensor '{}'", origin, tensor.begin - at, shown_name);
    at = tensor.end;
  }
  CONVOY_CHECK(at == data_bytes, "{}: {} bytes after the last tensor", origin, data_bytes - at);
}

template <typename T>
TensorView make_view(std::string tensor_name, TensorType type, std::vector<std::int64_t> shape,
                     std::span<const T> values) {
  return {std::move(tensor_name), type, std::move(shape), std::as_bytes(values)};
}

std::string header_of(std::span<const TensorView> tensors, const TensorMetadata& metadata, const std::string& path) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t at = 0;
  for (const TensorView& tensor : tensors) {
    const std::optional<std::uint64_t> bytes = bytes_of(tensor.type, tensor.shape);
    CONVOY_CHECK(bytes == tensor.bytes.size(), "{}: tensor '{}' of shape {}: {} bytes given", path, tensor.name,
                 print(tensor.shape), tensor.bytes.size());
    const bool is_new = !header.contains(tensor.name) && tensor.name != "__metadata__";
    CONVOY_CHECK(is_new, "{}: two tensors named '{}'", path, tensor.name);
    header[tensor.name] = {{"dtype", name(tensor.type)}, {"shape", tensor.shape}, {"data_offsets", {at, at + *bytes}}};
    at += *bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + kHeaderAlignment - 1) / kHeaderAlignment * kHeaderAlignment, ' ');
  CONVOY_CHECK(text.size() <= kLargestHeader, "{}: a header of {} bytes, at most {}", path, text.size(),
               kLargestHeader);
  return text;
}

}  // namespace

std::string_view name(TensorType type) { return row_of(type).name; }
std::size_t bytes_per_element(TensorType type) { return row_of(type).bytes; }

TensorView view_of(std::string name, std::vector<std::int64_t> shape, std::span<const float> values) {
  return make_view(std::move(name), TensorType::f32, std::move(shape), values);
}

TensorView view_of(std::string name, std::vector<std::int64_t> shape, std::span<const std::int64_t> values) {
  return make_view(std::move(name), TensorType::i64, std::move(shape), values);
}

WrittenFile write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors,
                              const TensorMetadata& metadata) {
  const std::string header = header_of(tensors, metadata, path.string());
  const std::uint64_t header_bytes = header.size();
  std::vector<std::span<const std::byte>> pieces;
  pieces.push_back(std::as_bytes(std::span(&header_bytes, 1)));
  pieces.push_back(std::as_bytes(std::span(header)));
  for (const TensorView& tensor : tensors) pieces.push_back(tensor.bytes);
  write_file_atomically(path, pieces);
  WrittenFile written;
  RunningChecksum running;
  for (const std::span<const std::byte> piece : pieces) {
    written.bytes += piece.size();
    running.add(piece.data(), piece.size());
  }
  written.checksum = running.value();
  return written;
}

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  return parse(read_file(path, kLargestFile), path.string());
}

SafetensorsFile SafetensorsFile::parse(std::vector<std::byte> bytes, const std::string& origin) {
  std::uint64_t header_bytes = 0;
  CONVOY_CHECK(bytes.size() >= sizeof header_bytes, "{}: {} bytes: not a safetensors file", origin, bytes.size());
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  const std::uint64_t rest = bytes.size() - sizeof header_bytes;
  CONVOY_CHECK(header_bytes <= kLargestHeader, "{}: a header of {} bytes, at most {}: not a safetensors file", origin,
               header_bytes, kLargestHeader);
  CONVOY_CHECK(header_bytes <= rest, "{}: a header of {} bytes expected, {} found: truncated", origin, header_bytes,
               rest);

  SafetensorsFile file;
  file.origin_ = origin;
  file.bytes_ = std::move(bytes);
  const std::span<const std::byte> all(file.bytes_);
  const auto* text = reinterpret_cast<const char*>(file.bytes_.data() + sizeof header_bytes);
  const Json header = parse_header({text, static_cast<std::size_t>(header_bytes)}, origin);
  const std::span<const std::byte> data = all.subspan(sizeof header_bytes + header_bytes);

  std::vector<Placed> tensors;
  for (const auto& [key, entry] : header.items()) {
    if (key == "__metadata__") {
      file.metadata_ = parse_metadata(entry, origin);
    } else {
      tensors.push_back(parse_tensor(key, entry, data.size(), origin));
    }
  }
  std::stable_sort(tensors.begin(), tensors.end(), [](const Placed& a, const Placed& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  check_no_holes(tensors, data.size(), origin);
  for (Placed& tensor : tensors) {
    tensor.view.bytes = data.subspan(tensor.begin, tensor.end - tensor.begin);
    file.tensors_.push_back(std::move(tensor.view));
  }
  return file;
}

const TensorView* SafetensorsFile::find(std::string_view tensor_name) const {
  const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                  [&](const TensorView& tensor) { return tensor.name == tensor_name; });
  return found == tensors_.end() ? nullptr : &*found;
}

std::vector<float> SafetensorsFile::floats(std::string_view tensor_name) const {
  const TensorView* tensor = find(tensor_name);
  CONVOY_CHECK(tensor != nullptr, "{}: no tensor '{}'", origin_, tensor_name);
  CONVOY_CHECK(tensor->type == TensorType::f32, "{}: tensor '{}': F32 expected, {} found", origin_, tensor_name,
               name(tensor->type));
  std::vector<float> values(tensor->bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), tensor->bytes.data(), tensor->bytes.size());
  return values;
}

std::vector<float> SafetensorsFile::floats(std::string_view tensor_name, std::span<const std::int64_t> shape) const {
  const TensorView* tensor = find(tensor_name);
  CONVOY_CHECK(tensor != nullptr, "{}: no tensor '{}'", origin_, tensor_name);
  CONVOY_CHECK(std::equal(shape.begin(), shape.end(), tensor->shape.begin(), tensor->shape.end()),
               "{}: tensor '{}': shape {} expected, {} found", origin_, tensor_name, print(shape),
               print(tensor->shape));
  return floats(tensor_name);
}

}  // namespace convoy
