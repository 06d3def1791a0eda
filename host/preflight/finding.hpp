// What preflight has to say: a line, and whether it keeps a job from running as it should.
#pragma once

#include <string>
#include <vector>

namespace convoy {

struct Finding {
  bool is_problem = false;
  std::string text;
};
using Findings = std::vector<Finding>;

}  // namespace convoy
