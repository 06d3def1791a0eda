// Tables that tools print in Markdown.
#pragma once

#include <sstream>
#include <string>
#include <vector>

namespace convoy::test {

// The cells between the bars of the row that begins with `name`.
inline std::vector<std::string> table_row(const std::string& output, const std::string& name) {
  std::vector<std::string> found;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("| " + name + " |")) continue;
    std::istringstream cells(line.substr(1));
    for (std::string cell; std::getline(cells, cell, '|');) found.push_back(cell);
  }
  return found;
}

}  // namespace convoy::test
