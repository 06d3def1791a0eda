// Operations complete by tests, so that one that hangs keeps nobody from aborting the job.
#include "mpi/mpi_thread.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "convoy/error.hpp"
#include "io/flush_denormals.hpp"
#include "mpi/patience.hpp"

namespace convoy {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kThreadPatience{1};  // more than a poll takes: the thread is stuck in a call
constexpr std::chrono::seconds kAbortPatience{5};

}  // namespace

class MpiThread::Task {
 public:
  explicit Task(Start start) : begin(std::move(start)) {}

  Start begin;
  MPI_Request request = MPI_REQUEST_NULL;
  Clock::time_point posted = Clock::now();
  // Guarded by the owner's mutex.
  bool is_done = false;
  std::exception_ptr error;
  double seconds = 0;
};

void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  fail("{}: {}", call, std::string_view(text.data(), static_cast<std::size_t>(length)));
}

MpiThread::MpiThread() : thread_([this] { loop(); }) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return is_started_; });
  if (!start_error_) return;
  lock.unlock();
  thread_.join();
  std::rethrow_exception(start_error_);
}

MpiThread::~MpiThread() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

MpiThread::Handle MpiThread::start(Start start) {
  Handle handle = std::make_shared<Task>(std::move(start));
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(handle);
  }
  changed_.notify_all();
  return handle;
}

void MpiThread::wait(const Handle& handle) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return handle->is_done; });
  if (handle->error) std::rethrow_exception(handle->error);
}

double MpiThread::seconds(const Handle& handle) const { return handle->seconds; }

void MpiThread::run(const std::function<void()>& call) {
  wait(start([&call] {
    call();
    return MPI_REQUEST_NULL;
  }));
}

void MpiThread::abort(int exit_code) noexcept {
  const Handle aborting = start([exit_code] {
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    return MPI_REQUEST_NULL;
  });
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kThreadPatience, [&] { return aborting->is_done; });
  // The thread waits in a call for a rank that does not come. This process ends anyway, so the rule of one thread may.
  std::thread([exit_code] { MPI_Abort(MPI_COMM_WORLD, exit_code); }).detach();
  std::this_thread::sleep_for(kAbortPatience);
  ::_exit(exit_code);
}

void MpiThread::loop() {
  flush_denormals();  // as the workers' threads do, so that sums are the same in either
  try {
    int provided = 0;
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    CONVOY_CHECK(provided >= MPI_THREAD_FUNNELED, "this MPI was built without threads, which Convoy needs");
    check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  } catch (...) {
    start_error_ = std::current_exception();
  }
  {
    const std::lock_guard lock(mutex_);
    is_started_ = true;
  }
  changed_.notify_all();
  if (start_error_) return;

  std::vector<Handle> active;
  Patience patience;
  while (true) {
    begin_queued(active);
    if (active.empty()) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      if (stop_ && queue_.empty()) break;
      patience.renew();
      continue;
    }
    const std::size_t before = active.size();
    poll(active);
    if (active.size() < before) patience.renew();
    patience.rest();
  }
  MPI_Finalize();
}

void MpiThread::begin_queued(std::vector<Handle>& active) {
  std::deque<Handle> queued;
  {
    const std::lock_guard lock(mutex_);
    queued.swap(queue_);
  }
  for (const Handle& handle : queued) {
    try {
      handle->request = handle->begin();
      if (handle->request == MPI_REQUEST_NULL) {
        finish(handle, nullptr);
      } else {
        active.push_back(handle);
      }
    } catch (...) {
      finish(handle, std::current_exception());
    }
  }
}

void MpiThread::poll(std::vector<Handle>& active) {
  std::erase_if(active, [this](const Handle& handle) {
    int is_complete = 0;
    try {
      check_mpi(MPI_Test(&handle->request, &is_complete, MPI_STATUS_IGNORE), "MPI_Test");
    } catch (...) {
      finish(handle, std::current_exception());
      return true;
    }
    if (is_complete != 0) finish(handle, nullptr);
    return is_complete != 0;
  });
}

void MpiThread::finish(const Handle& handle, std::exception_ptr error) {
  {
    const std::lock_guard lock(mutex_);
    handle->seconds = std::chrono::duration<double>(Clock::now() - handle->posted).count();
    handle->error = std::move(error);
    handle->is_done = true;
  }
  changed_.notify_all();
}

}  // namespace convoy
