// See guarded_buffer.hpp.
#include "support/guarded_buffer.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace convoy::test {
namespace {

constexpr unsigned char kGuardByte = 0xA5;

// 0x7FC0 again and again: a quiet NaN as fp32, bf16 and fp16.
std::vector<unsigned char> poison_bytes(std::size_t count) {
  std::vector<unsigned char> bytes(count, 0xC0);
  for (std::size_t i = 1; i < count; i += 2) bytes[i] = 0x7F;
  return bytes;
}

}  // namespace

GuardedBuffer::GuardedBuffer(Backend& backend, std::size_t bytes, const std::string& what)
    : backend_(&backend), bytes_(bytes), what_(what), arena_(backend.allocate(bytes + 2 * kGuard, what)) {
  const std::vector<unsigned char> guard(bytes + 2 * kGuard, kGuardByte);
  backend_->upload(arena_.data(), guard.data(), guard.size());
  backend_->wait();  // before `guard` goes
  poison();
}

void GuardedBuffer::poison() {
  if (bytes_ == 0) return;
  const std::vector<unsigned char> bytes = poison_bytes(bytes_);
  backend_->upload(data(), bytes.data(), bytes.size());
  backend_->wait();
}

std::vector<unsigned char> GuardedBuffer::contents() const {
  std::vector<unsigned char> bytes(bytes_);
  if (bytes_ != 0) backend_->download(bytes.data(), data(), bytes_);
  return bytes;
}

bool GuardedBuffer::is_poisoned() const { return contents() == poison_bytes(bytes_); }

void GuardedBuffer::expect_guards_intact() const {
  std::vector<unsigned char> all(bytes_ + 2 * kGuard);
  backend_->download(all.data(), arena_.data(), all.size());
  const auto is_guard = [](unsigned char byte) { return byte == kGuardByte; };
  EXPECT_TRUE(std::all_of(all.begin(), all.begin() + kGuard, is_guard)) << what_ << ": written before its first byte";
  const auto end = all.begin() + static_cast<std::ptrdiff_t>(kGuard + bytes_);
  const auto hit = std::find_if_not(end, all.end(), is_guard);
  EXPECT_TRUE(hit == all.end()) << what_ << ": written " << hit - end << " bytes beyond its end (" << bytes_
                                << " bytes)";
}

}  // namespace convoy::test
