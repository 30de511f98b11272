// Launches a kernel and says whether that worked.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace trtdsl {

// Unlike <<<>>> with cudaGetLastError, the answer is of this launch alone, and no other's error is lost.
template <typename... Parameters, typename... Arguments>
cudaError_t launch_kernel(void (*kernel)(Parameters...), int64_t blocks, int threads, cudaStream_t stream,
                          Arguments... arguments) {
  if (blocks == 0) return cudaSuccess;
  if (blocks > std::numeric_limits<int32_t>::max()) return cudaErrorInvalidConfiguration;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

constexpr int64_t kLargestIndex = std::numeric_limits<int32_t>::max();

// Calls launch(first, count) for runs of planes that have at most kLargestIndex elements each, so that kernels get by
// with indices of 32 bits. Where it can be, every run begins with a multiple of `step` planes.
template <typename Launch>
cudaError_t for_each_slice(int64_t planes, int64_t plane, int64_t step, const Launch& launch) {
  if (planes == 0 || plane == 0) return cudaSuccess;
  const int64_t most = kLargestIndex / plane;
  if (most == 0) return cudaErrorInvalidValue;
  const int64_t slice = most >= planes || most < step ? most : most / step * step;
  for (int64_t first = 0; first < planes; first += slice) {
    const cudaError_t error = launch(first, std::min(slice, planes - first));
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace trtdsl
