// MPI starts here and nowhere else, and only where a launcher was at work.
#include "cli/workers.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
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
  // All processes call it; `threads` of the job's workers are in each.
  JobWatch(const JoinedWorkers& processes, int threads, const RunConfig& config, RunContext& context);

  // The work of a worker of this process, which from then on reports where it waits. It does not return where the work
  // fails: the others wait for this worker.
  int run(std::unique_ptr<Communicator>& worker, RunContext& context, const JobWork& work);

  void finish() { watchdog_.finish(); }

 private:
  // Ends every process of the job: this one, and the others through the watchdog or MPI.
  [[noreturn]] void fail(const std::exception& error, Communicator& worker);

  RunContext& first_;                     // of this process's workers: a failure of any is the run's
  std::atomic<bool> has_spoken_ = false;  // this process has said why the job ends
  std::atomic<int> exit_code_ = 0;        // of this process's own failure
  Watchdog watchdog_;
};

JobWatch::JobWatch(const JoinedWorkers& processes, int threads, const RunConfig& config, RunContext& context)
    : first_(context), watchdog_([&] {
        WatchdogListener listener = processes.is_first() ? WatchdogListener::open() : WatchdogListener();
        const Rendezvous rendezvous = meeting_place(listener, *processes.communicator);
        WatchdogOptions options;
        options.first_rank = processes.communicator->rank() * threads;
        options.ranks = threads;
        options.world_size = processes.communicator->size() * threads;
        options.timeout = config.timeout;
        options.startup_timeout = config.startup_timeout;
        options.print = [this](const std::string& line) {
          if (!has_spoken_) print_to_stderr(line);
        };
        Communicator* communicator = processes.communicator.get();  // which watch() below keeps
        options.on_verdict = [this, communicator](const Verdict& verdict) {
          if (exit_code_ != 0) std::_Exit(exit_code_);  // its own failure is recorded
          first_.fail(verdict.message);
          std::this_thread::sleep_for(kOthersLeave);
          // A process that was stopped cannot leave by itself, and not every launcher ends it unasked.
          if (communicator->rank() == 0) communicator->abort(static_cast<int>(ExitCode::failed));
          std::_Exit(static_cast<int>(ExitCode::failed));
        };
        return Watchdog(options, rendezvous, std::move(listener));
      }()) {}

int JobWatch::run(std::unique_ptr<Communicator>& worker, RunContext& context, const JobWork& work) {
  RankProgress& progress = watchdog_.progress(worker->rank());
  context.watch_through(progress);
  worker = watch(std::move(worker), progress);
  context.leave_by([this, &worker](const std::exception& error) { fail(error, *worker); });
  return context.or_leave([&] { return work(*worker, context); });
}

void JobWatch::fail(const std::exception& error, Communicator& worker) {
  first_.fail(error.what());
  exit_code_ = static_cast<int>(exit_code_of(error));
  if (worker.rank() == 0) {
    report_error(error);
    has_spoken_ = true;
  } else {
    std::this_thread::sleep_for(kFirstSpeaks);
  }
  if (!watchdog_.fail(worker.rank(), error.what())) report_error(error);
  worker.abort(exit_code_);
  std::_Exit(exit_code_);
}

// A worker for each of this process's GPUs; the first one speaks and writes.
int run_on_threads(int count, JobWatch& watch, const CommandContext& command, RunContext& context, Progress& progress,
                   const JobWork& work) {
  int code = 0;
  run_worker_threads(count, [&](Communicator& communicator) {
    std::unique_ptr<Communicator> worker = communicator.split(0);
    if (worker->rank() == 0) {
      code = watch.run(worker, context, work);
    } else {
      RunContext silent(command.clock, command.command_line, progress, false);
      watch.run(worker, silent, work);
    }
  });
  return code;
}

}  // namespace

int run_job(const std::optional<Launch>& launch, const RunConfig& config, const CommandContext& command,
            Progress& progress, const JobWork& work) {
  const bool is_alone = !launch || launch->size == 1;
  if (!is_alone && config.gpus_per_process != 1) {
    fail_usage("--gpus-per-process is for one process alone: let {} start a process for every GPU", launch->launcher);
  }
  const int threads = is_alone ? workers_of_process(config) : 1;
  JoinedWorkers processes = join_workers(launch);
  RunContext context(command.clock, command.command_line, progress, processes.is_first());
  if (!processes.line.empty()) context.note(processes.line);
  if (processes.communicator->size() * threads > 1) {
    JobWatch watch(processes, threads, config, context);
    const int code = threads > 1 ? run_on_threads(threads, watch, command, context, progress, work)
                                 : watch.run(processes.communicator, context, work);
    watch.finish();
    return code;
  }
  try {
    return work(*processes.communicator, context);
  } catch (const std::exception& error) {
    context.fail(error.what());
    throw;
  }
}

}  // namespace convoy
