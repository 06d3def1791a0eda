// Whitening filters: the second moment of the training images' patches, and its eigenvectors by Jacobi rotations.
// Pixel products are summed as integers, so the result does not depend on the order of the sums.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "convoy/error.hpp"
#include "nn/initialise.hpp"

namespace convoy {
namespace {

constexpr double kEigenvalueFloor = 5e-4;  // keeps directions without variance from being blown up; airbench's value

// Symmetric, row-major [size, size].
struct Matrix {
  explicit Matrix(std::size_t n) : size(n), values(n * n, 0.0) {}
  double& at(std::size_t row, std::size_t column) { return values[row * size + column]; }
  double at(std::size_t row, std::size_t column) const { return values[row * size + column]; }
  std::size_t size;
  std::vector<double> values;
};

// One component of a patch: where it lies in it, and which channel of the image it reads.
struct Component {
  int row = 0, column = 0, channel = 0;
};

std::vector<Component> patch_components(Size2 kernel, int channels) {
  std::vector<Component> components;
  for (int row = 0; row < kernel.height; ++row)
    for (int column = 0; column < kernel.width; ++column)
      for (int channel = 0; channel < channels; ++channel) components.push_back({row, column, channel});
  return components;
}

constexpr std::size_t kLanes = 16;  // of the dot products below; rows are padded to a multiple with zeros

// Component `c` of every patch of one image: [rows * columns], in the order of the patches.
void gather(const ImageSet& set, std::size_t index, const Component& c, int rows, int columns, std::int16_t* values) {
  const auto channels = static_cast<std::size_t>(set.image.channels), width = static_cast<std::size_t>(set.image.width);
  for (int y = 0; y < rows; ++y) {
    const std::uint8_t* from =
        set.at(index) + (static_cast<std::size_t>(y + c.row) * width + static_cast<std::size_t>(c.column)) * channels +
        c.channel;
    for (int x = 0; x < columns; ++x) *values++ = from[static_cast<std::size_t>(x) * channels];
  }
}

// Exact: of values up to 255, each step adds less than 2^21 to the 64-bit sum.
std::int64_t dot(const std::int16_t* a, const std::int16_t* b, std::size_t count) {
  std::int64_t sum = 0;
  for (std::size_t first = 0; first < count; first += kLanes) {
    std::int32_t part = 0;
    for (std::size_t k = 0; k < kLanes; ++k) part += std::int32_t{a[first + k]} * b[first + k];
    sum += part;
  }
  return sum;
}

struct Moments {
  std::vector<std::int64_t> first;   // [n]: sums of pixels
  std::vector<std::int64_t> second;  // [n, n], upper triangle: sums of products
  std::int64_t patches = 0;
};

// Sums over all patches of the first `count` images.
Moments sum_patches(const ImageSet& set, std::size_t count, Size2 kernel, const std::vector<Component>& components) {
  const int rows = set.image.height - kernel.height + 1, columns = set.image.width - kernel.width + 1;
  const std::size_t n = components.size();
  const std::size_t patches = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
  const std::size_t stride = (patches + kLanes - 1) / kLanes * kLanes;
  Moments moments{std::vector<std::int64_t>(n), std::vector<std::int64_t>(n * n), 0};
  moments.patches = static_cast<std::int64_t>(count * patches);
  std::vector<std::int16_t> values(n * stride, 0);  // [n, patches]
  for (std::size_t index = 0; index < count; ++index) {
    for (std::size_t i = 0; i < n; ++i) gather(set, index, components[i], rows, columns, &values[i * stride]);
    for (std::size_t i = 0; i < n; ++i) {
      moments.first[i] += std::accumulate(&values[i * stride], &values[i * stride] + patches, std::int64_t{0});
      for (std::size_t j = i; j < n; ++j)
        moments.second[i * n + j] += dot(&values[i * stride], &values[j * stride], stride);
    }
  }
  return moments;
}

// Cyclic Jacobi rotations: `a` becomes diagonal (the eigenvalues); returns the eigenvectors as rows.
Matrix diagonalise(Matrix& a) {
  const std::size_t n = a.size;
  Matrix vectors(n);
  for (std::size_t i = 0; i < n; ++i) vectors.at(i, i) = 1;
  double total = 0;
  for (const double value : a.values) total += value * value;
  for (int sweep = 0; sweep < 100; ++sweep) {
    double off_diagonal = 0;
    for (std::size_t p = 0; p < n; ++p)
      for (std::size_t q = p + 1; q < n; ++q) off_diagonal += a.at(p, q) * a.at(p, q);
    if (off_diagonal <= 1e-30 * total) break;
    for (std::size_t p = 0; p < n; ++p) {
      for (std::size_t q = p + 1; q < n; ++q) {
        if (a.at(p, q) == 0) continue;
        const double theta = (a.at(q, q) - a.at(p, p)) / (2 * a.at(p, q));
        const double tangent = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
        const double cosine = 1 / std::sqrt(tangent * tangent + 1), sine = tangent * cosine;
        for (std::size_t k = 0; k < n; ++k) {
          const double kp = a.at(k, p), kq = a.at(k, q);
          a.at(k, p) = cosine * kp - sine * kq;
          a.at(k, q) = sine * kp + cosine * kq;
        }
        for (std::size_t k = 0; k < n; ++k) {
          const double pk = a.at(p, k), qk = a.at(q, k);
          a.at(p, k) = cosine * pk - sine * qk;
          a.at(q, k) = sine * pk + cosine * qk;
        }
        for (std::size_t k = 0; k < n; ++k) {
          const double pk = vectors.at(p, k), qk = vectors.at(q, k);
          vectors.at(p, k) = cosine * pk - sine * qk;
          vectors.at(q, k) = sine * pk + cosine * qk;
        }
      }
    }
  }
  return vectors;
}

// +1 or -1: makes the component of largest magnitude positive; of equal ones, up to rounding, the first decides.
double sign_of(const Matrix& vectors, std::size_t row) {
  double largest = 0;
  for (std::size_t k = 0; k < vectors.size; ++k) largest = std::max(largest, std::abs(vectors.at(row, k)));
  for (std::size_t k = 0; k < vectors.size; ++k)
    if (std::abs(vectors.at(row, k)) >= (1 - 1e-6) * largest) return vectors.at(row, k) < 0 ? -1 : 1;
  return 1;
}

}  // namespace

std::vector<float> whitening_filters(const ImageSet& set, std::span<const float> scale, std::span<const float> offset,
                                     Size2 kernel, std::size_t count) {
  const int channels = static_cast<int>(scale.size());
  CONVOY_CHECK(scale.size() == offset.size() && channels >= set.image.channels && set.count() > 0,
               "whitening: {} scales and {} offsets for {} images of {} channels", scale.size(), offset.size(),
               set.count(), set.image.channels);
  CONVOY_CHECK(kernel.height <= set.image.height && kernel.width <= set.image.width,
               "whitening: {}x{} patches do not fit into images of {}x{}", kernel.height, kernel.width,
               set.image.height, set.image.width);
  count = std::min(count, set.count());
  // Summed over the image's own channels: where grey is repeated, several components share them.
  const std::vector<Component> distinct = patch_components(kernel, set.image.channels);
  const Moments moments = sum_patches(set, count, kernel, distinct);
  const std::vector<Component> components = patch_components(kernel, channels);
  const std::size_t n = components.size();
  const auto index_of = [&](const Component& c) {
    return static_cast<std::size_t>((c.row * kernel.width + c.column) * set.image.channels +
                                    std::min(c.channel, set.image.channels - 1));
  };
  // E[(s p + o)(s' p' + o')] from the sums of p p' and p.
  Matrix moment(n);
  const auto patches = static_cast<double>(moments.patches);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      const auto ci = static_cast<std::size_t>(components[i].channel),
                 cj = static_cast<std::size_t>(components[j].channel);
      const std::size_t a = index_of(components[i]), b = index_of(components[j]);
      const double si = scale[ci], sj = scale[cj], oi = offset[ci], oj = offset[cj];
      const auto product = static_cast<double>(moments.second[std::min(a, b) * distinct.size() + std::max(a, b)]);
      moment.at(i, j) = si * sj * (product / patches) + si * oj * (static_cast<double>(moments.first[a]) / patches) +
                        oi * sj * (static_cast<double>(moments.first[b]) / patches) + oi * oj;
    }
  }

  const Matrix vectors = diagonalise(moment);
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return moment.at(a, a) > moment.at(b, b); });
  std::vector<float> filters(2 * n * n);
  for (std::size_t row = 0; row < n; ++row) {
    const std::size_t from = order[row];
    const double eigenvalue = std::max(moment.at(from, from), 0.0);
    const double factor = sign_of(vectors, from) / std::sqrt(eigenvalue + kEigenvalueFloor);
    for (std::size_t k = 0; k < n; ++k) {
      filters[row * n + k] = static_cast<float>(factor * vectors.at(from, k));
      filters[(n + row) * n + k] = -filters[row * n + k];
    }
  }
  return filters;
}

bool needs_whitening(const ParamLayout& layout) {
  return std::any_of(layout.parameters.begin(), layout.parameters.end(), [](const Parameter& p) {
    return p.kind == ParameterKind::filters && p.initialise == Initialisation::whitening;
  });
}

void whiten(const ParamLayout& layout, const ImageSet& training, std::span<const float> scale,
            std::span<const float> offset, std::span<float> weights) {
  for (const Parameter& p : layout.parameters) {
    if (p.kind != ParameterKind::filters || p.initialise != Initialisation::whitening) continue;
    const auto filters = whitening_filters(training, scale, offset, {p.extent.height, p.extent.width});
    CONVOY_CHECK(filters.size() == p.count && p.offset + p.count <= weights.size(),
                 "{}: {} whitening weights for {} elements", p.name, filters.size(), p.count);
    std::copy(filters.begin(), filters.end(), weights.begin() + static_cast<std::ptrdiff_t>(p.offset));
  }
}

}  // namespace convoy
