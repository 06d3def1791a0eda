// Device memory between two strips of guard bytes, filled with NaN until somebody writes it. Everything goes through
// the Backend, so that it works for any device.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "convoy/backend.hpp"

namespace convoy::test {

class GuardedBuffer {
 public:
  // Of no bytes: data() is null.
  GuardedBuffer(Backend& backend, std::size_t bytes, const std::string& what);

  void* data() const { return bytes_ == 0 ? nullptr : arena_.at(kGuard); }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data());
  }
  std::size_t bytes() const { return bytes_; }
  void poison();  // every 16-bit and 32-bit float in it becomes NaN
  std::vector<unsigned char> contents() const;
  bool is_poisoned() const;  // nothing was written since poison()
  void expect_guards_intact() const;

 private:
  static constexpr std::size_t kGuard = kAlignment;
  Backend* backend_;
  std::size_t bytes_;
  std::string what_;
  Arena arena_;
};

// A guarded copy of host values, and host copies of device memory.
template <typename T>
GuardedBuffer on_device(Backend& backend, const std::vector<T>& values, const std::string& what) {
  GuardedBuffer buffer(backend, values.size() * sizeof(T), what);
  if (!values.empty()) backend.upload(buffer.data(), values.data(), buffer.bytes());
  backend.wait();
  return buffer;
}

template <typename T>
std::vector<T> from_device(Backend& backend, const GuardedBuffer& buffer) {
  std::vector<T> values(buffer.bytes() / sizeof(T));
  if (!values.empty()) backend.download(values.data(), buffer.data(), buffer.bytes());
  return values;
}

}  // namespace convoy::test
