// Device memory that frees itself.
#include <string_view>
#include <utility>

#include "convoy/backend.hpp"

namespace convoy {

Arena::Arena(void* data, std::size_t bytes, Release release)
    : data_(data), bytes_(bytes), release_(std::move(release)) {}

Arena::Arena(Arena&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      release_(std::exchange(other.release_, nullptr)) {}

Arena& Arena::operator=(Arena&& other) noexcept {
  if (this == &other) return *this;
  if (data_ != nullptr && release_) release_(data_);
  data_ = std::exchange(other.data_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  release_ = std::exchange(other.release_, nullptr);
  return *this;
}

Arena::~Arena() {
  if (data_ != nullptr && release_) release_(data_);
}

std::string_view batch_option_of(std::string_view what) {
  return what.find("evaluation") != std::string_view::npos ? "--evaluation-batch" : "--batch";
}

}  // namespace convoy
