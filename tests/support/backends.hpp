// Which backends and types the tests run on. A row of a test's table says what to run and how far from the
// double-precision reference the result may lie, and why.
#pragma once

#include <cstdint>
#include <memory>
#include <ostream>
#include <string>

#include "convoy/backend.hpp"

namespace convoy::test {

// `tolerance` is a share of the largest magnitude in the tensor compared: an fp32 sum of n terms is off by about
// sqrt(n) roundings of its partial sums, which are as large as the largest results, not as the small ones.
struct BackendCase {
  const char* backend;
  Precision precision;
  double tolerance;
  const char* reason;
};

std::string name(const BackendCase&);  // "cpu_bf16"
void PrintTo(const BackendCase&, std::ostream*);

enum class Repeats : std::uint8_t { nearly, bit_for_bit };

// The backend, with two threads where it has threads. Throws Error where this build lacks it or where the machine
// cannot compute in `precision`.
std::unique_ptr<Backend> make_backend_for_test(const std::string& backend, Precision precision,
                                               Repeats repeats = Repeats::nearly);

// The same where collectives run beside steps, so that no kernel may wait for all of its blocks.
std::unique_ptr<Backend> make_backend_beside_collectives(const std::string& backend, Precision precision);

// Why this machine cannot run the case, or "".
std::string reason_to_skip(const BackendCase&);

// Why this machine cannot run what needs so many GPUs, or "".
std::string lacks_gpus(int count = 1);

}  // namespace convoy::test
