// CIFAR-10 and CIFAR-100 as published for Python: pickled dictionaries of a uint8 array [count, 3072] in planes and
// lists of labels; the class names in a pickle of their own.
#pragma once

#include "data/reader.hpp"

namespace convoy {

bool recognises_cifar_pickle(const Source& source);
Dataset read_cifar_pickle(const Source& source, const LoadOptions& options);

}  // namespace convoy
