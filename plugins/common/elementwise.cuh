// One function of one number over a whole tensor, in any layout: y[i] = function(x[i]), computed in fp32.
#pragma once

#include <type_traits>

#include "common/indexing.cuh"
#include "common/launch.h"
#include "common/memory.cuh"
#include "common/tensor.h"

namespace trtdsl {

constexpr int kElementwiseThreads = 256;

// A block takes a tile of one pack for each thread; the last one also what is less than a pack. More packs for each
// thread, all loaded before the first is stored, are no faster.
template <typename T, int kElements, typename Function>
__global__ void __launch_bounds__(kElementwiseThreads)
    elementwise_kernel(const T* __restrict__ x, T* __restrict__ y, int64_t count, Function function) {
  using P = Pack<T, kElements>;
  constexpr int kTile = kElementwiseThreads * kElements;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTile;
  const auto apply = [&](uint32_t pack) {
    P values = load<Cache::kStream>(reinterpret_cast<const P*>(x + first) + pack);
#pragma unroll
    for (T& value : values.values) value = from_float<T>(function(to_float(value)));
    store<Cache::kStream>(reinterpret_cast<P*>(y + first) + pack, values);
  };
  if (count - first >= kTile) {
    apply(threadIdx.x);
    return;
  }
  const auto left = static_cast<uint32_t>(count - first);
  const uint32_t packs = left / kElements, rest = packs * kElements + threadIdx.x;
  if (threadIdx.x < packs) apply(threadIdx.x);
  if (rest < left) y[first + rest] = from_float<T>(function(to_float(x[first + rest])));
}

// Elements in memory, those that fill up channels included.
inline int64_t stored_volume(const Tensor& tensor) {
  if (tensor.layout == Layout::kLinear || tensor.volume() == 0) return tensor.volume();
  const int64_t channels = tensor.dims[1];
  return tensor.volume() / channels * ceil_divide<int64_t>(channels, 8) * 8;
}

template <typename T, typename Function>
cudaError_t launch_elementwise_as(const Tensor& x, const Tensor& y, const Function& function, cudaStream_t stream) {
  constexpr int kElements = 16 / sizeof(T);
  const bool is_whole = is_aligned(x.data, 16) && is_aligned(y.data, 16);
  const auto kernel =
      is_whole ? &elementwise_kernel<T, kElements, Function> : &elementwise_kernel<T, 1, Function>;
  const int64_t count = stored_volume(x);
  const int64_t per_block = int64_t{kElementwiseThreads} * (is_whole ? kElements : 1);
  return launch_kernel(kernel, ceil_divide(count, per_block), kElementwiseThreads, stream,
                       static_cast<const T*>(x.data), static_cast<T*>(y.data), count, function);
}

template <typename Function>
cudaError_t launch_elementwise(const Tensor& x, const Tensor& y, const Function& function, cudaStream_t stream) {
  switch (x.dtype) {
    case DataType::kFloat32: return launch_elementwise_as<float>(x, y, function, stream);
    case DataType::kFloat16: return launch_elementwise_as<__half>(x, y, function, stream);
    default: return cudaErrorInvalidValue;
  }
}

}  // namespace trtdsl
