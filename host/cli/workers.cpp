// MPI starts here and nowhere else, and only where a launcher was at work.
#include "cli/workers.hpp"

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <thread>
#include <utility>

#include "cli/command.hpp"
#include "convoy/error.hpp"
#include "mpi/mpi_communicator.hpp"
#include "mpi/placement.hpp"
#include "train/watched_communicator.hpp"

namespace convoy {

JoinedWorkers join_workers(const std::optional<Launch>& launch) {
  if (!launch) return {make_self_communicator(), ""};
  JoinedWorkers workers{make_mpi_communicator(*launch), ""};
  workers.line = bind_to_cores(*workers.communicator, *launch);
  return workers;
}

namespace {

// The workers of a process that failed themselves end first, so that the job's exit code is theirs.
constexpr std::chrono::milliseconds kOthersLeave{500};

std::string as_text(const Rendezvous::Bytes& bytes) { return {bytes.begin(), bytes.end()}; }
Rendezvous meeting_place(const WatchdogListener& listener, Communicator& communicator) {
  const std::string bytes = communicator.gather(as_text(listener.rendezvous().to_bytes())).front();
  return Rendezvous::from_bytes({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

}  // namespace

JobWatch::JobWatch(JoinedWorkers& workers, const RunConfig& config, RunContext& context)
    : watchdog_([&] {
        WatchdogListener listener = workers.is_first() ? WatchdogListener::open() : WatchdogListener();
        const Rendezvous rendezvous = meeting_place(listener, *workers.communicator);
        WatchdogOptions options;
        options.first_rank = workers.communicator->rank();
        options.world_size = workers.communicator->size();
        options.timeout = config.timeout;
        options.startup_timeout = config.startup_timeout;
        options.print = [this](const std::string& line) {
          if (!has_spoken_) print_to_stderr(line);
        };
        Communicator* communicator = workers.communicator.get();  // which watch() below keeps
        options.on_verdict = [this, &context, communicator](const Verdict& verdict) {
          if (exit_code_ != 0) std::_Exit(exit_code_);  // its own failure is recorded
          context.fail(verdict.message);
          std::this_thread::sleep_for(kOthersLeave);
          // A process that was stopped cannot leave by itself, and not every launcher ends it unasked.
          if (communicator->rank() == 0) communicator->abort(static_cast<int>(ExitCode::failed));
          std::_Exit(static_cast<int>(ExitCode::failed));
        };
        return Watchdog(options, rendezvous, std::move(listener));
      }()) {
  RankProgress& progress = watchdog_.progress(workers.communicator->rank());
  context.watch_through(progress);
  workers.communicator = watch(std::move(workers.communicator), progress);
}

void JobWatch::fail(const std::exception& error, Communicator& communicator) {
  exit_code_ = static_cast<int>(exit_code_of(error));
  if (communicator.rank() == 0) {
    report_error(error);
    has_spoken_ = true;
  } else {
    std::this_thread::sleep_for(kFirstSpeaks);
  }
  if (!watchdog_.fail(communicator.rank(), error.what())) report_error(error);
  communicator.abort(exit_code_);
  std::_Exit(exit_code_);
}

}  // namespace convoy
