// CIFAR-10 and CIFAR-100 as published in binary: records of one label byte (CIFAR-100: coarse, then fine) and
// 3 x 32 x 32 bytes in planes; nothing else in the file.
#pragma once

#include "data/reader.hpp"

namespace convoy {

bool recognises_cifar_binary(const Source& source);
Dataset read_cifar_binary(const Source& source, const LoadOptions& options);

}  // namespace convoy
