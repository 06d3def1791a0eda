// IDX files, plain or gzip-compressed, as MNIST and Fashion-MNIST are published: big-endian sizes, then uint8.
// 28 x 28 grey images are padded with zeros to 32 x 32.
#pragma once

#include "data/reader.hpp"

namespace convoy {

bool recognises_idx(const Source& source);
Dataset read_idx(const Source& source, const LoadOptions& options);

}  // namespace convoy
