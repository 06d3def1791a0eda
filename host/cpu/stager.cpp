// See stager.hpp.
#include "cpu/stager.hpp"

#include <cstring>
#include <utility>

namespace convoy::cpu {
namespace {

class CpuStager final : public Stager {
 public:
  CpuStager(Arena memory, int slots, std::size_t bytes) : memory_(std::move(memory)), slots_(slots), bytes_(bytes) {}

  int slots() const override { return slots_; }
  std::byte* claim(int slot) override { return memory_.at(static_cast<std::size_t>(slot) * bytes_); }
  void send(int, std::size_t) override {}
  void receive(int slot, void* to, std::size_t bytes) override { std::memcpy(to, claim(slot), bytes); }

 private:
  Arena memory_;
  int slots_;
  std::size_t bytes_;  // of a slot
};

}  // namespace

std::unique_ptr<Stager> make_stager(Arena memory, int slots, std::size_t bytes) {
  return std::make_unique<CpuStager>(std::move(memory), slots, bytes);
}

}  // namespace convoy::cpu
