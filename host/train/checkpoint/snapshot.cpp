#include "train/checkpoint/snapshot.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace convoy {

void Snapshot::clear() {
  entries_.clear();
  used_ = 0;
}

std::byte* Snapshot::add(std::string_view name, TensorType type, std::size_t elements) {
  entries_.push_back({std::string(name), type, used_, elements});
  const std::size_t offset = std::exchange(used_, used_ + elements * bytes_per_element(type));
  if (used_ > memory_.size()) memory_.resize(used_);
  return memory_.data() + offset;
}

void Snapshot::device(std::string_view name, float* data, std::size_t count) {
  backend_.download(add(name, TensorType::f32, count), data, count * sizeof(float));
}

void Snapshot::values(std::string_view name, std::vector<double>& values) {
  std::byte* to = add(name, TensorType::f64, values.size());
  if (!values.empty()) std::memcpy(to, values.data(), values.size() * sizeof(double));
}

void Snapshot::values(std::string_view name, std::vector<std::int64_t>& values) {
  std::byte* to = add(name, TensorType::i64, values.size());
  if (!values.empty()) std::memcpy(to, values.data(), values.size() * sizeof(std::int64_t));
}

std::vector<TensorView> Snapshot::tensors() const {
  std::vector<TensorView> views;
  for (const Entry& entry : entries_) {
    views.push_back({entry.name,
                     entry.type,
                     {static_cast<std::int64_t>(entry.elements)},
                     {memory_.data() + entry.offset, entry.elements * bytes_per_element(entry.type)}});
  }
  return views;
}

std::span<const std::byte> SnapshotReader::find(std::string_view name) const {
  const auto found = std::ranges::find(tensors_, name, &TensorView::name);
  CONVOY_CHECK(found != tensors_.end(), "a copy of the state has no '{}'", name);
  return found->bytes;
}

void SnapshotReader::device(std::string_view name, float* data, std::size_t count) {
  backend_.upload(data, find(name).data(), count * sizeof(float));
}

template <typename T>
void SnapshotReader::read(std::string_view name, std::vector<T>& values) const {
  const std::span<const std::byte> bytes = find(name);
  values.resize(bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
}

}  // namespace convoy
