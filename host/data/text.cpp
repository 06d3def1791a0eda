// Small pieces of the readers' messages.
#include "data/text.hpp"

namespace convoy {
namespace {

bool is_printable(char c) { return c >= 0x20 && c < 0x7F; }

}  // namespace

std::string grouped(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string result;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) result += ',';
    result += digits[i];
  }
  return result;
}

std::string printable(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  std::string result(text.substr(0, kLongest));
  for (char& c : result) {
    if (!is_printable(c)) c = '?';
  }
  if (text.size() > kLongest) result += "...";
  return result;
}

std::vector<std::string> text_lines(std::span<const std::uint8_t> bytes) {
  std::vector<std::string> lines;
  std::string line;
  const auto finish = [&] {
    while (!line.empty() && line.back() == ' ') line.pop_back();
    if (!line.empty()) lines.push_back(line);
    line.clear();
  };
  for (const std::uint8_t byte : bytes) {
    const char c = static_cast<char>(byte);
    if (c == '\n' || c == '\r') {
      finish();
    } else if (c != ' ' || !line.empty()) {
      line += is_printable(c) ? c : '?';
    }
  }
  finish();
  return lines;
}

}  // namespace convoy
