// Linux: memfd_create(2), and proc_pid_fd(5), through which another process opens what has no name.
#include "io/shared_memory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "convoy/error.hpp"
#include "io/huge_pages.hpp"

namespace convoy {
namespace {

constexpr int kTries = 100;  // of a call that signals interrupt

}  // namespace

std::optional<SharedMemory> SharedMemory::map(int file, std::size_t bytes) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (data == MAP_FAILED) {
    ::close(file);
    return std::nullopt;
  }
  return SharedMemory(static_cast<std::byte*>(data), bytes, file);
}

std::optional<SharedMemory> SharedMemory::create(std::size_t bytes) {
  const int file = ::memfd_create("convoy", MFD_CLOEXEC);
  if (file < 0) return std::nullopt;
  // Taken now: a page that is not to be had later would be a signal in the midst of a sum.
  int error = EINTR;
  for (int tries = 0; error == EINTR && tries < kTries; ++tries) {
    error = ::posix_fallocate(file, 0, static_cast<off_t>(bytes));
  }
  if (error != 0) {
    ::close(file);
    return std::nullopt;
  }
  return map(file, bytes);
}

std::optional<SharedMemory> SharedMemory::of_process(pid_t process, int file, std::size_t bytes) {
  const int own =
      ::open(fmt::format("/proc/{}/fd/{}", process, file).c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (own < 0) return std::nullopt;
  struct stat status {};
  if (::fstat(own, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size < static_cast<off_t>(bytes)) {
    ::close(own);
    return std::nullopt;
  }
  std::optional<SharedMemory> memory = map(own, bytes);
  if (memory) memory->forget_file();
  return memory;
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_), file_(std::exchange(other.file_, -1)) {}

SharedMemory::~SharedMemory() {
  forget_file();
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

// Of a mapping that failed, Linux may have taken away what was there.
void SharedMemory::replace(void* pages, std::size_t bytes) const {
  void* mapped = ::mmap(pages, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file_, 0);
  CONVOY_CHECK(mapped == pages, "{} bytes of shared memory cannot be mapped: {}", bytes, std::strerror(errno));
  ask_for_huge_pages(pages, bytes);  // granted where /sys/kernel/mm/transparent_hugepage/shmem_enabled says so
}

// Not by mremap, whose wrapper in UCX forgets where to.
void SharedMemory::make_private(void* pages, std::size_t bytes) const {
  void* mapped = ::mmap(pages, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (mapped != pages) return;  // in a destructor; what is shared will do
  ask_for_huge_pages(pages, bytes);
  std::memcpy(pages, data_, bytes);
}

void SharedMemory::forget_file() {
  if (file_ >= 0) ::close(std::exchange(file_, -1));
}

}  // namespace convoy
