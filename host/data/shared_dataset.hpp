// One data set for all workers of a host: the first of them decodes it into a file, which all map read-only, so that
// memory holds its pixels once.
#pragma once

#include <string>

#include "convoy/communicator.hpp"
#include "data/dataset.hpp"
#include "data/reader.hpp"

namespace convoy {

struct SharedDataset {
  Dataset data;
  std::string line;  // for the user, where every worker had to read for itself; else empty
};

// load_dataset by all workers of `world`. The file lies in TMPDIR (else /tmp) and is gone when this returns: the
// mappings keep it alive. `world`: the launcher's, for to split one of devices takes long.
SharedDataset load_shared_dataset(const LoadOptions& options, Communicator& world);

}  // namespace convoy
