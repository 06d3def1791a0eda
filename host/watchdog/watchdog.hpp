// Ends a job of many ranks when one of them dies, fails or stops moving, and says which and what it was doing.
// One Watchdog a process: a thread, and a TCP connection to rank 0's process. It is never the reason of a failure:
// what it cannot watch goes on unwatched, with a warning.
//
//   auto listener = is_rank_0 ? WatchdogListener::open() : WatchdogListener();
//   Rendezvous::Bytes bytes = listener.rendezvous().to_bytes();
//   MPI_Bcast(bytes.data(), bytes.size(), MPI_BYTE, 0, MPI_COMM_WORLD);
//   Watchdog watchdog({.first_rank = 4, .ranks = 2, .world_size = 8}, Rendezvous::from_bytes(bytes),
//                     std::move(listener));
//   RankProgress& progress = watchdog.progress(4);  // the worker's thread keeps it up to date
//   ...
//   watchdog.finish();                              // or watchdog.fail(4, error.what())
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "watchdog/progress.hpp"
#include "watchdog/rendezvous.hpp"
#include "watchdog/verdict.hpp"

namespace convoy {

[[noreturn]] void leave_at_once(const Verdict& verdict);  // _exit(1): no destructor could wait for a dead rank
void print_to_stderr(const std::string& line);

struct WatchdogOptions {
  int first_rank = 0, ranks = 1;  // of this process: `ranks` in a row; rank 0's process is the one that judges
  int world_size = 1;
  // Seconds, of the same length in all processes.
  double timeout = 60;           // that a rank may stand still; 0: for ever
  double startup_timeout = 600;  // the same in the phases up to the first steps
  double least_silence = 10;     // a process that says nothing for this, and for timeout, is lost; timeout 0: never
  double connect_timeout = 5;    // afterwards this process goes unwatched
  // On the watchdog's thread, once, in every process, after all have been told and rank 0's has printed the line.
  // It must not throw. Where it returns, the watchdog has nothing more to do.
  std::function<void(const Verdict&)> on_verdict = leave_at_once;
  // A verdict or a warning: one whole line, "convoy: rank 2 on node7 died in ...". On the watchdog's thread.
  std::function<void(const std::string& line)> print = print_to_stderr;
};

class Watchdog {
 public:
  // Returns at once and never throws but for want of memory; connecting is the thread's affair.
  Watchdog(WatchdogOptions options, const Rendezvous& rendezvous, WatchdogListener listener = {});
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  // Without finish() the others take this process for dead. Waits at most one second.
  ~Watchdog();

  RankProgress& progress(int rank);  // of this process; as long-lived as the Watchdog

  // A rank gives up: the whole job ends, and rank 0 prints "convoy: rank 3: MESSAGE", only of the first rank that
  // fails. Returns after on_verdict. False: after some seconds nobody could be told; print it.
  bool fail(int rank, std::string_view message);

  // All ranks of this process are done. The others go on, watched as long as rank 0's process has not finished too.
  // Waits for nobody, at most one second for its own goodbye.
  void finish();

 private:
  struct State;
  std::shared_ptr<State> state_;  // the thread's too, which may outlive a destructor that must not wait
  std::thread thread_;
};

}  // namespace convoy
