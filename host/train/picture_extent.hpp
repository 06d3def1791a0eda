// What pictures of any size become for a network.
#pragma once

#include "convoy/types.hpp"
#include "nn/network.hpp"

namespace convoy {

// For LoadOptions. Colour pictures become grey for a network of one channel; for others the pictures decide, which are
// repeated where they are grey and the network fixes three.
inline Extent pictures_for(const Network& network) {
  return {network.input.height, network.input.width, network.input.channels == 1 ? 1 : 0};
}

// For weights that were trained on data of so many channels.
inline Extent pictures_for(const Network& network, std::size_t channels) {
  return {network.input.height, network.input.width, static_cast<int>(channels)};
}

}  // namespace convoy
