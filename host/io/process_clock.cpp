// /proc/self/stat gives the start in ticks since boot (10 ms fine); CLOCK_BOOTTIME is the same clock.
#include "io/process_clock.hpp"

#include <unistd.h>

#include <ctime>
#include <fstream>
#include <sstream>
#include <string>

namespace convoy {
namespace {

// Seconds from the start of the process to now; 0 where /proc does not tell, or tells nonsense.
double age_of_process() {
  std::ifstream stat("/proc/self/stat");
  std::string text;
  std::getline(stat, text);
  const std::size_t name_end = text.rfind(')');  // the command's name may hold spaces
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  constexpr int kFieldsBeforeStart = 19;  // state is field 3, starttime field 22
  std::string skipped;
  for (int i = 0; i < kFieldsBeforeStart; ++i) fields >> skipped;
  double ticks = 0;
  timespec now{};
  if (!(fields >> ticks) || ::clock_gettime(CLOCK_BOOTTIME, &now) != 0) return 0;
  const double age = static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9 -
                     ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
  constexpr double kPlausible = 60;  // main starts sooner than that after exec
  return age >= 0 && age < kPlausible ? age : 0;
}

}  // namespace

ProcessClock::ProcessClock() : before_(age_of_process()), start_(std::chrono::steady_clock::now()) {}

void ProcessClock::restart() {
  before_ = 0;
  start_ = std::chrono::steady_clock::now();
}

double ProcessClock::seconds() const {
  return before_ + std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

}  // namespace convoy
