// One model's parameters on a device: the flat buffer of ParamLayout, and a version that says when they changed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "convoy/backend.hpp"
#include "nn/parameters.hpp"

namespace convoy {

class Weights {
 public:
  Weights(Backend& backend, const ParamLayout& layout, std::string_view what)
      : backend_(&backend),
        layout_(&layout),
        arena_(backend.allocate(layout.total_elements * sizeof(float), what, Communicated::yes)) {}

  const ParamLayout& layout() const { return *layout_; }
  float* data() const { return arena_.floats(); }
  std::size_t bytes() const { return layout_->total_elements * sizeof(float); }

  // Rises with every change; whoever holds compute copies compares.
  std::uint64_t version() const { return version_; }
  void touch() { ++version_; }

  void set(std::span<const float> values) {  // total_elements
    backend_->upload(data(), values.data(), bytes());
    touch();
  }
  void copy_from(const Weights& other) {
    backend_->copy(data(), other.data(), bytes());
    touch();
  }
  std::uint64_t checksum() const { return backend_->checksum(data(), bytes()); }  // waits
  std::vector<float> values() const {                                             // waits
    std::vector<float> host(layout_->total_elements);
    backend_->download(host.data(), data(), bytes());
    return host;
  }

 private:
  Backend* backend_;
  const ParamLayout* layout_;
  Arena arena_;
  std::uint64_t version_ = 1;
};

}  // namespace convoy
