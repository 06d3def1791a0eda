// A contact sheet: one row of training images for each class, its name beside it.
#pragma once

#include <string>

#include "data/dataset.hpp"

namespace convoy {

// Writes a PNG. Error where the file cannot be written.
void write_contact_sheet(const Dataset& data, const std::string& path);

}  // namespace convoy
