// The confusion matrix and the most confident mistakes of an evaluation as one picture.
#pragma once

#include <string>
#include <vector>

#include "data/dataset.hpp"
#include "train/predictions.hpp"

namespace convoy {

inline constexpr std::size_t kMistakesShown = 24;

// Writes a PNG. Error where the file cannot be written.
void write_evaluation_picture(const Confusion& confusion, const std::vector<Mistake>& mistakes, const ImageSet& images,
                              const std::string& title, const std::string& path);

}  // namespace convoy
