// Instance normalisation of tensors of any type and layout that its plugins take.
#pragma once

#include "common/norm_hwc8_launch.cuh"
#include "common/norm_linear_launch.cuh"
#include "common/tensor.h"

namespace trtdsl {

constexpr size_t kNormWorkspace = kHwc8Workspace > kLinearWorkspace ? kHwc8Workspace : kLinearWorkspace;

// Fields that plugins of normalisation have in common.
struct NormParameters {
  const float* scale;
  const float* bias;
  float epsilon;
  int32_t activation;
  float slope;
};

namespace detail {

// What kernels index with 32 bits, with room for a step of all threads at once; the plugins' `requires` say it too.
constexpr int64_t kMostIndices = INT32_MAX - (1 << 20);

template <typename T, bool kFramed>
cudaError_t launch_linear(const NormArguments& norm, const Frame& frame, const Device& device, const Tensor& x,
                          const void* residual, const Tensor& y, void* workspace, cudaStream_t stream) {
  const int64_t instances = x.dims[0] * x.dims[1];
  if (instances > kMostIndices) return cudaErrorInvalidValue;
  LinearArguments<T> tensors{};
  tensors.x = static_cast<const T*>(x.data);
  tensors.y = static_cast<T*>(y.data);
  tensors.residual = static_cast<const T*>(residual);
  tensors.units = static_cast<int>(instances);
  return LinearNorm<T, kFramed>(tensors, norm, frame, device, workspace, stream).launch();
}

}  // namespace detail

// Without a frame, y is as large as x and there is no residual. One with a frame is of images only.
template <bool kFramed>
cudaError_t launch_norm(const NormParameters& parameters, const Frame& frame, const Tensor& x, const void* residual,
                        const Tensor& y, void* workspace, cudaStream_t stream) {
  if (kFramed && x.rank != 4) return cudaErrorInvalidValue;
  if (x.volume() == 0) return cudaSuccess;
  const int64_t size = x.volume() / x.dims[0] / x.dims[1];
  const int64_t vectors = ceil_divide<int64_t>(x.dims[1], 8);
  const bool is_hwc8 = x.layout == Layout::kHWC8;
  int64_t largest = size;
  if constexpr (kFramed)
    largest = std::max({size, int64_t{frame.out_height()} * frame.out_width(),
                        int64_t{frame.residual_height} * frame.residual_width});
  if (largest * (is_hwc8 ? vectors : 1) > detail::kMostIndices || x.dims[0] * vectors > detail::kMostIndices)
    return cudaErrorInvalidValue;
  NormArguments norm{};
  norm.scale = parameters.scale;
  norm.bias = parameters.bias;
  norm.channels = static_cast<int>(x.dims[1]);
  norm.size = static_cast<int>(size);
  norm.inverse_size = static_cast<float>(1.0 / static_cast<double>(size));
  norm.epsilon = parameters.epsilon;
  norm.activation = static_cast<Activation>(parameters.activation);
  norm.slope = parameters.slope;
  Device device;
  if (const cudaError_t error = device.find()) return error;
  if (x.dtype == DataType::kFloat16 && is_hwc8 && x.rank == 4) {
    if (!is_aligned(x.data, 16) || !is_aligned(y.data, 16) || !is_aligned(residual, 16))
      return cudaErrorMisalignedAddress;
    Hwc8Arguments tensors{};
    tensors.x = static_cast<const Half8*>(x.data);
    tensors.y = static_cast<Half8*>(y.data);
    tensors.residual = static_cast<const Half8*>(residual);
    return launch_hwc8<kFramed>(tensors, static_cast<int>(x.dims[0]), norm, frame, device, workspace, stream);
  }
  if (is_hwc8) return cudaErrorInvalidValue;
  switch (x.dtype) {
    case DataType::kFloat32:
      return detail::launch_linear<float, kFramed>(norm, frame, device, x, residual, y, workspace, stream);
    case DataType::kFloat16:
      return detail::launch_linear<__half, kFramed>(norm, frame, device, x, residual, y, workspace, stream);
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace trtdsl
