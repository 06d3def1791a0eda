// Owner of one descriptor of cuDNN's graph API, with typed attributes. A wrapper of our own, since cudnn-frontend's
// headers are in no system package of CUDA or Debian, and a file that includes them takes half a minute to compile.
#pragma once

#include <cudnn.h>

#include <cstdint>
#include <string>
#include <vector>

#include "check.hpp"
#include "handles.hpp"

namespace convoy::cuda::cudnn {

// How cuDNN calls a C++ type; an attribute of any other type does not compile.
template <typename T>
inline constexpr cudnnBackendAttributeType_t kTypeOf = [] { static_assert(sizeof(T) == 0, "no attribute's type"); }();
template <>
inline constexpr cudnnBackendAttributeType_t kTypeOf<std::int64_t> = CUDNN_TYPE_INT64;
template <>
inline constexpr cudnnBackendAttributeType_t kTypeOf<std::int32_t> = CUDNN_TYPE_INT32;
template <>
inline constexpr cudnnBackendAttributeType_t kTypeOf<float> = CUDNN_TYPE_FLOAT;
template <>
inline constexpr cudnnBackendAttributeType_t kTypeOf<bool> = CUDNN_TYPE_BOOLEAN;
template <>
inline constexpr cudnnBackendAttributeType_t kTypeOf<char> = CUDNN_TYPE_CHAR;
template <>
inline constexpr cudnnBackendAttributeType_t kTypeOf<cudnnHandle_t> = CUDNN_TYPE_HANDLE;
template <>
inline constexpr cudnnBackendAttributeType_t kTypeOf<cudnnDataType_t> = CUDNN_TYPE_DATA_TYPE;
template <>
inline constexpr cudnnBackendAttributeType_t kTypeOf<cudnnConvolutionMode_t> = CUDNN_TYPE_CONVOLUTION_MODE;
template <>
inline constexpr cudnnBackendAttributeType_t kTypeOf<cudnnPointwiseMode_t> = CUDNN_TYPE_POINTWISE_MODE;
template <>
inline constexpr cudnnBackendAttributeType_t kTypeOf<cudnnBackendHeurMode_t> = CUDNN_TYPE_HEUR_MODE;
template <>
inline constexpr cudnnBackendAttributeType_t kTypeOf<cudnnBackendNumericalNote_t> = CUDNN_TYPE_NUMERICAL_NOTE;
template <>
inline constexpr cudnnBackendAttributeType_t kTypeOf<cudnnBackendDescriptor_t> =
    CUDNN_TYPE_BACKEND_DESCRIPTOR;  // a void*

class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    cudnnBackendDescriptor_t descriptor = nullptr;
    CHECK_CUDNN(cudnnBackendCreateDescriptor(type, &descriptor));
    owned_.reset(descriptor);
  }

  cudnnBackendDescriptor_t get() const { return owned_.get(); }

  template <typename T>
  void set(cudnnBackendAttributeName_t name, const T& value) {
    set(name, &value, 1);
  }
  template <typename T>
  void set(cudnnBackendAttributeName_t name, const std::vector<T>& values) {
    set(name, values.data(), values.size());
  }
  void set(cudnnBackendAttributeName_t name, const Descriptor& other) { set(name, other.get()); }

  void set_addresses(cudnnBackendAttributeName_t name, const std::vector<void*>& addresses) {
    const auto count = static_cast<std::int64_t>(addresses.size());
    CHECK_CUDNN(cudnnBackendSetAttribute(get(), name, CUDNN_TYPE_VOID_PTR, count, addresses.data()));
  }

  bool try_set(cudnnBackendAttributeName_t name, const std::string& text) {
    const auto count = static_cast<std::int64_t>(text.size());
    return cudnnBackendSetAttribute(get(), name, CUDNN_TYPE_CHAR, count, text.data()) == CUDNN_STATUS_SUCCESS;
  }

  void finalize() { CHECK_CUDNN(cudnnBackendFinalize(get())); }
  // False where cuDNN does not support what the descriptor asks for.
  bool try_finalize() { return cudnnBackendFinalize(get()) == CUDNN_STATUS_SUCCESS; }

  template <typename T>
  T value(cudnnBackendAttributeName_t name) const {
    T value{};
    std::int64_t count = 0;
    CHECK_CUDNN(cudnnBackendGetAttribute(get(), name, kTypeOf<T>, 1, &count, &value));
    return value;
  }
  template <typename T>
  std::vector<T> values(cudnnBackendAttributeName_t name, std::int64_t most) const {
    std::vector<T> values(static_cast<std::size_t>(most));
    std::int64_t count = 0;
    CHECK_CUDNN(cudnnBackendGetAttribute(get(), name, kTypeOf<T>, most, &count, values.data()));
    values.resize(static_cast<std::size_t>(count));
    return values;
  }
  // An attribute that is a descriptor is written into one made before, of its type.
  void read_into(cudnnBackendAttributeName_t name, Descriptor& other) const {
    cudnnBackendDescriptor_t descriptor = other.get();
    std::int64_t count = 0;
    CHECK_CUDNN(cudnnBackendGetAttribute(get(), name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &descriptor));
  }

 private:
  template <typename T>
  void set(cudnnBackendAttributeName_t name, const T* values, std::size_t count) {
    CHECK_CUDNN(cudnnBackendSetAttribute(get(), name, kTypeOf<T>, static_cast<std::int64_t>(count), values));
  }

  Owned<cudnnBackendDescriptor_t, cudnnBackendDestroyDescriptor> owned_;
};

}  // namespace convoy::cuda::cudnn
