// Values of options that name a row of a table, some with numbers behind a colon: "epoch", "every:4", "post-local:1,4".
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace convoy {

struct NamedForm {
  std::string_view name;
  std::string_view arguments;  // as the usage shows them, separated by commas: "EPOCH,K"; often empty
};

std::string usage(const NamedForm& form);  // "post-local:EPOCH,K"

struct NamedNumbers {
  std::size_t form = 0;         // which of the forms
  std::vector<double> numbers;  // as many as it has arguments; finite, from 0
};
// Throws UsageError with what was expected.
NamedNumbers parse_named_numbers(std::string_view text, std::span<const NamedForm> forms);

// Of a table whose rows have a `form`.
template <typename Rows>
std::vector<NamedForm> forms_of(const Rows& rows) {
  std::vector<NamedForm> forms;
  for (const auto& row : rows) forms.push_back(row.form);
  return forms;
}
std::string usages(std::span<const NamedForm> forms);  // "never|end|every:K"

}  // namespace convoy
