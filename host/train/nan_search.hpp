// Where numbers that are not finite began: takes the steps since a checkpoint again until loss or weights are not
// finite, and then that one step operation by operation, looking at each result. All workers call it together.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "convoy/backend.hpp"
#include "convoy/communicator.hpp"
#include "train/averager.hpp"
#include "train/local_rank.hpp"

namespace convoy {

struct NanSearchParts {
  Backend& backend;
  Communicator& communicator;
  std::vector<std::unique_ptr<LocalRank>>& ranks;
  Averager& averager;
  std::function<void(std::int64_t step)> aim;  // ranks and data: at this step, and at those after it in its epoch
  std::function<void(TrainingState&)> visit;   // of everything that changes from step to step
  std::function<bool()> goes_on;               // asked after each step; false: it is not worth the time any more
};

class NanSearch {
 public:
  explicit NanSearch(const NanSearchParts& parts) : parts_(parts) {}

  // From the state before the first of these steps, those that were taken since; before `finite_until` all was finite.
  // About as long as they took. In words that go on after a colon; empty where goes_on ended it.
  std::string since(const std::vector<std::int64_t>& steps, std::int64_t finite_until);
  // Without such a state: where the weights of now, or this step with them, are not finite.
  std::string now(std::int64_t step);

 private:
  struct Origin {
    std::string place;
    std::vector<int> ranks;
  };
  bool take(std::int64_t step);
  bool are_finite();
  std::optional<Origin> examine(std::int64_t step);
  std::string in_words(const Origin& origin) const;

  NanSearchParts parts_;
  std::int64_t aimed_at_ = -1;
};

}  // namespace convoy
