// A validation set held out of the training set.
#include "data/split.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "convoy/error.hpp"
#include "convoy/philox.hpp"
#include "data/image_memory.hpp"
#include "data/parallel.hpp"
#include "data/text.hpp"

namespace convoy {
namespace {

// Largest remainder: floor of the exact share, and one more for the classes that lost most, lowest label first.
std::vector<std::size_t> shares(const std::vector<std::size_t>& sizes, std::size_t count) {
  const std::size_t total = std::accumulate(sizes.begin(), sizes.end(), std::size_t{0});
  std::vector<std::size_t> result(sizes.size()), order(sizes.size());
  std::size_t given = 0;
  for (std::size_t c = 0; c < sizes.size(); ++c) given += result[c] = sizes[c] * count / total;
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return sizes[a] * count % total > sizes[b] * count % total; });
  for (std::size_t i = 0; given < count; ++i, ++given) ++result[order[i]];
  return result;
}

// Copies the chosen images, in order.
ImageSet gather(const ImageSet& from, const std::vector<std::size_t>& chosen) {
  constexpr std::size_t kBlock = 1024;
  const auto bytes = static_cast<std::size_t>(from.image.elements());
  ImageSet set;
  make_room(set, from.image, chosen.size());
  parallel_for((chosen.size() + kBlock - 1) / kBlock, [&](std::size_t block) {
    for (std::size_t i = block * kBlock; i < std::min(chosen.size(), (block + 1) * kBlock); ++i) {
      std::memcpy(set.images.data() + i * bytes, from.at(chosen[i]), bytes);
      set.labels[i] = from.labels[chosen[i]];
    }
  });
  return set;
}

}  // namespace

std::size_t validation_count(const std::string& text, std::size_t total) {
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_number = problem == std::errc() && end == text.data() + text.size() && std::isfinite(value);
  const double count = value < 1 ? std::round(value * static_cast<double>(total)) : value;
  if (!is_number || count < 1 || count != std::floor(count) || count >= static_cast<double>(total)) {
    fail_usage("--validation {}: a count from 1 to {}, or a fraction between 0 and 1, expected", printable(text),
               grouped(total > 0 ? total - 1 : 0));
  }
  return static_cast<std::size_t>(count);
}

Split split_validation(const ImageSet& set, std::size_t count, std::uint64_t seed) {
  CONVOY_CHECK(count > 0 && count < set.count(), "a validation set of 1 to {} images expected, found {}",
               grouped(set.count() > 0 ? set.count() - 1 : 0), grouped(count));
  using Keyed = std::pair<std::uint64_t, std::size_t>;
  std::vector<std::vector<Keyed>> by_class;
  for (std::size_t i = 0; i < set.count(); ++i) {
    const auto label = static_cast<std::size_t>(set.labels[i]);
    if (label >= by_class.size()) by_class.resize(label + 1);
    const Random4 bits = random_bits(seed, Purpose::validation, 0, i);
    by_class[label].emplace_back((std::uint64_t{bits.x} << 32) | bits.y, i);
  }
  std::vector<std::size_t> sizes;
  for (const auto& members : by_class) sizes.push_back(members.size());
  const std::vector<std::size_t> held = shares(sizes, count);
  std::vector<bool> is_held(set.count());
  for (std::size_t c = 0; c < by_class.size(); ++c) {
    std::sort(by_class[c].begin(), by_class[c].end());
    for (std::size_t i = 0; i < held[c]; ++i) is_held[by_class[c][i].second] = true;
  }
  std::vector<std::size_t> train, validation;
  for (std::size_t i = 0; i < set.count(); ++i) (is_held[i] ? validation : train).push_back(i);
  return {gather(set, train), gather(set, validation)};
}

}  // namespace convoy
