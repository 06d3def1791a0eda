// See nccl_call.hpp.
#include "nccl/nccl_call.hpp"

#include <string>
#include <thread>

#include "convoy/error.hpp"

namespace convoy::cuda {
namespace {

// NCCL's own words on what went wrong last, without their line feeds.
std::string last_words(ncclComm_t communicator) {
  const char* text = ncclGetLastError(communicator);
  std::string words = text == nullptr ? "" : text;
  while (!words.empty() && (words.back() == '\n' || words.back() == ' ')) words.pop_back();
  for (char& letter : words) {
    if (letter == '\n') letter = ' ';
  }
  return words.empty() ? words : ": " + words;
}

}  // namespace

void check(ncclResult_t status, const char* call, const char* file, int line) {
  if (status == ncclSuccess || status == ncclInProgress) return;
  const std::string_view text = call, path = file;
  fail("NCCL: {} ({}:{}): {}{}", text.substr(0, text.find('(')), path.substr(path.rfind('/') + 1), line,
       ncclGetErrorString(status), last_words(nullptr));
}

void await(ncclComm_t communicator, std::chrono::duration<double> limit, const char* what) {
  const auto begun = std::chrono::steady_clock::now();
  for (int attempts = 0;; ++attempts) {
    ncclResult_t state = ncclInProgress;
    CHECK_NCCL(ncclCommGetAsyncError(communicator, &state));
    if (state == ncclSuccess) return;
    CONVOY_CHECK(state == ncclInProgress, "NCCL: {}: {}{}", what, ncclGetErrorString(state), last_words(communicator));
    CONVOY_CHECK(
        std::chrono::steady_clock::now() - begun < limit,
        "NCCL: {}: nothing has come of it for {:.0f} s; NCCL_DEBUG=INFO says more, and a wrong interface is the "
        "usual cause (NCCL_SOCKET_IFNAME)",
        what, limit.count());
    // Calls are taken in within microseconds; only the first connection takes long.
    if (attempts > 100) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace convoy::cuda
