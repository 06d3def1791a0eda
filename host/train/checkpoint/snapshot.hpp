// A copy of one part of a run's state in host memory, from which a file is written while training goes on. The memory
// is kept for the next copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/safetensors.hpp"
#include "train/checkpoint/state_visitor.hpp"

namespace convoy {

class Snapshot final : public StateVisitor {
 public:
  explicit Snapshot(Backend& backend) : backend_(backend) {}

  void clear();                                                                 // before each copy
  void device(std::string_view name, float* data, std::size_t count) override;  // waits for the device
  void values(std::string_view name, std::vector<double>& values) override;
  void values(std::string_view name, std::vector<std::int64_t>& values) override;

  // Into this object's memory: until the next clear.
  std::vector<TensorView> tensors() const;
  std::size_t bytes() const { return used_; }

 private:
  struct Entry {
    std::string name;
    TensorType type;
    std::size_t offset, elements;
  };
  std::byte* add(std::string_view name, TensorType type, std::size_t elements);

  Backend& backend_;
  std::vector<Entry> entries_;
  std::vector<std::byte> memory_;  // never shrinks
  std::size_t used_ = 0;           // bytes of it
};

// Restores that part of the state from the copy.
class SnapshotReader final : public StateVisitor {
 public:
  SnapshotReader(Backend& backend, const Snapshot& snapshot) : backend_(backend), tensors_(snapshot.tensors()) {}

  void device(std::string_view name, float* data, std::size_t count) override;
  void values(std::string_view name, std::vector<double>& values) override { read(name, values); }
  void values(std::string_view name, std::vector<std::int64_t>& values) override { read(name, values); }

 private:
  std::span<const std::byte> find(std::string_view name) const;
  template <typename T>
  void read(std::string_view name, std::vector<T>& values) const;

  Backend& backend_;
  std::vector<TensorView> tensors_;
};

}  // namespace convoy
