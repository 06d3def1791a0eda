// One reduction of a checksum an item where all agree; texts travel only where they do not.
#include "train/agreement.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "convoy/checksum.hpp"
#include "convoy/error.hpp"

namespace convoy {
namespace {

constexpr std::size_t kLongestShown = 80;

// The first line in which two texts differ, as "'a' and 'b'".
std::string difference(const std::string& first, const std::string& other) {
  std::size_t begin = 0, line = 0;
  while (begin < std::min(first.size(), other.size()) && first[begin] == other[begin]) {
    if (first[begin++] == '\n') line = begin;
  }
  const auto rest = [line](const std::string& text) {
    return text.substr(line, std::min(text.find('\n', line) - line, kLongestShown));
  };
  return fmt::format("'{}' and '{}'", rest(first), rest(other));
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
