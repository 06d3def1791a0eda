// See backends.hpp.
#include "support/backends.hpp"

#include <fmt/format.h>

#include "convoy/error.hpp"
#include "cpu/backend.hpp"

namespace convoy::test {
namespace {

constexpr int kThreads = 2;  // enough for the seams between threads, on any machine

}  // namespace

std::string name(const BackendCase& one) { return fmt::format("{}_{}", one.backend, convoy::name(one.precision)); }

void PrintTo(const BackendCase& one, std::ostream* stream) {
  *stream << name(one) << ", within " << one.tolerance << ": " << one.reason;
}

std::unique_ptr<Backend> make_backend_for_test(const std::string& backend, Precision precision) {
  CONVOY_CHECK(backend == "cpu", "no backend '{}' in this build of the tests; there is cpu", backend);
  std::unique_ptr<Backend> made = make_cpu_backend({.precision = precision, .threads = kThreads});
  CONVOY_CHECK(made->info().precision == precision, "the {} backend computes in {} on this machine, not in {}", backend,
               convoy::name(made->info().precision), convoy::name(precision));
  return made;
}

std::string reason_to_skip(const BackendCase& one) {
  const std::string lacks = one.backend == std::string("cpu") ? cpu_lacks(one.precision) : "";
  return lacks.empty() ? "" : fmt::format("{} on the {} backend: {}", convoy::name(one.precision), one.backend, lacks);
}

}  // namespace convoy::test
