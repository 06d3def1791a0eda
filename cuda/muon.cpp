// Muon as convoy/update.hpp states it. Its products are batched by cuBLASLt over matrices of like shape, on zero-padded
// copies: zeros beyond a matrix stay zeros and change nothing. In fp32 with --precision fp32, by TF32 tensor cores with
// tf32; with bf16 and fp16 the copies are bf16 and the sums fp32, as in Jordan's original.
#include "kernels/muon.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "matrix_product.hpp"
#include "nn/check_spec.hpp"
#include "operations.hpp"

namespace convoy::cuda {
namespace {

constexpr float kA = 3.4445F, kB = -4.7750F, kC = 2.0315F;

// Operations in the time of one launch, about 2.5 us, at the rates that batches of such small products reach: padding
// that costs no more than the launches that it saves is worth it.
constexpr double kLaunchWorkFp32 = 1e8, kLaunchWorkTensorCores = 5e8;

struct Shape {
  int rows = 0, columns = 0;
  bool is_tall() const { return rows > columns; }
  int smaller() const { return std::min(rows, columns); }
  bool holds(const Shape& other) const {
    return is_tall() == other.is_tall() && rows >= other.rows && columns >= other.columns;
  }
  // Of one iteration.
  double flops() const {
    const double n = smaller(), longer = std::max(rows, columns);
    return 4 * n * n * longer + 2 * n * n * n;
  }
  bool operator==(const Shape&) const = default;
};

// Matrices that are multiplied together.
struct Batch {
  Shape shape;                                  // of the copies: multiples of kMuonRun
  std::vector<int> members;                     // indices of the spec's matrices
  std::size_t first_copy = 0, second_copy = 0;  // bytes into the copies
  MatrixProduct square, polynomial, next;
};

int padded(int extent) { return (extent + kMuonRun - 1) / kMuonRun * kMuonRun; }

// Largest first, so that smaller ones find a batch that holds them.
std::vector<Batch> batches_of(const std::vector<MuonSpec::Matrix>& matrices, double launch_work) {
  std::vector<Batch> shapes;
  for (int i = 0; i < static_cast<int>(matrices.size()); ++i) {
    const Shape shape = {matrices[i].rows, matrices[i].columns};
    const auto same = std::find_if(shapes.begin(), shapes.end(), [&](const Batch& b) { return b.shape == shape; });
    Batch& batch = same != shapes.end() ? *same : shapes.emplace_back();
    batch.shape = shape;
    batch.members.push_back(i);
  }
  std::stable_sort(shapes.begin(), shapes.end(),
                   [](const Batch& a, const Batch& b) { return a.shape.flops() > b.shape.flops(); });
  constexpr int kLaunchesOfIteration = 3;
  std::vector<Batch> batches;
  for (Batch& one : shapes) {
    const auto more_work = [&](const Batch& batch) {
      return static_cast<double>(one.members.size()) * (batch.shape.flops() - one.shape.flops());
    };
    Batch* cheapest = nullptr;
    for (Batch& batch : batches) {
      if (!batch.shape.holds(one.shape) || more_work(batch) > kLaunchesOfIteration * launch_work) continue;
      if (cheapest == nullptr || more_work(batch) < more_work(*cheapest)) cheapest = &batch;
    }
    if (cheapest == nullptr) {
      batches.push_back(std::move(one));
    } else {
      cheapest->members.insert(cheapest->members.end(), one.members.begin(), one.members.end());
    }
  }
  for (Batch& batch : batches) batch.shape = {padded(batch.shape.rows), padded(batch.shape.columns)};
  return batches;
}

class Muon final : public Update {
 public:
  Muon(const MuonSpec& spec, const Context& context);

  std::size_t workspace_bytes() const override { return workspace_bytes_; }
  void enqueue(const UpdateOperands&) override;

 private:
  // Bytes of a matrix [rows, columns] in a batch, which start at multiples of kAlignment.
  std::size_t stride(int rows, int columns) const {
    return align_up(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns) *
                    bytes_per_element(args_.copy_type));
  }
  void plan_products(Batch&, const Context&);
  void orthogonalise(const Batch&, std::byte* workspace) const;

  cudaStream_t stream_;
  int iterations_;
  MuonArgs args_;
  bool starts_at_once_ = false;
  std::vector<Batch> batches_;
  std::size_t copies_ = 0, squares_ = 0, polynomials_ = 0, products_ = 0;  // where they lie in the workspace, in bytes
  std::size_t workspace_bytes_ = 0;
};

Muon::Muon(const MuonSpec& spec, const Context& context) : stream_(context.stream), iterations_(spec.iterations) {
  check(spec);
  const bool is_fp32 = context.precision == Precision::fp32;
  args_.momentum = spec.momentum;
  args_.nesterov = spec.nesterov;
  args_.normalise_weights = spec.normalise_weights;
  args_.copy_type = context.compute == DType::f32 ? DType::f32 : DType::bf16;
  args_.narrow = context.compute;
  batches_ = batches_of(spec.matrices, is_fp32 ? kLaunchWorkFp32 : kLaunchWorkTensorCores);

  std::size_t copies = 0, squares = 0, products = 0;
  for (Batch& batch : batches_) {
    const std::size_t one = stride(batch.shape.rows, batch.shape.columns);
    const std::size_t all = one * batch.members.size();
    batch.first_copy = copies;
    batch.second_copy = copies + all;
    copies += 2 * all;
    const std::size_t square = stride(batch.shape.smaller(), batch.shape.smaller());
    squares = std::max(squares, square * batch.members.size());
    plan_products(batch, context);
    for (const MatrixProduct* product : {&batch.square, &batch.polynomial, &batch.next}) {
      products = std::max(products, product->workspace_bytes());
    }
    std::size_t place = 0;
    for (const int member : batch.members) {
      const MuonSpec::Matrix& matrix = spec.matrices[static_cast<std::size_t>(member)];
      const int parts = muon_parts(std::int64_t{matrix.rows} * matrix.columns);
      args_.matrices.push_back({.offset = matrix.offset,
                                .rows = matrix.rows,
                                .columns = matrix.columns,
                                .group = matrix.group,
                                .weight_decay = matrix.weight_decay,
                                .first_part = args_.parts,
                                .parts = parts,
                                .padded_rows = batch.shape.rows,
                                .padded_columns = batch.shape.columns,
                                .start = batch.first_copy + place,
                                .result = (iterations_ % 2 == 0 ? batch.first_copy : batch.second_copy) + place});
      args_.parts += parts;
      place += one;
    }
  }
  starts_at_once_ = context.has_device_alone && muon_start_fits_at_once(args_);
  copies_ = align_up(2 * sizeof(double) * static_cast<std::size_t>(args_.parts));
  squares_ = copies_ + copies;
  polynomials_ = squares_ + squares;
  products_ = polynomials_ + squares;
  workspace_bytes_ = products_ + products;
}

// A = X X', P = c A A + b A, next X = P X + a X; where there are more rows than columns A = X' X, next X = X P + a X,
// so that A is the smaller square.
void Muon::plan_products(Batch& batch, const Context& context) {
  const auto [rows, columns] = batch.shape;
  const int n = batch.shape.smaller();
  const bool is_tall = batch.shape.is_tall();
  const auto elements = [&](int r, int c) {
    return static_cast<std::int64_t>(stride(r, c) / bytes_per_element(args_.copy_type));
  };
  const std::int64_t whole = elements(rows, columns), square = elements(n, n);
  ProductSpec product{.m = n,
                      .n = n,
                      .k = std::max(rows, columns),
                      .transpose_a = is_tall,
                      .transpose_b = !is_tall,
                      .factors = args_.copy_type,
                      .result = args_.copy_type,
                      .tf32 = context.precision == Precision::tf32,
                      .batch = static_cast<int>(batch.members.size()),
                      .stride_a = whole,
                      .stride_b = whole,
                      .stride_result = square};
  batch.square = MatrixProduct(product, context);
  product.k = n;
  product.transpose_a = product.transpose_b = false;
  product.stride_a = product.stride_b = square;
  batch.polynomial = MatrixProduct(product, context);
  product.m = rows;
  product.n = columns;
  product.stride_a = is_tall ? whole : square;
  product.stride_b = is_tall ? square : whole;
  product.stride_result = whole;
  batch.next = MatrixProduct(product, context);
}

void Muon::enqueue(const UpdateOperands& operands) {
  auto* workspace = static_cast<std::byte*>(operands.workspace);
  const MuonBuffers buffers{.weights = operands.weights,
                            .narrow_weights = operands.narrow_weights,
                            .gradients = operands.gradients,
                            .momentum = operands.first_moment,
                            .factor = operands.gradient_factor,
                            .row = operands.row,
                            .loss_scale = operands.loss_scale,
                            .sums = reinterpret_cast<double*>(workspace),
                            .copies = workspace + copies_};
  muon_start(args_, buffers, starts_at_once_, stream_);
  for (const Batch& batch : batches_) orthogonalise(batch, workspace);
  muon_apply(args_, buffers, stream_);
}

void Muon::orthogonalise(const Batch& batch, std::byte* workspace) const {
  std::byte *x = workspace + copies_ + batch.first_copy, *next = workspace + copies_ + batch.second_copy;
  std::byte *square = workspace + squares_, *polynomial = workspace + polynomials_, *scratch = workspace + products_;
  const bool is_tall = batch.shape.is_tall();
  for (int i = 0; i < iterations_; ++i) {
    batch.square.run({.a = x, .b = x, .d = square, .workspace = scratch});
    batch.polynomial.run({.a = square, .b = square, .c = square, .d = polynomial, .workspace = scratch}, kC, kB);
    batch.next.run(
        {.a = is_tall ? x : polynomial, .b = is_tall ? polynomial : x, .c = x, .d = next, .workspace = scratch}, 1, kA);
    std::swap(x, next);
  }
}

}  // namespace

std::unique_ptr<Update> plan_muon(const MuonSpec& spec, const Context& context) {
  return std::make_unique<Muon>(spec, context);
}

}  // namespace convoy::cuda
