// Cuts a text at its colon and its commas.
#include "io/named_numbers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "convoy/error.hpp"
#include "io/did_you_mean.hpp"

namespace convoy {
namespace {

std::vector<double> read_numbers(std::string_view text, const NamedForm& form) {
  std::vector<double> numbers;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    double number = 0;
    const std::from_chars_result result = std::from_chars(text.data(), text.data() + comma, number);
    const bool is_number = result.ec == std::errc{} && result.ptr == text.data() + comma;
    if (!is_number || !std::isfinite(number) || number < 0) {
      fail_usage("{} expected, '{}' found", usage(form), text.substr(0, comma));
    }
    numbers.push_back(number);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  const auto commas = static_cast<std::size_t>(std::ranges::count(form.arguments, ','));
  const std::size_t expected = form.arguments.empty() ? 0 : commas + 1;
  if (numbers.size() != expected) {
    fail_usage("{} expected, {} number{} found", usage(form), numbers.size(), numbers.size() == 1 ? "" : "s");
  }
  return numbers;
}

}  // namespace

std::string usage(const NamedForm& form) {
  return form.arguments.empty() ? std::string(form.name) : fmt::format("{}:{}", form.name, form.arguments);
}

std::string usages(std::span<const NamedForm> forms) {
  std::vector<std::string> all;
  for (const NamedForm& form : forms) all.push_back(usage(form));
  return fmt::format("{}", fmt::join(all, "|"));
}

NamedNumbers parse_named_numbers(std::string_view text, std::span<const NamedForm> forms) {
  const std::size_t colon = std::min(text.find(':'), text.size());
  const std::string_view name = text.substr(0, colon);
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < forms.size(); ++i) {
    names.push_back(forms[i].name);
    if (forms[i].name == name) return {i, read_numbers(text.substr(std::min(colon + 1, text.size())), forms[i])};
  }
  fail_usage("one of {} expected, '{}' found{}", usages(forms), text, did_you_mean(name, names));
}

}  // namespace convoy
