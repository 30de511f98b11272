#include "reflect_pad/plugin.h"

#include <algorithm>

#include "common/frame.cuh"
#include "common/indexing.cuh"
#include "common/launch.h"
#include "common/memory.cuh"

namespace trtdsl::reflect_pad {

constexpr int kThreads = 128;
using Words = Pack<uint32_t, 4>;

// The sizes of a launch.
struct Geometry {
  int32_t height, width;
  int32_t out_height, out_width;
  int32_t left, top;
  int32_t inner;        // groups of eight channels that lie side by side; 1 where channels lie apart
  uint32_t threads;     // with work to do
  uint32_t packs;       // of 16 bytes in the input, none if they are not aligned
  FastDivider per_row;  // threads of a row
  FastDivider rows;     // of an image
  FastDivider by_inner;
  PadMode mode;
};

// 16 bytes out of 32 that begin with the element `skipped`.
template <typename T>
__device__ __forceinline__ Words shifted(const Words& low, const Words& high, uint32_t skipped) {
  constexpr uint32_t kPerWord = sizeof(uint32_t) / sizeof(T);
  uint32_t words[8];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    words[i] = low.values[i];
    words[i + 4] = high.values[i];
  }
  const uint32_t whole = skipped / kPerWord;
#pragma unroll
  for (int i = 0; i < 6; ++i) words[i] = whole & 2 ? words[i + 2] : words[i];
#pragma unroll
  for (int i = 0; i < 5; ++i) words[i] = whole & 1 ? words[i + 1] : words[i];
  Words result;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    result.values[i] = kPerWord == 1 ? words[i] : __funnelshift_r(words[i], words[i + 1], skipped % kPerWord * 16);
  }
  return result;
}

// Rows of elements. What lies inside of a row is moved in packs that are aligned in the output and shifted as the input
// needs it, one by each of `lanes` threads; these then make the rest, which is the border and what is no whole pack.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    pad_rows(const T* __restrict__ x, T* __restrict__ y, Geometry g, uint32_t lanes) {
  constexpr int32_t kPack = sizeof(Words) / sizeof(T);
  const uint32_t thread = blockIdx.x * kThreads + threadIdx.x;
  if (thread >= g.threads) return;
  uint32_t row, lane, plane, out_row;
  g.per_row.divide(thread, row, lane);
  g.rows.divide(row, plane, out_row);
  const int32_t in_row = shown_index(static_cast<int32_t>(out_row), g.height, g.top, g.mode);
  const uint32_t begin = row * g.out_width, in_begin = (plane * g.height + in_row) * g.width;

  const uint32_t inside = begin + g.left;
  const uint32_t first = (inside + kPack - 1) / kPack;
  const uint32_t in_first = in_begin + (first * kPack - inside);
  const uint32_t skipped = in_first % kPack;
  // A pack that is put together needs the next one too, which may not be there at the very end.
  const int32_t readable = static_cast<int32_t>(g.packs - in_first / kPack) - (skipped > 0 ? 1 : 0);
  const uint32_t last = min((inside + g.width) / kPack, first + max(readable, 0));
  const auto* in = reinterpret_cast<const Words*>(x) + in_first / kPack;
  auto* out = reinterpret_cast<Words*>(y) + first;
  for (uint32_t i = lane; first + i < last; i += lanes) {
    const Words low = load<Cache::kKeep>(in + i);
    store<Cache::kKeep>(out + i, skipped > 0 ? shifted<T>(low, load<Cache::kKeep>(in + i + 1), skipped) : low);
  }

  const bool has_packs = first < last;
  const uint32_t head = has_packs ? first * kPack - begin : g.out_width, gap = has_packs ? (last - first) * kPack : 0;
  for (uint32_t i = lane; i < g.out_width - gap; i += lanes) {
    const uint32_t column = i < head ? i : i + gap;
    y[begin + column] = x[in_begin + shown_index(static_cast<int32_t>(column), g.width, g.left, g.mode)];
  }
}

// Pixels of eight channels each, which are aligned everywhere.
__global__ void __launch_bounds__(kThreads) pad_pixels(const Words* __restrict__ x, Words* __restrict__ y, Geometry g) {
  const uint32_t thread = blockIdx.x * kThreads + threadIdx.x;
  if (thread >= g.threads) return;
  uint32_t row, column, plane, out_row, pixel, channels;
  g.per_row.divide(thread, row, column);
  g.rows.divide(row, plane, out_row);
  g.by_inner.divide(column, pixel, channels);
  const int32_t in_row = shown_index(static_cast<int32_t>(out_row), g.height, g.top, g.mode);
  const int32_t in_column = shown_index(static_cast<int32_t>(pixel), g.width, g.left, g.mode);
  const uint32_t position = (plane * g.height + in_row) * g.width + in_column;
  store<Cache::kKeep>(y + thread, load<Cache::kKeep>(x + position * g.inner + channels));
}

// `per_row` threads make a row of the output.
Geometry geometry_of(const Params& params, const Tensor& x, const Tensor& y, int64_t inner, int64_t planes,
                     int64_t per_row, int64_t packs) {
  return {static_cast<int32_t>(x.dims[2]),
          static_cast<int32_t>(x.dims[3]),
          static_cast<int32_t>(y.dims[2]),
          static_cast<int32_t>(y.dims[3]),
          params.paddings[0],
          params.paddings[2],
          static_cast<int32_t>(inner),
          static_cast<uint32_t>(planes * y.dims[2] * per_row),
          static_cast<uint32_t>(packs),
          FastDivider(static_cast<uint32_t>(per_row)),
          FastDivider(static_cast<uint32_t>(y.dims[2])),
          FastDivider(static_cast<uint32_t>(inner)),
          params.mode == kModeEdge ? PadMode::kEdge : PadMode::kReflect};
}

template <typename T>
cudaError_t launch_rows(const Params& params, const Tensor& x, const Tensor& y, cudaStream_t stream) {
  constexpr int64_t kPack = sizeof(Words) / sizeof(T);
  // Of narrow rows the rest is most: more threads share it.
  constexpr int64_t kLeastLanes = sizeof(T) == 4 ? 12 : 8;
  const int64_t plane = x.dims[2] * x.dims[3], out_plane = y.dims[2] * y.dims[3];
  const int64_t lanes = std::max(ceil_divide(x.dims[3], kPack), kLeastLanes);
  const int64_t largest = std::max({plane, out_plane, lanes * y.dims[2]});
  // Slices of kPack planes begin with an aligned element.
  return for_each_slice(x.dims[0] * x.dims[1], largest, kPack, [&](int64_t first, int64_t planes) {
    const T* in = static_cast<const T*>(x.data) + first * plane;
    T* out = static_cast<T*>(y.data) + first * out_plane;
    const bool is_whole = is_aligned(in, sizeof(Words)) && is_aligned(out, sizeof(Words));
    const Geometry g = geometry_of(params, x, y, 1, planes, lanes, is_whole ? planes * plane / kPack : 0);
    return launch_kernel(&pad_rows<T>, ceil_divide<int64_t>(g.threads, kThreads), kThreads, stream, in, out, g,
                         static_cast<uint32_t>(lanes));
  });
}

cudaError_t launch_pixels(const Params& params, const Tensor& x, const Tensor& y, cudaStream_t stream) {
  const int64_t inner = ceil_divide<int64_t>(x.dims[1], 8), columns = y.dims[3] * inner;
  const int64_t plane = x.dims[2] * x.dims[3] * inner, out_plane = y.dims[2] * columns;
  return for_each_slice(x.dims[0], std::max(plane, out_plane), 1, [&](int64_t first, int64_t planes) {
    const Geometry g = geometry_of(params, x, y, inner, planes, columns, planes * plane);
    return launch_kernel(&pad_pixels, ceil_divide<int64_t>(g.threads, kThreads), kThreads, stream,
                         static_cast<const Words*>(x.data) + first * plane,
                         static_cast<Words*>(y.data) + first * out_plane, g);
  });
}

size_t workspace_size(const Params&, const Tensor*, const Tensor*) { return 0; }

cudaError_t launch(const Params& params, const Tensor* inputs, const Tensor* outputs, void*, cudaStream_t stream) {
  const Tensor &x = inputs[0], &y = outputs[0];
  if (x.layout == Layout::kHWC8) return launch_pixels(params, x, y, stream);
  if (x.dtype == DataType::kFloat32) return launch_rows<float>(params, x, y, stream);
  return launch_rows<__half>(params, x, y, stream);
}

}  // namespace trtdsl::reflect_pad
