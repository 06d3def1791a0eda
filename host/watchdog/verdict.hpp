// Why a job ends: every process of it hears the same.
#pragma once

#include <cstdint>
#include <string>

namespace convoy {

struct Verdict {
  enum class Kind : std::uint8_t {
    stuck,   // alive, and has not moved for its time
    died,    // its connection closed without a goodbye
    silent,  // its process or host says nothing any more
    failed,  // it said so itself: Watchdog::fail
  };
  Kind kind = Kind::stuck;
  int rank = 0;         // the first of those to blame
  std::string message;  // one line without the program's name: "rank 2 on node7 died in training, epoch 1, step 340"
};

}  // namespace convoy
