// Which of the two ways, and what each needs.
#include "train/device_set.hpp"

#include <algorithm>
#include <numeric>

#include "convoy/error.hpp"

namespace convoy {
namespace {

// Two slots that threads fill, one that is copied, one that is read. A thread gathers a batch of 2000 CIFAR images,
// some 6 MB, in about a millisecond, a third of the fastest step's time.
constexpr int kLoaderThreads = 2;
constexpr int kSlots = 4;

// Images become resident where they take at most this part of the free device memory: activations need the rest, and
// are planned later.
constexpr std::size_t kPartForImages = 2;

double megabytes(std::size_t bytes) { return static_cast<double>(bytes) / 1e6; }

}  // namespace

DeviceSet::DeviceSet(Backend& backend, const ImageSet& set, const DeviceSetOptions& options)
    : backend_(backend),
      image_(set.image),
      count_(set.count()),
      order_(backend.allocate((options.positions > 0 ? options.positions : count_) * sizeof(std::int32_t),
                              "order of the samples")) {
  source_.order = static_cast<const std::int32_t*>(order_.data());
  if (decide_staged(set, options)) {
    stage(set, options.batch);
  } else {
    images_ = backend.share(set.pixels(), set.pixel_bytes(), options.name);
    labels_ = backend.share(set.labels.data(), set.labels.size() * sizeof(std::int32_t), "labels");
    source_.images = static_cast<const std::uint8_t*>(images_.data());
    source_.labels = static_cast<const std::int32_t*>(labels_.data());
  }
  if (options.positions > 0 && options.positions != count_) return;
  std::vector<std::int32_t> order(count_);
  std::iota(order.begin(), order.end(), 0);
  set_order(order);
}

bool DeviceSet::decide_staged(const ImageSet& set, const DeviceSetOptions& options) {
  if (options.mode == DataMode::staged) return true;
  const std::size_t bytes = set.pixel_bytes(), free = backend_.free_bytes();
  if (options.mode == DataMode::resident) {
    if (bytes > free) {
      fail_usage("--data-mode resident: the {} take {:.1f} MB, but {:.1f} MB of device memory are free: use staged",
                 options.name, megabytes(bytes), megabytes(free));
    }
    return false;
  }
  if (bytes <= free / kPartForImages) return false;
  line_ = fmt::format("{}: staged, for they take {:.1f} MB, and {:.1f} MB of device memory are free", options.name,
                      megabytes(bytes), megabytes(free));
  return true;
}

void DeviceSet::stage(const ImageSet& set, int batch) {
  CONVOY_CHECK(batch > 0, "a staged set needs the rows of its largest batch");
  const BatchLayout layout{static_cast<std::size_t>(batch), static_cast<std::size_t>(image_.elements())};
  const std::size_t bytes = layout.bytes(layout.rows);
  batch_ = backend_.allocate(bytes, "batch of images");
  source_.labels = reinterpret_cast<const std::int32_t*>(batch_.at(0));
  source_.images = reinterpret_cast<const std::uint8_t*>(batch_.at(layout.images_at()));
  source_.staged = true;
  stager_ = backend_.make_stager(kSlots, bytes, "staged batches");
  loader_.emplace(set, layout, *stager_, kLoaderThreads);
}

void DeviceSet::set_order(const std::vector<std::int32_t>& order) {
  CONVOY_CHECK(order.size() * sizeof(std::int32_t) == order_.bytes(), "an order of {} samples was planned, not of {}",
               order_.bytes() / sizeof(std::int32_t), order.size());
  backend_.upload(order_.data(), order.data(), order_.bytes());
  if (loader_) loader_->set_order(order);
}

void DeviceSet::begin(std::span<const Share> batches) {
  if (loader_) loader_->begin(batches);
}

void DeviceSet::next() {
  if (loader_) loader_->take(batch_.data());
}

}  // namespace convoy
