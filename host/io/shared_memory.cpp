#include "io/shared_memory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace convoy {

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
  if (::posix_fallocate(file, 0, static_cast<off_t>(bytes)) != 0) {
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

bool SharedMemory::replace(void* pages, std::size_t bytes) const {
  return ::mmap(pages, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file_, 0) != MAP_FAILED;
}

void SharedMemory::forget_file() {
  if (file_ >= 0) ::close(std::exchange(file_, -1));
}

void make_private(void* pages, std::size_t bytes) {
  void* own = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (own == MAP_FAILED) return;  // what is shared will do
  std::memcpy(own, pages, bytes);
  ::mremap(own, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, pages);
}

}  // namespace convoy
