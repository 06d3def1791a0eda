// How batches reach the device beside what it computes: a ring of slots, each host memory that the device copies from
// without waiting for the host, and as much device memory.
#pragma once

#include <cstddef>

namespace convoy {

// A slot goes round: claim, fill, send, receive. It is claimed again after it was received, or where what it sent is no
// longer wanted. claim and send may come from any thread, of different slots at the same time; receive comes from the
// worker's own. Destroyed when no other thread uses it.
class Stager {
 public:
  Stager() = default;
  Stager(const Stager&) = delete;
  Stager& operator=(const Stager&) = delete;
  virtual ~Stager() = default;

  virtual int slots() const = 0;
  // The slot's host memory, when what was last sent from it has left: may wait.
  virtual std::byte* claim(int slot) = 0;
  // Enqueues the copy of the slot's first bytes to the device, beside the step.
  virtual void send(int slot, std::size_t bytes) = 0;
  // Enqueues, for whatever the worker enqueues next: the first bytes of what the slot sent stand in `to`.
  virtual void receive(int slot, void* to, std::size_t bytes) = 0;
};

}  // namespace convoy
