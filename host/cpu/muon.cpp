// Muon (Jordan 2024), as convoy/update.hpp states it: momentum, Newton-Schulz orthogonalisation, projection. The
// rate is what the orthogonalised update, whose singular values are near 1, is multiplied by: no other factor.
#include <cmath>
#include <cstring>
#include <utility>

#include "convoy/error.hpp"
#include "cpu/arena.hpp"
#include "cpu/operations.hpp"
#include "cpu/parts.hpp"
#include "nn/check_spec.hpp"

namespace convoy::cpu {
namespace {

constexpr float kA = 3.4445F, kB = -4.7750F, kC = 2.0315F;
constexpr double kNormEpsilon = 1e-7;
// Iterations: the rounding of their square grows with each, and after more than three is no longer fp32's.
constexpr int kAtOnce = 3;
constexpr std::size_t kSquares = 4;

// Row-major C [m,n] = alpha op(A) op(B) + beta C.
void multiply(char transpose_a, char transpose_b, int m, int n, int k, float alpha, const float* a, int lda,
              const float* b, int ldb, float beta, float* c) {
  const dnnl_status_t status = dnnl_sgemm(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, n);
  CONVOY_CHECK(status == dnnl_success, "muon: oneDNN's matrix product [{},{}]x[{},{}] failed with status {}", m, k, k,
               n, static_cast<int>(status));
}

class Muon final : public Update {
 public:
  Muon(const MuonSpec& spec, const Context& context) : spec_(spec), context_(context) {
    check(spec_);
    for (const MuonSpec::Matrix& matrix : spec_.matrices) {
      const auto smaller = static_cast<std::size_t>(std::min(matrix.rows, matrix.columns));
      largest_ = std::max(largest_, padded(elements(matrix)));
      largest_square_ = std::max(largest_square_, padded(smaller * smaller));
    }
  }

  std::size_t workspace_bytes() const override { return (2 * largest_ + kSquares * largest_square_) * sizeof(float); }

  void enqueue(const UpdateOperands& operands) override {
    for (const MuonSpec::Matrix& matrix : spec_.matrices) update(matrix, operands);
  }

 private:
  static std::size_t elements(const MuonSpec::Matrix& matrix) {
    return static_cast<std::size_t>(matrix.rows) * static_cast<std::size_t>(matrix.columns);
  }
  static std::size_t padded(std::size_t count) { return align_up(count * sizeof(float)) / sizeof(float); }

  void update(const MuonSpec::Matrix& matrix, const UpdateOperands& operands) const {
    const auto count = static_cast<std::int64_t>(elements(matrix));
    float* weights = operands.weights + matrix.offset;
    float* x = static_cast<float*>(operands.workspace);
    apply_momentum(matrix, operands, x);
    x = orthogonalise(matrix, x, operands);

    const float rate = operands.row->learning_rates[matrix.group];
    double keep = 1 - static_cast<double>(rate) * matrix.weight_decay;
    if (spec_.normalise_weights) {
      const double norm = std::sqrt(sum_of_squares(weights, elements(matrix), context_));
      if (norm > 0) keep *= std::sqrt(static_cast<double>(matrix.rows)) / norm;
    }
    for_parts(count, context_.threads, [&](int, std::int64_t begin, std::int64_t end) {
      context_.kernels->update.muon_apply(weights + begin, x + begin, static_cast<float>(keep), rate, end - begin);
    });
  }

  void apply_momentum(const MuonSpec::Matrix& matrix, const UpdateOperands& operands, float* x) const {
    const float factor = operands.gradient_factor == nullptr ? 1.0F : *operands.gradient_factor;
    const float* gradients = operands.gradients + matrix.offset;
    const auto count = static_cast<std::int64_t>(elements(matrix));
    for_parts(count, context_.threads, [&](int, std::int64_t begin, std::int64_t end) {
      if (spec_.momentum == 0) {
        context_.kernels->arena.scale(x + begin, gradients + begin, factor, end - begin);
      } else {
        context_.kernels->update.muon_momentum(gradients + begin, factor, spec_.momentum, spec_.nesterov,
                                               operands.first_moment + matrix.offset + begin, x + begin, end - begin);
      }
    });
  }

  // X <- P X with P = a I + b A + c A^2 and A = X X^T, from X / (|X| + 1e-7); where there are more rows than columns
  // the same on the transposed side, X <- X P with A = X^T X, so that A is the small square. Returns where the result
  // lies. P is a polynomial of A, so the next A is P A P, and several iterations multiply X once, by the product of
  // their P: each but the first saves 4 n^2 L operations for 6 n^3, with n the shorter side and L the longer.
  float* orthogonalise(const MuonSpec::Matrix& matrix, float* x, const UpdateOperands& operands) const {
    const int n = std::min(matrix.rows, matrix.columns), longer = std::max(matrix.rows, matrix.columns);
    float* other = static_cast<float*>(operands.workspace) + largest_;
    float* squares = other + largest_;

    const double norm = std::sqrt(sum_of_squares(x, elements(matrix), context_));
    const auto inverse = static_cast<float>(1 / (norm + kNormEpsilon));
    const auto count = static_cast<std::int64_t>(elements(matrix));
    for_parts(count, context_.threads, [&](int, std::int64_t begin, std::int64_t end) {
      context_.kernels->arena.scale(x + begin, x + begin, inverse, end - begin);
    });
    const int at_once = 4 * longer > 6 * n ? kAtOnce : 1;
    for (int done = 0; done < spec_.iterations; done += at_once) {
      iterate(matrix, std::min(at_once, spec_.iterations - done), x, other, squares);
      std::swap(x, other);
    }
    return x;
  }

  void iterate(const MuonSpec::Matrix& matrix, int iterations, const float* x, float* result, float* squares) const {
    const int rows = matrix.rows, columns = matrix.columns, n = std::min(rows, columns);
    const bool is_tall = rows > columns;
    const std::size_t bytes = sizeof(float) * static_cast<std::size_t>(n) * static_cast<std::size_t>(n);
    float *square = squares, *polynomial = square + largest_square_, *product = polynomial + largest_square_,
          *spare = product + largest_square_;
    multiply(is_tall ? 'T' : 'N', is_tall ? 'N' : 'T', n, n, std::max(rows, columns), 1, x, columns, x, columns, 0,
             square);
    for (int i = 0; i < iterations; ++i) {
      if (i > 0) {
        multiply('N', 'N', n, n, n, 1, square, n, polynomial, n, 0, spare);
        multiply('N', 'N', n, n, n, 1, polynomial, n, spare, n, 0, square);
      }
      std::memcpy(polynomial, square, bytes);
      multiply('N', 'N', n, n, n, kC, square, n, square, n, kB, polynomial);
      for (int d = 0; d < n; ++d) polynomial[static_cast<std::size_t>(d) * static_cast<std::size_t>(n + 1)] += kA;
      if (i == 0) {
        std::memcpy(product, polynomial, bytes);
      } else {
        multiply('N', 'N', n, n, n, 1, polynomial, n, product, n, 0, spare);
        std::swap(product, spare);
      }
    }
    if (is_tall) {
      multiply('N', 'N', rows, columns, n, 1, x, columns, product, n, 0, result);
    } else {
      multiply('N', 'N', rows, columns, n, 1, product, n, x, columns, 0, result);
    }
  }

  MuonSpec spec_;
  Context context_;
  std::size_t largest_ = 0, largest_square_ = 0;  // elements of the workspace's parts
};

}  // namespace

std::unique_ptr<Update> plan_muon(const MuonSpec& spec, const Context& context) {
  return std::make_unique<Muon>(spec, context);
}

}  // namespace convoy::cpu
