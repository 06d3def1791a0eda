// That in bf16 the CPU backend convolves by AMX where the processor and oneDNN have it.
// needs: oneDNN
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "support/operation_fixture.hpp"

namespace convoy::test {
namespace {

using testing::HasSubstr;

bool is_missing(const Backend& backend) { return backend.info().libraries.find("amx") == std::string::npos; }

// Three channels, as many as fill no vector, and many; no other kernels than AMX's for any pass.
TEST(Amx, convolves_in_every_pass) {
  const BackendCase bf16{"cpu", Precision::bf16, 0, "no result is compared"};
  if (const std::string reason = reason_to_skip(bf16); !reason.empty()) GTEST_SKIP() << reason;
  const auto backend = make_backend_for_test(bf16.backend, bf16.precision);
  if (is_missing(*backend)) GTEST_SKIP() << backend->info().libraries << ": no AMX";
  for (const int channels : {3, 24, 64, 256}) {
    ConvSpec spec;
    spec.input = {15, 15, channels};
    spec.kernel = {3, 3};
    spec.padding = {1, 1, 1, 1};
    spec.output = windows_over(spec.input, spec.kernel, spec.stride, spec.padding, 64);
    const std::string implementation = backend->plan(spec, 32, Mode::train)->implementation();
    SCOPED_TRACE(fmt::format("{} channels: {}", channels, implementation));
    std::size_t first = 0;
    while (first < implementation.size()) {
      const std::size_t end = std::min(implementation.find(", ", first), implementation.size());
      EXPECT_THAT(implementation.substr(first, end - first), HasSubstr("amx"));
      first = end + 2;
    }
  }
}

}  // namespace
}  // namespace convoy::test
