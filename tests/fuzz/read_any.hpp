// What every fuzz target of a data reader does with a source: read it or be told why not, and believe nothing else.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <span>

#include "convoy/error.hpp"
#include "data/describe.hpp"
#include "data/reader.hpp"

namespace convoy {

// Aborts, which the fuzzer reports, where what was accepted is not what it claims to be.
template <typename Read>
void read_or_refuse(const Read& read) {
  try {
    const Dataset data = read();
    for (const ImageSet* set : {&data.train, &data.test}) {
      if (set->images.size() != set->count() * static_cast<std::size_t>(set->image.elements())) std::abort();
      for (const std::int32_t label : set->labels) {
        if (label < 0 || label >= data.classes()) std::abort();
      }
    }
    if (data.train.count() > 0 && to_text(describe(data)).empty()) std::abort();
  } catch (const Error& error) {
    for (const char* c = error.what(); *c != '\0'; ++c) {
      if (*c == '\n') std::abort();  // a message is one line
    }
  }
}

}  // namespace convoy
