// Initial weights, keyed by (seed, parameter, element): equal on every rank and machine.
// Element e, counted as the tensor lies (OHWI filters, HWC dense rows), uses word e%4 of
// random_bits(seed, Purpose::initialise, 0, e/4, index of the parameter); double arithmetic, rounded to fp32 once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "convoy/types.hpp"
#include "data/dataset.hpp"
#include "nn/parameters.hpp"

namespace convoy {

// All layout.total_elements values: weights as their layers say, scales 1, shifts 0, means 0, variances 1, padding 0.
// Filters with Initialisation::whitening stay zero until whiten() fills them.
std::vector<float> initial_weights(const ParamLayout&, std::uint64_t seed);

bool needs_whitening(const ParamLayout&);

// Draws one parameter anew into values (its `count` elements), as initial_weights does: a new head, for instance.
void initialise_parameter(const ParamLayout&, int parameter, std::uint64_t seed, std::span<float> values);

// Fills the whitening filters in `weights` (total_elements values) from the first 5000 training images.
// scale, offset [C of the network's input]: what the network sees is pixel * scale + offset; grey is repeated.
void whiten(const ParamLayout&, const ImageSet& training, std::span<const float> scale, std::span<const float> offset,
            std::span<float> weights);

// Whitening filters [2*H*W*C, H, W, C] of the first `count` images: the eigenvectors of the second moment of all
// their H x W patches, by descending eigenvalue, each divided by sqrt(eigenvalue + 5e-4), then their negatives
// (Jordan 2024, airbench). The sign of each: its component of largest magnitude is positive.
std::vector<float> whitening_filters(const ImageSet&, std::span<const float> scale, std::span<const float> offset,
                                     Size2 kernel, std::size_t count = 5000);

}  // namespace convoy
