// What libraries of newer distributions ask of glibc 2.36, for programs that must run with an older one.
// Linked into executables of portable builds only (tools/cmake/package.cmake), which export it to those libraries.
#include <sys/random.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>

namespace {

void fill(void* bytes, std::size_t count) {
  auto* at = static_cast<unsigned char*>(bytes);
  while (count > 0) {
    const ssize_t got = getrandom(at, count, 0);
    if (got > 0) {
      at += got;
      count -= static_cast<std::size_t>(got);
    } else if (errno != EINTR) {
      std::abort();  // as glibc does: better than bytes that are not random
    }
  }
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) void arc4random_buf(void* bytes, std::size_t count) { fill(bytes, count); }

__attribute__((visibility("default"))) std::uint32_t arc4random() {
  std::uint32_t value = 0;
  fill(&value, sizeof value);
  return value;
}
}
