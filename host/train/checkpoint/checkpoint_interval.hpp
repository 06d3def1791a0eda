// --checkpoint-every: a number of steps, or a time.
#pragma once

#include <cstdint>
#include <string_view>

namespace convoy {

struct CheckpointInterval {
  std::int64_t steps = 0;  // 0: not by steps
  double seconds = 0;      // 0: not by time

  // "500", "90s", "5m", "2h"; "0": never. Throws UsageError with what was expected.
  static CheckpointInterval parse(std::string_view text);

  bool is_set() const { return steps > 0 || seconds > 0; }
  bool is_due_after(std::int64_t step) const { return steps > 0 && step % steps == 0; }
};

}  // namespace convoy
