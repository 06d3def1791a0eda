// A file's contents in memory: allocated without being zeroed first, shared between its readers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace convoy {

struct Bytes {
  std::shared_ptr<std::uint8_t[]> data;
  std::size_t size = 0;

  Bytes() = default;
  explicit Bytes(std::size_t count) : data(new std::uint8_t[count]), size(count) {}
  std::span<const std::uint8_t> view() const { return {data.get(), size}; }
};

}  // namespace convoy
