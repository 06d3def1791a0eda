// What the watchdogs of a job say to each other, as bytes. A frame is a length (4 bytes), a kind (1 byte) and fields;
// numbers are little-endian. Nothing that comes in is believed before it is decoded whole.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "watchdog/progress.hpp"
#include "watchdog/verdict.hpp"

namespace convoy::watchdog {

using Token = std::array<std::uint8_t, 16>;

// For processes of one machine, which can look at each other.
struct ProcessId {
  std::uint64_t space = 0;  // equal where a pid means the same to both
  std::int32_t pid = 0;
};

// The first thing that a process says to rank 0's; it opens with a magic word and the protocol's version.
struct Hello {
  Token token{};
  std::int32_t first_rank = 0, ranks = 0;
  std::string host;
  ProcessId process;
};
struct Welcome {  // rank 0's answer
  ProcessId process;
};
struct Report {  // several a second, both ways
  bool is_debugged = false;
  std::int32_t deputy = 0;  // rank 0's only: the rank whose process speaks for the job if this one dies
  std::vector<RankState> states;
};
struct Failure {  // to rank 0: a rank gives up
  std::int32_t rank = 0;
  std::string message;
};
struct Goodbye {};

using Message = std::variant<Hello, Welcome, Report, Failure, Goodbye, Verdict>;

inline constexpr std::size_t kLargestHello = 1024;     // bytes of a frame, before the token was seen
inline constexpr std::size_t kLargestFrame = 1 << 20;  // afterwards; a report of 8,000 ranks has 340 KB
inline constexpr std::size_t kLongestText = 4096;      // longer messages are cut

std::vector<std::uint8_t> encode(const Message& message);

// Takes the first whole frame off `bytes`. `is_broken`: what stands there is no message of ours.
struct Decoded {
  std::optional<Message> message;
  std::size_t size = 0;  // of the frame
  bool is_broken = false;
};
Decoded decode(std::span<const std::uint8_t> bytes, std::size_t largest);

// The fields themselves; Rendezvous uses them too.
class FieldWriter {
 public:
  template <typename T>
  void number(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i)
      bytes.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (8 * i)));
  }
  void text(std::string_view text);
  void token(const Token& token) { bytes.insert(bytes.end(), token.begin(), token.end()); }

  std::vector<std::uint8_t> bytes;
};

// Past the end, or where something is impossible, everything is zero and is_good false.
class FieldReader {
 public:
  explicit FieldReader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  template <typename T>
  T number() {
    std::uint64_t value = 0;
    const auto field = take(sizeof(T));
    for (std::size_t i = 0; i < field.size(); ++i) value |= std::uint64_t{field[i]} << (8 * i);
    return static_cast<T>(value);
  }
  std::string text();
  Token token();
  bool is_good() const { return is_good_; }
  bool is_at_end() const { return bytes_.empty(); }
  std::size_t left() const { return bytes_.size(); }
  void reject() { is_good_ = false; }

 private:
  std::span<const std::uint8_t> take(std::size_t count);

  std::span<const std::uint8_t> bytes_;
  bool is_good_ = true;
};

}  // namespace convoy::watchdog
