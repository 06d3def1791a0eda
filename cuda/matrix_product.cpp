// cuBLAS stores matrices by columns: what lies here as D [m,n] by rows is its D' [n,m], and D' = op(B)' op(A)'.
#include "matrix_product.hpp"

#include <fmt/format.h>

#include "check.hpp"
#include "convoy/error.hpp"

namespace convoy::cuda {
namespace {

// What NVIDIA recommends for Hopper; enough for sums in parts.
constexpr std::uint64_t kProductWorkspace = std::uint64_t{32} << 20;

// Weights of 16 bits lie in an arena like those of 32: where these begin at multiples of kAlignment, at half of it.
constexpr std::uint32_t kFactorAlignment = kAlignment / 2;

cudaDataType_t data_type(DType type) {
  switch (type) {
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f16:
      return CUDA_R_16F;
    case DType::f32:
      break;
  }
  return CUDA_R_32F;
}

cublasLtEpilogue_t epilogue(const ProductSpec& spec) {
  if (spec.bias) return spec.relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
  return spec.relu ? CUBLASLT_EPILOGUE_RELU : CUBLASLT_EPILOGUE_DEFAULT;
}

template <typename T>
void set(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  CHECK_CUBLAS(cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof value));
}

template <typename T>
void set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute, const T& value) {
  CHECK_CUBLAS(cublasLtMatrixLayoutSetAttribute(layout, attribute, &value, sizeof value));
}

template <typename T>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
  CHECK_CUBLAS(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value));
}

// [rows, columns] by rows: to cuBLAS `columns` long columns.
cublasLtMatrixLayout_t layout(DType type, int rows, int columns, int batch, std::int64_t stride) {
  cublasLtMatrixLayout_t made = nullptr;
  CHECK_CUBLAS(cublasLtMatrixLayoutCreate(&made, data_type(type), static_cast<std::uint64_t>(columns),
                                          static_cast<std::uint64_t>(rows), columns));
  if (batch > 1) {
    set(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<std::int32_t>(batch));
    set(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stride);
  }
  return made;
}

std::string described(const ProductSpec& spec) {
  constexpr const char* kNames[] = {"fp32", "bf16", "fp16"};
  return fmt::format("[{},{}]x[{},{}] of {} into {}{}{}, {} at a time", spec.m, spec.k, spec.k, spec.n,
                     kNames[static_cast<int>(spec.factors)], kNames[static_cast<int>(spec.result)],
                     spec.bias ? ", bias" : "", spec.relu ? ", ReLU" : "", spec.batch);
}

}  // namespace

MatrixProduct::MatrixProduct(const ProductSpec& spec, const Context& context)
    : handle_(context.cublas_lt), stream_(context.stream), has_bias_(spec.bias) {
  cublasLtMatmulDesc_t description = nullptr;
  CHECK_CUBLAS(cublasLtMatmulDescCreate(&description, spec.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                                        CUDA_R_32F));
  description_.reset(description);
  set(description, CUBLASLT_MATMUL_DESC_TRANSA, spec.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(description, CUBLASLT_MATMUL_DESC_TRANSB, spec.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(description, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue(spec));
  left_.reset(layout(spec.factors, spec.transpose_b ? spec.n : spec.k, spec.transpose_b ? spec.k : spec.n, spec.batch,
                     spec.stride_b));
  right_.reset(layout(spec.factors, spec.transpose_a ? spec.k : spec.m, spec.transpose_a ? spec.m : spec.k, spec.batch,
                      spec.stride_a));
  result_.reset(layout(spec.result, spec.m, spec.n, spec.batch, spec.stride_result));

  cublasLtMatmulPreference_t made = nullptr;
  CHECK_CUBLAS(cublasLtMatmulPreferenceCreate(&made));
  const Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference(made);
  set(made, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kProductWorkspace);
  set(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, kFactorAlignment);
  // Sums in parts only with fp32 parts in the workspace, added in order: same bits each time, nothing rounded between.
  set(made, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle_, description, left_.get(), right_.get(),
                                                               result_.get(), result_.get(), made, 1, &found, &count);
  CONVOY_CHECK(status == CUBLAS_STATUS_SUCCESS && count > 0 && found.state == CUBLAS_STATUS_SUCCESS,
               "GPU {}: cuBLAS has no algorithm for the product {} ({})", context.device, described(spec),
               cublasGetStatusString(status));
  algorithm_ = found.algo;
  workspace_bytes_ = found.workspaceSize;
}

std::string MatrixProduct::algorithm() const {
  int id = 0;
  std::size_t written = 0;
  CHECK_CUBLAS(cublasLtMatmulAlgoConfigGetAttribute(&algorithm_, CUBLASLT_ALGO_CONFIG_ID, &id, sizeof id, &written));
  return fmt::format("cublasLt:{}", id);
}

void MatrixProduct::run(const ProductOperands& operands, float alpha, float beta) const {
  if (has_bias_) set(description_.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, operands.bias);
  CHECK_CUBLAS(cublasLtMatmul(handle_, description_.get(), &alpha, operands.b, left_.get(), operands.a, right_.get(),
                              &beta, operands.c == nullptr ? operands.d : operands.c, result_.get(), operands.d,
                              result_.get(), &algorithm_, operands.workspace, workspace_bytes_, stream_));
}

}  // namespace convoy::cuda
