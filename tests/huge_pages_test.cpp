// What large arenas and data sets ask of the system: pages of 2 MB.
// needs: oneDNN
#include "io/huge_pages.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "cpu/backend.hpp"
#include "data/image_memory.hpp"

namespace convoy {
namespace {

// Whether the mapping that holds the address has been asked for in huge pages (VmFlags hg, proc_pid_smaps(5)).
bool is_asked_for(const void* data) {
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  std::ifstream maps("/proc/self/smaps");
  bool is_inside = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) is_inside = begin <= address && address < end;
    if (is_inside && line.starts_with("VmFlags:")) return line.find(" hg") != std::string::npos;
  }
  return false;
}

class HugePages : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage")) GTEST_SKIP() << "this kernel has none";
    if (!are_requests_heard()) GTEST_SKIP() << "this system does not pass requests on to the kernel, as qemu-user";
  }

 private:
  static bool are_requests_heard() {
    void* memory = ::mmap(nullptr, kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return false;
    const bool is_heard = ::madvise(memory, kHugePage, MADV_HUGEPAGE) == 0 && is_asked_for(memory);
    ::munmap(memory, kHugePage);
    return is_heard;
  }
};

TEST_F(HugePages, are_asked_for_large_arenas_of_the_cpu_and_not_for_small_ones) {
  const auto backend = make_cpu_backend({});
  const Arena large = backend->allocate(3 * kHugePage + 100, "large", Communicated::no);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(large.data()) % kHugePage, 0U);
  EXPECT_TRUE(is_asked_for(large.data()));
  EXPECT_TRUE(is_asked_for(large.at(large.bytes() - 1)));
  const Arena small = backend->allocate(kHugePage / 2 - 1, "small", Communicated::no);
  EXPECT_FALSE(is_asked_for(small.data()));
}

TEST_F(HugePages, are_asked_for_the_images_of_large_sets) {
  ImageSet set;
  make_room(set, {32, 32, 3}, 4096);
  EXPECT_TRUE(is_asked_for(set.images.data() + set.images.size() / 2));
}

}  // namespace
}  // namespace convoy
