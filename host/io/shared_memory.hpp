// Memory that other processes of this host and user can map: an unnamed file (memfd_create(2)), which needs no folder.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>

namespace convoy {

// One mapping of it; move-only. The memory ends with the last one.
class SharedMemory {
 public:
  // Zeroed; its file is open until forget_file. Nothing where the system has none to give.
  static std::optional<SharedMemory> create(std::size_t bytes);
  // That of a process which has it open as `file`. Nothing where that process may not be looked into, or has there
  // what is smaller: whether it is the right file, only its contents tell.
  static std::optional<SharedMemory> of_process(pid_t process, int file, std::size_t bytes);

  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&&) = delete;
  ~SharedMemory();

  std::byte* data() const { return data_; }
  int file() const { return file_; }
  // Its first bytes, whole pages, in the place of private ones, whose contents are lost; and private pages in the place
  // of those, with what they hold. Of a memory whose file is open, and of any.
  void replace(void* pages, std::size_t bytes) const;
  void make_private(void* pages, std::size_t bytes) const;
  void forget_file();

 private:
  SharedMemory(std::byte* data, std::size_t bytes, int file) : data_(data), bytes_(bytes), file_(file) {}
  static std::optional<SharedMemory> map(int file, std::size_t bytes);

  std::byte* data_;
  std::size_t bytes_;
  int file_;
};

}  // namespace convoy
