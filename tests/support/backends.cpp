// See backends.hpp.
#include "support/backends.hpp"

#include <fmt/format.h>

#include "convoy/error.hpp"
#include "train/devices.hpp"

namespace convoy::test {
namespace {

constexpr int kThreads = 2;  // enough for the seams between threads, on any machine

const BackendRow& row_of(std::string_view backend) {
  for (const BackendRow& row : backends()) {
    if (row.name == backend) return row;
  }
  fail("no backend '{}'", backend);
}

std::unique_ptr<Backend> make(const std::string& backend, const DeviceRequest& request) {
  std::unique_ptr<Backend> made = row_of(backend).make(request);
  CONVOY_CHECK(made->info().precision == request.precision, "the {} backend computes in {} on this machine, not in {}",
               backend, convoy::name(made->info().precision), convoy::name(request.precision));
  return made;
}

}  // namespace

std::string name(const BackendCase& one) { return fmt::format("{}_{}", one.backend, convoy::name(one.precision)); }

void PrintTo(const BackendCase& one, std::ostream* stream) {
  *stream << name(one) << ", within " << one.tolerance << ": " << one.reason;
}

std::unique_ptr<Backend> make_backend_for_test(const std::string& backend, Precision precision, Repeats repeats) {
  return make(backend, {.precision = precision, .threads = kThreads, .deterministic = repeats == Repeats::bit_for_bit});
}

std::unique_ptr<Backend> make_backend_beside_collectives(const std::string& backend, Precision precision) {
  return make(backend, {.precision = precision, .threads = kThreads, .has_device_alone = false});
}

std::string reason_to_skip(const BackendCase& one) {
  const std::string lacks = row_of(one.backend).lacks(one.precision);
  return lacks.empty() ? "" : fmt::format("{} on the {} backend: {}", convoy::name(one.precision), one.backend, lacks);
}

std::string lacks_gpus(int count) {
  const BackendRow& cuda = row_of("cuda");
  const std::string missing = cuda.missing();
  if (!missing.empty()) return missing;
  return cuda.count() < count ? fmt::format("{} GPUs needed, {} visible", count, cuda.count()) : "";
}

}  // namespace convoy::test
