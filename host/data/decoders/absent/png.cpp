// A build without libpng.
#include "convoy/error.hpp"
#include "data/decoders/decoders.hpp"

namespace convoy {

std::string png_library() { return ""; }

Picture decode_png(std::span<const std::uint8_t>, const std::string& shown, const PictureLimits&) {
  fail("{}: a PNG file, but this convoy was built without libpng: install libpng-dev and build again (tools/build)",
       shown);
}

}  // namespace convoy
