// Loss or weights that are not finite numbers, noticed by all workers at the same point of the run. It says what was
// seen and when; the trainer adds where that began and what helps, or goes back.
#pragma once

#include "convoy/error.hpp"

namespace convoy {

class NotFinite : public Error {
 public:
  using Error::Error;
};

}  // namespace convoy
