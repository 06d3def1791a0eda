// The one thread of this process that calls MPI: others hand it operations and wait for them.
#pragma once

#include <mpi.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace convoy {

// Throws Error naming the call and MPI's own words.
void check_mpi(int code, const char* call);

class MpiThread {
 public:
  // One operation under way.
  class Task;
  using Handle = std::shared_ptr<Task>;
  // Starts a non-blocking operation and returns its request; or does all its work and returns MPI_REQUEST_NULL.
  using Start = std::function<MPI_Request()>;

  MpiThread();  // starts MPI
  MpiThread(const MpiThread&) = delete;
  MpiThread& operator=(const MpiThread&) = delete;
  ~MpiThread();  // ends MPI, when what was started is done

  Handle start(Start start);                    // never waits; operations start in this order
  void wait(const Handle& handle);              // until it is done; throws what it threw
  double seconds(const Handle& handle) const;   // from the call of `start` to its completion; of a task that is done
  void run(const std::function<void()>& call);  // on the thread; waits

  // Ends the job's other processes, and this one if that does not return.
  void abort(int exit_code) noexcept;

 private:
  void loop();
  void begin_queued(std::vector<Handle>& active);
  void poll(std::vector<Handle>& active);
  void finish(const Handle& handle, std::exception_ptr error);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Handle> queue_;
  bool stop_ = false;
  std::exception_ptr start_error_;
  bool is_started_ = false;
  std::thread thread_;
};

}  // namespace convoy
