// A reader of Python pickles that knows only the opcodes which Python 2 wrote into the published CIFAR files
// (protocol 2) and the three numpy names in them. It builds plain values, calls nothing, and refuses everything else
// by name. Strings and arrays are views into the caller's bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace convoy {

struct PickleValue {
  enum class Kind : std::uint8_t { none, boolean, integer, string, tuple, list, dict, global, array, dtype };
  Kind kind = Kind::none;
  std::int64_t integer = 0;  // integer, boolean; for containers and arrays their index
  std::string_view text;     // string, global ("numpy ndarray")
};

// A numpy array of uint8, C order.
struct PickleArray {
  bool is_filled = false;
  std::int64_t rows = 0, columns = 0;
  std::span<const std::uint8_t> bytes;
};

class Pickle {
 public:
  // Throws Error naming `name`, the offset, what is expected and what was found.
  Pickle(std::span<const std::uint8_t> bytes, std::string name);

  // The entry of the outermost dictionary, null where there is none.
  const PickleValue* find(std::string_view key) const;
  // The same, checked to be there and of the kind; the message says what is missing or wrong.
  const PickleArray& array(std::string_view key) const;
  std::span<const PickleValue> list(std::string_view key) const;

  const std::string& name() const { return name_; }

  // Whether bytes begin as a pickle of any binary protocol does.
  static bool recognises(std::span<const std::uint8_t> head);

 private:
  friend class PickleMachine;
  const PickleValue& require(std::string_view key, PickleValue::Kind kind) const;

  std::string name_;
  PickleValue root_;
  std::vector<std::vector<PickleValue>> containers_;  // tuples, lists; dicts as key, value, key, value
  std::vector<PickleArray> arrays_;
};

}  // namespace convoy
