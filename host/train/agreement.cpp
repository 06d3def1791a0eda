// One reduction of a checksum an item where all agree; texts travel only where they do not.
#include "train/agreement.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

#include "convoy/checksum.hpp"
#include "convoy/error.hpp"

namespace convoy {
namespace {

constexpr std::size_t kLongestShown = 80;

std::string_view line_at(std::string_view text, std::size_t begin) {
  return begin < text.size() ? text.substr(begin, text.find('\n', begin) - begin) : "";
}

// The first line in which two texts differ, as "'a' and 'b'"; of a long one the part around the difference.
std::string difference(std::string_view first, std::string_view other) {
  std::size_t begin = 0;
  std::string_view a = line_at(first, 0), b = line_at(other, 0);
  while (a == b && begin < std::max(first.size(), other.size())) {
    begin += a.size() + 1;
    a = line_at(first, begin);
    b = line_at(other, begin);
  }
  const auto same = static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
  const std::size_t shown = std::max(same, kLongestShown / 2) - kLongestShown / 2;
  return fmt::format("'{}' and '{}'", a.substr(shown, kLongestShown), b.substr(shown, kLongestShown));
}

[[noreturn]] void fail_apart(Communicator& communicator, const Agreed& item) {
  const std::vector<std::string> values = communicator.gather(item.value);
  std::vector<std::size_t> apart;
  for (std::size_t worker = 1; worker < values.size(); ++worker) {
    if (values[worker] != values.front()) apart.push_back(worker);
  }
  fail("worker{} {} and worker 0 differ in {}: {}", apart.size() == 1 ? "" : "s", fmt::join(apart, ", "), item.what,
       difference(values[apart.front()], values.front()));
}

}  // namespace

void agree(Communicator& communicator, std::span<const Agreed> items) {
  for (const Agreed& item : items) {
    const MinMax checksums = communicator.min_max(checksum(item.value.data(), item.value.size()));
    if (checksums.least != checksums.most) fail_apart(communicator, item);
  }
}

}  // namespace convoy
