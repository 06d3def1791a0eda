// Pictures of any size brought to one: the largest centred part of the wanted proportions, then averages over areas
// where that shrinks it and linear interpolation where it enlarges it. Equal to the bit on every machine.
#pragma once

#include <cstdint>
#include <vector>

#include "data/image_file.hpp"

namespace convoy {

// pixels [height,width,picture.extent.channels]. What lies outside the centred part is left out.
std::vector<std::uint8_t> fit(const Picture& picture, int height, int width);

// The same with to.channels channels.
std::vector<std::uint8_t> fit_to(const Picture& picture, const Extent& to);

// [H,W,3] -> [H,W,1], by the weights of ITU-R BT.601, as JPEG and Pillow do.
std::vector<std::uint8_t> to_grey(const std::vector<std::uint8_t>& rgb);
// [H,W,1] -> [H,W,3]
std::vector<std::uint8_t> to_rgb(const std::vector<std::uint8_t>& grey);

}  // namespace convoy
