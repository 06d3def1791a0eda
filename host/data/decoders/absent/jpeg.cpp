// A build without libjpeg-turbo.
#include "convoy/error.hpp"
#include "data/decoders/decoders.hpp"

namespace convoy {

std::string jpeg_library() { return ""; }

Picture decode_jpeg(std::span<const std::uint8_t>, const std::string& shown, const PictureLimits&) {
  fail(
      "{}: a JPEG file, but this convoy was built without libjpeg-turbo: install libjpeg-dev and build again "
      "(tools/build)",
      shown);
}

}  // namespace convoy
