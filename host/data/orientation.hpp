// Which way up a picture is: the orientation in a JPEG file's EXIF data (CIPA DC-008, tag 0x0112), and turning by it.
#pragma once

#include <cstdint>
#include <span>

#include "data/image_file.hpp"

namespace convoy {

// 1 to 8, as the standard numbers them, from the contents of an APP1 marker; 0 where there is none or nothing sound.
int exif_orientation(std::span<const std::uint8_t> marker);

// The picture as it is to be seen. Orientation 1 (and any number that is none) leaves it as it is.
Picture turned(Picture picture, int orientation);

}  // namespace convoy
