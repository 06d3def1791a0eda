// The rule, with constants from measurements on Zen 4: 18 shapes of the zoo's and other networks, 1 to 250 images, one
// and two threads.
#include "cpu/winograd.hpp"

#include "io/environment_switch.hpp"

namespace convoy::cpu {
namespace {

constexpr int kTile = 4;                  // outputs of a tile each way
constexpr double kFewerProducts = 4;      // 36 products for a tile's 16 outputs of 9 each
constexpr double kTransforms = 1.75;      // of the images: what a tile costs, in its products
constexpr double kTilesOfTransform = 53;  // of the filters: as much as the products of so many tiles
constexpr double kDirectWeights = 1.4;    // the direct convolution's time backward weights, in that forward
constexpr double kUnpaddedData = 0.65;    // backward data of a valid convolution is that much slower than the rest
constexpr double kWorthIt = 1.2;          // of the estimate, which is that far off at times
constexpr int kLeastChannels = 17;        // more than one block

int tiles(int length) { return (length + kTile - 1) / kTile; }

// What a pass gains beside a forward one of as many tiles.
double gain_of(Pass pass, const ConvSpec& spec) {
  if (pass == Pass::backward_weights) return kDirectWeights;
  return pass == Pass::backward_data && spec.padding.top == 0 ? kUnpaddedData : 1;
}

// The direct convolution's time over Winograd's.
double estimated_gain(const ConvSpec& spec, int batch, Pass pass) {
  const Extent& written = pass == Pass::backward_data ? spec.input : spec.output;
  const double all = static_cast<double>(batch) * tiles(written.height) * tiles(written.width);
  const double used = static_cast<double>(batch) * written.height * written.width / (all * kTile * kTile);
  return gain_of(pass, spec) * kFewerProducts * used / (kTransforms + kTilesOfTransform / all);
}

// Where it is not, the gradient of the input that oneDNN 2.6 gives is wrong.
bool is_symmetric(const Padding& padding) {
  return padding.top == padding.bottom && padding.left == padding.right && padding.top <= 1 && padding.left <= 1;
}

}  // namespace

bool is_winograd_wanted() { return is_on_in_environment("CONVOY_CPU_WINOGRAD"); }

bool is_winograd_faster(const ConvSpec& spec, int batch, Pass pass, const Context& context) {
  const bool is_possible = context.winograd && context.compute == DType::f32 && spec.kernel == Size2{3, 3} &&
                           spec.stride == Size2{1, 1} && is_symmetric(spec.padding) &&
                           spec.input.channels >= kLeastChannels && spec.output.channels >= kLeastChannels;
  return is_possible && estimated_gain(spec, batch, pass) >= kWorthIt;
}

}  // namespace convoy::cpu
