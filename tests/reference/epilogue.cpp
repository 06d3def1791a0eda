// Max-pool, batch normalisation (Ioffe and Szegedy 2015), residual addition and activation, in this order.
// Normalisation takes the batch in groups of consecutive samples; running statistics take the mean over the groups.
#include <algorithm>
#include <cmath>

#include "reference/activation.hpp"
#include "reference/operations.hpp"

namespace convoy::reference {
namespace {

PoolSpec pooling(const EpilogueSpec& spec) {
  PoolSpec pool;
  pool.input = spec.input;
  pool.output = spec.output;
  pool.kernel = pool.stride = {spec.pool, spec.pool};
  return pool;
}

Values pooled(const EpilogueSpec& spec, int batch, const Arguments& arguments) {
  return forward(pooling(spec), batch, Mode::train, arguments).output;
}

int groups(const EpilogueSpec& spec, int batch) {
  return spec.group_size == 0 ? 1 : (batch + spec.group_size - 1) / spec.group_size;
}

// Calls visit(element, group, channel) for every element after the pooling.
template <typename Visit>
void for_each_element(const EpilogueSpec& spec, int batch, const Visit& visit) {
  const std::size_t per_sample = static_cast<std::size_t>(spec.output.elements());
  for (std::size_t i = 0; i < elements(batch, spec.output); ++i) {
    const int sample = static_cast<int>(i / per_sample);
    const int group = spec.group_size == 0 ? 0 : sample / spec.group_size;
    visit(i, group, static_cast<int>(i % spec.output.channels));
  }
}

// Mean and biased variance [groups, channels], and how many values each is of.
struct Statistics {
  Values mean, variance, count;
};

Statistics batch_statistics(const EpilogueSpec& spec, int batch, const Values& values) {
  const std::size_t cells = static_cast<std::size_t>(groups(spec, batch)) * spec.output.channels;
  Statistics statistics{Values(cells, 0.0), Values(cells, 0.0), Values(cells, 0.0)};
  const auto cell = [&](int group, int channel) { return group * spec.output.channels + channel; };
  for_each_element(spec, batch, [&](std::size_t i, int group, int channel) {
    statistics.mean[cell(group, channel)] += values[i];
    statistics.count[cell(group, channel)] += 1;
  });
  for (std::size_t i = 0; i < cells; ++i) statistics.mean[i] /= statistics.count[i];
  for_each_element(spec, batch, [&](std::size_t i, int group, int channel) {
    const double deviation = values[i] - statistics.mean[cell(group, channel)];
    statistics.variance[cell(group, channel)] += deviation * deviation;
  });
  for (std::size_t i = 0; i < cells; ++i) statistics.variance[i] /= statistics.count[i];
  return statistics;
}

// (x - mean) / sqrt(variance + epsilon), and the factor 1 / sqrt(variance + epsilon) [groups, channels].
struct Normalised {
  Values values, inverse_deviation;
};

Normalised normalised(const EpilogueSpec& spec, int batch, const Values& values, const Values& mean,
                      const Values& variance) {
  Normalised result;
  for (const double v : variance) result.inverse_deviation.push_back(1 / std::sqrt(v + spec.epsilon));
  result.values.resize(values.size());
  const bool one_for_all = mean.size() == static_cast<std::size_t>(spec.output.channels);
  for_each_element(spec, batch, [&](std::size_t i, int group, int channel) {
    const int cell = (one_for_all ? 0 : group * spec.output.channels) + channel;
    result.values[i] = (values[i] - mean[cell]) * result.inverse_deviation[cell];
  });
  return result;
}

double scale_of(const Arguments& arguments, int channel) {
  return arguments.weights.empty() ? 1 : arguments.weights[channel];
}

// What the activation is applied to.
Values before_activation(const EpilogueSpec& spec, int batch, const Arguments& arguments, Values values) {
  if (spec.normalise) {
    for_each_element(spec, batch, [&](std::size_t i, int, int channel) {
      values[i] *= scale_of(arguments, channel);
      if (!arguments.bias.empty()) values[i] += arguments.bias[channel];
    });
  }
  if (spec.residual) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += arguments.residual[i];
  }
  return values;
}

// r = (1 - momentum) r + momentum * batch, with the unbiased variance.
void update_running(const EpilogueSpec& spec, int batch, const Statistics& statistics, Outputs& outputs) {
  const int count = groups(spec, batch);
  const double momentum = spec.statistics_momentum;
  for (int c = 0; c < spec.output.channels; ++c) {
    double mean = 0, variance = 0;
    for (int g = 0; g < count; ++g) {
      const int cell = g * spec.output.channels + c;
      const double n = statistics.count[cell];
      mean += statistics.mean[cell] / count;
      variance += statistics.variance[cell] * n / std::max(n - 1, 1.0) / count;
    }
    outputs.running_mean[c] = (1 - momentum) * outputs.running_mean[c] + momentum * mean;
    outputs.running_variance[c] = (1 - momentum) * outputs.running_variance[c] + momentum * variance;
  }
}

}  // namespace

Outputs forward(const EpilogueSpec& spec, int batch, Mode mode, const Arguments& arguments) {
  Outputs outputs;
  outputs.running_mean = arguments.running_mean;
  outputs.running_variance = arguments.running_variance;
  Values values = pooled(spec, batch, arguments);
  if (spec.normalise && mode == Mode::evaluate) {
    values = normalised(spec, batch, values, arguments.running_mean, arguments.running_variance).values;
  } else if (spec.normalise) {
    const Statistics statistics = batch_statistics(spec, batch, values);
    values = normalised(spec, batch, values, statistics.mean, statistics.variance).values;
    update_running(spec, batch, statistics, outputs);
  }
  outputs.output = before_activation(spec, batch, arguments, std::move(values));
  for (double& value : outputs.output) value = activate(spec.activation, value);
  return outputs;
}

Gradients moved_by_kept_roundings(const EpilogueSpec& spec, int batch, const Arguments& arguments,
                                  const Values& output_gradient, double unit) {
  const bool is_smooth = spec.activation == Activation::gelu || spec.activation == Activation::silu;
  if (!is_smooth || unit == 0) return {};
  const Values after_pool = pooled(spec, batch, arguments);
  Statistics statistics;
  Normalised normal{after_pool, {}};
  if (spec.normalise) {
    statistics = batch_statistics(spec, batch, after_pool);
    normal = normalised(spec, batch, after_pool, statistics.mean, statistics.variance);
  }
  const Values sums = before_activation(spec, batch, arguments, normal.values);
  Values moved(sums.size(), 0.0), rounded(sums.size(), 0.0);  // before the normalisation's sums, and after them
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const auto derivative = [&](double argument) { return activation_derivative(spec.activation, argument); };
    const double slope = derivative(sums[i]);
    if (spec.residual) {
      const double up = derivative(sums[i] * (1 + unit)) - slope, down = derivative(sums[i] * (1 - unit)) - slope;
      moved[i] = std::abs(output_gradient[i]) * std::max(std::abs(up), std::abs(down));
    }
    if (spec.normalise) rounded[i] = unit * (std::abs(output_gradient[i] * slope) + moved[i]);
  }

  Gradients most;
  if (spec.residual) most.residual = moved;
  if (spec.normalise) {
    Values sum(statistics.mean.size(), 0.0), product_sum(statistics.mean.size(), 0.0);
    for_each_element(spec, batch, [&](std::size_t i, int group, int channel) {
      const int cell = group * spec.output.channels + channel;
      sum[cell] += moved[i] / statistics.count[cell];
      product_sum[cell] += moved[i] * std::abs(normal.values[i]) / statistics.count[cell];
    });
    for_each_element(spec, batch, [&](std::size_t i, int group, int channel) {
      const int cell = group * spec.output.channels + channel;
      moved[i] = std::abs(scale_of(arguments, channel)) * normal.inverse_deviation[cell] *
                 (moved[i] + rounded[i] + sum[cell] + std::abs(normal.values[i]) * product_sum[cell]);
    });
  }
  most.input = backward(pooling(spec), batch, arguments, moved).input;
  return most;
}

Gradients backward(const EpilogueSpec& spec, int batch, const Arguments& arguments, const Values& output_gradient) {
  const Values after_pool = pooled(spec, batch, arguments);
  Statistics statistics;
  Normalised normal{after_pool, {}};
  if (spec.normalise) {
    statistics = batch_statistics(spec, batch, after_pool);
    normal = normalised(spec, batch, after_pool, statistics.mean, statistics.variance);
  }
  const Values sums = before_activation(spec, batch, arguments, normal.values);
  Values gradient = output_gradient;
  for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] *= activation_derivative(spec.activation, sums[i]);

  Gradients gradients;
  if (spec.residual) gradients.residual = gradient;
  if (spec.bias_gradient) {
    gradients.bias.resize(spec.output.channels, 0.0);
    for_each_element(spec, batch, [&](std::size_t i, int, int channel) { gradients.bias[channel] += gradient[i]; });
  }
  if (spec.normalise) {
    gradients.weights.resize(spec.output.channels, 0.0);
    gradients.bias.resize(spec.output.channels, 0.0);
    Values sum(statistics.mean.size(), 0.0), product_sum(statistics.mean.size(), 0.0);
    for_each_element(spec, batch, [&](std::size_t i, int group, int channel) {
      const int cell = group * spec.output.channels + channel;
      sum[cell] += gradient[i];
      product_sum[cell] += gradient[i] * normal.values[i];
      gradients.bias[channel] += gradient[i];
      gradients.weights[channel] += gradient[i] * normal.values[i];
    });
    for_each_element(spec, batch, [&](std::size_t i, int group, int channel) {
      const int cell = group * spec.output.channels + channel;
      const double n = statistics.count[cell];
      gradient[i] = scale_of(arguments, channel) * normal.inverse_deviation[cell] *
                    (gradient[i] - sum[cell] / n - normal.values[i] * product_sum[cell] / n);
    });
  }
  gradients.input = backward(pooling(spec), batch, arguments, gradient).input;
  return gradients;
}

}  // namespace convoy::reference
