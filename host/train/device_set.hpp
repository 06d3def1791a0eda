// A labelled set as the device sees it: uint8 images, labels, and the order in which steps take the samples. Resident:
// all of it lies on the device. Staged: each batch is brought there while the one before is worked on; order and
// nothing else stays.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convoy/backend.hpp"
#include "data/batch_loader.hpp"
#include "data/dataset.hpp"
#include "train/run_config.hpp"

namespace convoy {

struct DeviceSetOptions {
  std::string_view name = "images";  // for messages: "training images"
  DataMode mode = DataMode::resident;
  int batch = 0;              // rows of the largest batch; staged needs it
  std::size_t positions = 0;  // of the order; 0: as many as samples
};

class DeviceSet {
 public:
  // `set` must outlive this. The order starts as 0, 1, 2, ..., unless it has other than the set's own positions: then
  // set_order gives it. Throws UsageError where a set that is to be resident does not fit.
  DeviceSet(Backend& backend, const ImageSet& set, const DeviceSetOptions& options = {});

  void set_order(const std::vector<std::int32_t>& order);  // sample numbers, as many as planned

  // Before the batches of an epoch, an evaluation, ...: which parts of the order they are, in the order in which they
  // will be asked for. What remains of those before is forgotten.
  void begin(std::span<const Share> batches);
  // Enqueues that source() has the next batch. Throws what stopped it from being gathered.
  void next();

  BatchSource source() const { return source_; }  // the same for all batches
  const Extent& image() const { return image_; }
  std::size_t count() const { return count_; }
  bool is_staged() const { return source_.staged; }
  const std::string& line() const { return line_; }  // for the user, where auto chose staged; else empty
  LoaderCounts counts() const { return loader_ ? loader_->counts() : LoaderCounts{}; }

 private:
  bool decide_staged(const ImageSet& set, const DeviceSetOptions& options);
  void stage(const ImageSet& set, int batch);

  Backend& backend_;
  Extent image_;
  std::size_t count_;
  Arena order_;
  Arena images_, labels_;           // resident
  Arena batch_;                     // staged: the batch at work
  std::unique_ptr<Stager> stager_;  // staged: those to come
  std::optional<BatchLoader> loader_;
  BatchSource source_;
  std::string line_;
};

}  // namespace convoy
