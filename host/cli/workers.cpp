// MPI starts here and nowhere else, and only where a launcher was at work.
#include "cli/workers.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <thread>
#include <utility>

#include "cli/command.hpp"
#include "convoy/error.hpp"
#include "mpi/mpi_communicator.hpp"
#include "mpi/placement.hpp"
#include "train/devices.hpp"
#include "train/watched_communicator.hpp"
#include "train/worker_threads.hpp"
#include "watchdog/watchdog.hpp"

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

// Ends the job when a worker of it dies, hangs or fails.
class JobWatch {
 public:
  // All workers call it. From then on `workers.communicator` reports where it waits.
  JobWatch(JoinedWorkers& workers, const RunConfig& config, RunContext& context);

  void finish() { watchdog_.finish(); }
  // Ends every process of the job: this one, and the others through the watchdog or MPI.
  [[noreturn]] void fail(const std::exception& error, Communicator& communicator);

 private:
  std::atomic<bool> has_spoken_ = false;  // this process has said why the job ends
  std::atomic<int> exit_code_ = 0;        // of this process's own failure
  Watchdog watchdog_;
};

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

// A worker for each of this process's GPUs; the first one speaks and writes.
int work_on_threads(int count, const CommandContext& command, RunContext& context, Progress& progress,
                    const JobWork& work) {
  int code = 0;
  run_worker_threads(count, [&](Communicator& communicator) {
    if (communicator.rank() == 0) {
      code = work(communicator, context);
    } else {
      RunContext silent(command.clock, command.command_line, progress, false);
      work(communicator, silent);
    }
  });
  return code;
}

}  // namespace

int run_job(const std::optional<Launch>& launch, const RunConfig& config, const CommandContext& command,
            Progress& progress, const JobWork& work) {
  if (launch && config.gpus_per_process != 1) {
    fail_usage("--gpus-per-process is for a process that {} did not start: let it start a process for every GPU",
               launch->launcher);
  }
  JoinedWorkers workers = join_workers(launch);
  RunContext context(command.clock, command.command_line, progress, workers.is_first());
  if (!workers.line.empty()) context.note(workers.line);
  std::optional<JobWatch> watch;
  if (workers.communicator->size() > 1) watch.emplace(workers, config, context);
  try {
    const int threads = launch ? 1 : workers_of_process(config);
    const int code =
        threads > 1 ? work_on_threads(threads, command, context, progress, work) : work(*workers.communicator, context);
    if (watch) watch->finish();
    return code;
  } catch (const std::exception& error) {
    context.fail(error.what());
    if (watch) watch->fail(error, *workers.communicator);  // the others wait for this worker: it may not just return
    throw;
  }
}

}  // namespace convoy
