// Optimal string alignment distance (insertions, deletions, substitutions, swapped neighbours), small words only.
#include "io/did_you_mean.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace convoy {
namespace {

std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + change});
      const bool is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (is_swap) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string did_you_mean(std::string_view word, std::span<const std::string_view> known) {
  constexpr std::size_t kLongestWord = 64;  // nobody mistypes a longer one; bounds the work on hostile input
  if (word.size() > kLongestWord) return "";
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string_view candidate : known) {
    const std::size_t found = distance(word, candidate);
    // A beginning of a long name ("eval" for "evaluate-every") counts as two mistakes.
    const bool is_prefix = word.size() >= 3 && candidate.starts_with(word);
    const std::size_t cost = is_prefix ? std::min<std::size_t>(found, 2) : found;
    if (cost < best_distance && cost < candidate.size()) {
      best = candidate;
      best_distance = cost;
    }
  }
  return best.empty() ? "" : fmt::format("; did you mean '{}'?", best);
}

}  // namespace convoy
