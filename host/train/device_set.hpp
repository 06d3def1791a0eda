// A labelled set resident on the device: uint8 images, labels, and the order in which steps take the samples.
#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

#include "convoy/backend.hpp"
#include "data/dataset.hpp"

namespace convoy {

class DeviceSet {
 public:
  // `set` must outlive this: a backend on the host may read it where it lies. The order starts as 0, 1, 2, ...
  DeviceSet(Backend& backend, const ImageSet& set) : DeviceSet(backend, set, set.count()) {
    std::vector<std::int32_t> order(count_);
    std::iota(order.begin(), order.end(), 0);
    set_order(order);
  }
  // With an order of `positions` samples, which set_order gives.
  DeviceSet(Backend& backend, const ImageSet& set, std::size_t positions)
      : backend_(&backend),
        image_(set.image),
        count_(set.count()),
        images_(backend.share(set.pixels(), set.pixel_bytes(), "images")),
        labels_(backend.share(set.labels.data(), set.labels.size() * sizeof(std::int32_t), "labels")),
        order_(backend.allocate(positions * sizeof(std::int32_t), "order of the samples")) {}

  void set_order(const std::vector<std::int32_t>& order) {  // sample numbers, as many as planned
    backend_->upload(order_.data(), order.data(), order.size() * sizeof(std::int32_t));
  }
  BatchSource source() const {
    return {static_cast<const std::uint8_t*>(images_.data()), static_cast<const std::int32_t*>(labels_.data()),
            static_cast<const std::int32_t*>(order_.data()), false};
  }
  const Extent& image() const { return image_; }
  std::size_t count() const { return count_; }

 private:
  Backend* backend_;
  Extent image_;
  std::size_t count_;
  Arena images_, labels_, order_;
};

}  // namespace convoy
