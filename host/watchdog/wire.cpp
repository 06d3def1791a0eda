// One write and one read a message.
#include "watchdog/wire.hpp"

#include <algorithm>

namespace convoy::watchdog {
namespace {

constexpr std::uint32_t kMagic = 0x44574f43;  // "COWD"
constexpr std::uint16_t kVersion = 3;
constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kStateBytes = 42;

void write(FieldWriter& out, const ProcessId& process) {
  out.number(process.space);
  out.number(process.pid);
}

void read(FieldReader& in, ProcessId& process) {
  process.space = in.number<std::uint64_t>();
  process.pid = in.number<std::int32_t>();
}

void write(FieldWriter& out, const Hello& hello) {
  out.number(kMagic);
  out.number(kVersion);
  out.token(hello.token);
  out.number(hello.first_rank);
  out.number(hello.ranks);
  out.text(hello.host);
  write(out, hello.process);
}

void read(FieldReader& in, Hello& hello) {
  if (in.number<std::uint32_t>() != kMagic || in.number<std::uint16_t>() != kVersion) in.reject();
  hello.token = in.token();
  hello.first_rank = in.number<std::int32_t>();
  hello.ranks = in.number<std::int32_t>();
  hello.host = in.text();
  read(in, hello.process);
}

void write(FieldWriter& out, const Welcome& welcome) { write(out, welcome.process); }
void read(FieldReader& in, Welcome& welcome) { read(in, welcome.process); }

void write(FieldWriter&, const Goodbye&) {}
void read(FieldReader&, Goodbye&) {}

void write(FieldWriter& out, const RankState& state) {
  out.number(static_cast<std::uint8_t>(state.phase));
  out.number(static_cast<std::uint8_t>(state.is_in_collective));
  out.number(state.epoch);
  out.number(state.step);
  out.number(state.collective);
  out.number(state.ticks);
  out.number(state.device_position);
}

void read(FieldReader& in, RankState& state) {
  const auto phase = in.number<std::uint8_t>();
  if (phase > static_cast<std::uint8_t>(Phase::finished)) return in.reject();
  state.phase = static_cast<Phase>(phase);
  state.is_in_collective = in.number<std::uint8_t>() != 0;
  state.epoch = in.number<std::int64_t>();
  state.step = in.number<std::int64_t>();
  state.collective = in.number<std::uint64_t>();
  state.ticks = in.number<std::uint64_t>();
  state.device_position = in.number<std::uint64_t>();
}

void write(FieldWriter& out, const Report& report) {
  out.number(static_cast<std::uint8_t>(report.is_debugged));
  out.number(report.deputy);
  for (const RankState& state : report.states) write(out, state);
}

void read(FieldReader& in, Report& report) {
  report.is_debugged = in.number<std::uint8_t>() != 0;
  report.deputy = in.number<std::int32_t>();
  report.states.resize(in.left() / kStateBytes);
  for (RankState& state : report.states) read(in, state);
}

void write(FieldWriter& out, const Failure& failure) {
  out.number(failure.rank);
  out.text(failure.message);
}

void read(FieldReader& in, Failure& failure) {
  failure.rank = in.number<std::int32_t>();
  failure.message = in.text();
}

void write(FieldWriter& out, const Verdict& verdict) {
  out.number(static_cast<std::uint8_t>(verdict.kind));
  out.number(static_cast<std::int32_t>(verdict.rank));
  out.text(verdict.message);
}

void read(FieldReader& in, Verdict& verdict) {
  const auto kind = in.number<std::uint8_t>();
  if (kind > static_cast<std::uint8_t>(Verdict::Kind::failed)) return in.reject();
  verdict.kind = static_cast<Verdict::Kind>(kind);
  verdict.rank = in.number<std::int32_t>();
  verdict.message = in.text();
}

template <std::size_t... Kinds>
std::optional<Message> read_kind(FieldReader& in, std::size_t kind, std::index_sequence<Kinds...>) {
  std::optional<Message> message;
  const auto read_as = [&]<std::size_t Kind>() {
    std::variant_alternative_t<Kind, Message> value;
    read(in, value);
    if (in.is_good() && in.is_at_end()) message = std::move(value);
  };
  ((kind == Kinds ? read_as.template operator()<Kinds>() : void()), ...);
  return message;
}

}  // namespace

void FieldWriter::text(std::string_view text) {
  text = text.substr(0, kLongestText);
  number(static_cast<std::uint32_t>(text.size()));
  bytes.insert(bytes.end(), text.begin(), text.end());
}

std::span<const std::uint8_t> FieldReader::take(std::size_t count) {
  if (count > bytes_.size()) is_good_ = false;
  if (!is_good_) return {};
  const auto taken = bytes_.first(count);
  bytes_ = bytes_.subspan(count);
  return taken;
}

std::string FieldReader::text() {
  const auto length = number<std::uint32_t>();
  if (length > kLongestText) is_good_ = false;
  const auto taken = take(length);
  return {taken.begin(), taken.end()};
}

Token FieldReader::token() {
  Token token{};
  const auto taken = take(token.size());
  std::copy(taken.begin(), taken.end(), token.begin());
  return token;
}

std::vector<std::uint8_t> encode(const Message& message) {
  FieldWriter out;
  out.number(std::uint32_t{0});
  out.number(static_cast<std::uint8_t>(message.index()));
  std::visit([&](const auto& value) { write(out, value); }, message);
  FieldWriter length;
  length.number(static_cast<std::uint32_t>(out.bytes.size() - kLengthBytes));
  std::copy(length.bytes.begin(), length.bytes.end(), out.bytes.begin());
  return std::move(out.bytes);
}

Decoded decode(std::span<const std::uint8_t> bytes, std::size_t largest) {
  if (bytes.size() < kLengthBytes) return {};
  FieldReader prefix(bytes);
  const std::size_t length = prefix.number<std::uint32_t>();
  if (length == 0 || length > largest) return {.is_broken = true};
  if (bytes.size() < kLengthBytes + length) return {};
  FieldReader in(bytes.subspan(kLengthBytes, length));
  const auto kind = in.number<std::uint8_t>();
  Decoded decoded{.message = read_kind(in, kind, std::make_index_sequence<std::variant_size_v<Message>>()),
                  .size = kLengthBytes + length};
  decoded.is_broken = !decoded.message;
  return decoded;
}

}  // namespace convoy::watchdog
