// From a path to a data set in memory: the table of readers, and which of them a path is for.
#pragma once

#include <span>
#include <string>

#include "data/dataset.hpp"
#include "data/reader.hpp"

namespace convoy {

// Every format, in the order in which they are asked. To add one: a file of its own and a row in load.cpp.
std::span<const Reader> readers();

// The reader that recognises what lies there, null where none does.
const Reader* recognise(const Source& source);

// Reads what options.path names, by content and not by name: a folder, one file, a .tar or .tar.gz, a folder that
// holds one of these, or "synthetic[:COUNT]", drawn 32x32 and brought to options.pictures. A single CIFAR file gives a
// data set without test images. Throws Error with one line for whatever is malformed, UsageError where there is nothing
// at the path or nothing that is known.
Dataset load_dataset(const LoadOptions& options);

// The same for a source at hand (bytes in memory, for tests and fuzzers).
Dataset load_dataset(const Source& source, const LoadOptions& options);

// Whether load_dataset would find something to read there: one data set or several.
bool holds_dataset(const std::string& folder);

}  // namespace convoy
