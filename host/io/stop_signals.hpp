// SIGUSR1, SIGTERM, SIGINT and SIGHUP ask a run to stop where it can be resumed. A second one ends the process at once,
// unless it is leaving anyway.
#pragma once

#include <array>
#include <csignal>

namespace convoy {

inline constexpr std::array<int, 4> kStopSignals = {SIGUSR1, SIGTERM, SIGINT, SIGHUP};
const char* name_of_signal(int signal);  // "SIGTERM"; of those above

// From now on this process notes them, but for a SIGHUP that nohup lets it ignore; and a reader of its output that
// leaves does not end it (SIGPIPE). Call before MPI starts, for a scheduler's signal may come at any time, and before
// any other thread does.
void catch_stop_signals();
// The first that came, or 0.
int received_stop_signal();
// From now on none does anything: the work is done and saved, and a launcher that sends one because another process has
// left before may not change this one's exit status.
void let_stop_signals_pass();

}  // namespace convoy
