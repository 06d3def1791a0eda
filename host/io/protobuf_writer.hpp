// Protocol buffers' wire format (https://protobuf.dev/programming-guides/encoding), as much as writing a message takes.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace convoy {

class ProtobufWriter {
 public:
  ProtobufWriter& integer(int field, std::int64_t value) {
    key(field, kVarint);
    varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  ProtobufWriter& real(int field, float value) {
    key(field, kFourBytes);
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (int byte = 0; byte < 4; ++byte) bytes_ += static_cast<char>(bits >> (8 * byte));
    return *this;
  }
  ProtobufWriter& text(int field, std::string_view value) {
    key(field, kLengthFirst);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  ProtobufWriter& message(int field, const ProtobufWriter& inner) { return text(field, inner.bytes_); }

  const std::string& bytes() const { return bytes_; }

 private:
  static constexpr int kVarint = 0, kLengthFirst = 2, kFourBytes = 5;

  void key(int field, int wire_type) {
    varint(static_cast<std::uint64_t>(field) << 3 | static_cast<unsigned>(wire_type));
  }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

}  // namespace convoy
