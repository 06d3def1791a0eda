// Dropout. The mask of element e of a sample is word e%4 of the Philox draw for (seed, dropout, epoch,
// sample * 2^22 + e/4, layer): kept where its upper 24 bits, as a fraction of 2^24, are at least the rate.
#include "convoy/philox.hpp"
#include "reference/operations.hpp"

namespace convoy::reference {
namespace {

// What each element is multiplied by: 0 or 1/(1-rate). Rows beyond the valid ones are padding and get 0.
Values factors(const DropoutSpec& spec, int batch, const Arguments& arguments) {
  const auto per_sample = static_cast<std::uint64_t>(spec.input.elements());
  Values result(elements(batch, spec.input), 0.0);
  for (int n = 0; n < arguments.row.count && n < batch; ++n) {
    const auto sample = static_cast<std::uint64_t>(arguments.order.at(arguments.row.first + n));
    for (std::uint64_t e = 0; e < per_sample; ++e) {
      const Random4 bits = random_bits(arguments.row.seed, Purpose::dropout, arguments.row.epoch,
                                       sample * (std::uint64_t{1} << 22) + e / 4, spec.salt);
      const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
      const double draw = static_cast<double>(words[e % 4] >> 8) / (1 << 24);
      if (draw >= spec.rate) result[n * per_sample + e] = 1 / (1 - static_cast<double>(spec.rate));
    }
  }
  return result;
}

}  // namespace

Outputs forward(const DropoutSpec& spec, int batch, Mode mode, const Arguments& arguments) {
  Outputs outputs;
  outputs.output = arguments.input;
  if (mode == Mode::evaluate) return outputs;
  const Values factor = factors(spec, batch, arguments);
  for (std::size_t i = 0; i < factor.size(); ++i) outputs.output[i] *= factor[i];
  return outputs;
}

Gradients backward(const DropoutSpec& spec, int batch, const Arguments& arguments, const Values& output_gradient) {
  Gradients gradients;
  gradients.input = factors(spec, batch, arguments);
  for (std::size_t i = 0; i < output_gradient.size(); ++i) gradients.input[i] *= output_gradient[i];
  return gradients;
}

}  // namespace convoy::reference
