// A folder of pictures by class: train/CLASS/*.png|jpg|jpeg and test/CLASS/..., or CLASS/... alone; the names of the
// classes are their folders', sorted. Without test/ val/ is read in its place, without both a tenth of each class is
// held out as test images.
#pragma once

#include "data/reader.hpp"

namespace convoy {

bool recognises_picture_folder(const Source& source);

// Pictures of any size become options.pictures (see resize.hpp). Decoded by many threads, kept decoded (see
// decoded_cache.hpp); notes say what was decided.
Dataset read_picture_folder(const Source& source, const LoadOptions& options);

// Of a folder that no reader recognises: UsageError where it has test/CLASS/... without train/; where it has pictures
// of one class alone.
void check_has_train(const Source& source);
void check_has_classes(const Source& source);

}  // namespace convoy
