// One matrix product of cuBLASLt, or a batch of equal ones: its algorithm is chosen when it is planned, so that the
// workspace is known and every call is the same kernel.
#pragma once

#include <cublasLt.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "context.hpp"
#include "convoy/types.hpp"
#include "handles.hpp"

namespace convoy::cuda {

// D [m,n] = activation(alpha * op(A) [m,k] . op(B) [k,n] + beta * C [m,n] + bias [n]). All matrices are row-major
// without gaps; a transposed A lies [k,m], a transposed B [n,k]. Sums are fp32 whatever the types.
struct ProductSpec {
  int m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  DType factors = DType::f32;  // of A and B
  DType result = DType::f32;   // of C, D and the bias: cuBLAS knows a bias in the result's type alone
  bool tf32 = false;           // fp32 factors may be rounded to TF32
  bool bias = false, relu = false;
  int batch = 1;
  std::int64_t stride_a = 0, stride_b = 0, stride_result = 0;  // elements from one matrix of the batch to the next
};

// What one call reads and writes: device memory at multiples of kAlignment, B at half of it. D may be C, but neither A
// nor B.
struct ProductOperands {
  const void* a = nullptr;
  const void* b = nullptr;
  const void* c = nullptr;  // null: D, for beta = 0
  void* d = nullptr;
  const void* bias = nullptr;
  void* workspace = nullptr;
};

class MatrixProduct {
 public:
  MatrixProduct() = default;
  // Throws Error where cuBLAS has no algorithm.
  MatrixProduct(const ProductSpec&, const Context&);

  std::size_t workspace_bytes() const { return workspace_bytes_; }
  std::string algorithm() const;  // "cublasLt:66"
  void run(const ProductOperands&, float alpha = 1, float beta = 0) const;

 private:
  using Description = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
  using MatrixLayout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;

  cublasLtHandle_t handle_ = nullptr;
  cudaStream_t stream_ = nullptr;
  Description description_;
  MatrixLayout left_, right_, result_;  // of cuBLAS's factors: it sees column-major matrices, so B is its left one
  cublasLtMatmulAlgo_t algorithm_{};
  std::size_t workspace_bytes_ = 0;
  bool has_bias_ = false;
};

}  // namespace convoy::cuda
