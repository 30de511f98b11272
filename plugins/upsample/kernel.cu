#include "upsample/plugin.h"

#include <algorithm>
#include <type_traits>

#include "common/indexing.cuh"
#include "common/launch.h"
#include "common/memory.cuh"

namespace trtdsl::upsample {

constexpr int kThreads = 128;
constexpr int kNearestRows = 2;  // that a thread makes
constexpr int kTwiceRows = 2;    // of the input

// The sizes of a launch.
struct Geometry {
  int32_t height, width;
  int32_t out_height, out_width;
  int32_t inner;  // groups of eight channels that lie side by side; 1 where channels lie apart
  float row_step, column_step;
  uint32_t threads;     // with work to do
  FastDivider columns;  // threads of a group of rows
  FastDivider groups;   // of rows in an image
  FastDivider by_inner;
};

// What a thread makes at once: kPixels columns of one channel, which begin at an aligned address.
template <typename T, int kCount>
struct Columns {
  using Element = T;  // what offsets count
  using Stored = Pack<T, kCount>;
  static constexpr int kPixels = kCount, kValues = kCount;
  // Rows that one thread interpolates, and blocks that have to fit on a multiprocessor (0: any): what is fastest.
  static constexpr int kRows = kCount == 8 ? 16 : 8, kBlocks = kCount == 8 ? 8 : 0;

  static __device__ __forceinline__ Stored read(const T* row, const int32_t (&offsets)[kPixels]) {
    Stored stored;
#pragma unroll
    for (int i = 0; i < kPixels; ++i) stored.values[i] = load<Cache::kKeep>(row + offsets[i]);
    return stored;
  }
};

// Or eight channels of one pixel.
struct Channels {
  using Element = Pack<__half, 8>;
  using Stored = Element;
  static constexpr int kPixels = 1, kValues = 8, kRows = 8, kBlocks = 0;

  static __device__ __forceinline__ Stored read(const Element* row, const int32_t (&offsets)[1]) {
    return load<Cache::kKeep>(row + offsets[0]);
  }
};

// Where a thread's work begins: `column` counts units.
struct Place {
  uint32_t plane, row, column;
};

template <int kRows>
__device__ __forceinline__ bool find_place(const Geometry& g, Place& place) {
  const uint32_t thread = blockIdx.x * kThreads + threadIdx.x;
  if (thread >= g.threads) return false;
  uint32_t rest, group;
  g.columns.divide(thread, rest, place.column);
  g.groups.divide(rest, place.plane, group);
  place.row = group * kRows;
  return true;
}

// Calls visit(i, pixel, channels) for each pixel of a unit: its column in the output, and which channels are meant.
template <typename Unit, typename Visit>
__device__ __forceinline__ void for_each_pixel(const Geometry& g, const Place& place, const Visit& visit) {
#pragma unroll
  for (int i = 0; i < Unit::kPixels; ++i) {
    uint32_t pixel, channels;
    g.by_inner.divide(place.column * Unit::kPixels + i, pixel, channels);
    visit(i, static_cast<int32_t>(pixel), static_cast<int32_t>(channels));
  }
}

template <typename Unit>
__device__ __forceinline__ typename Unit::Stored* output_of(typename Unit::Element* y, const Geometry& g,
                                                            const Place& place, uint32_t stride) {
  return reinterpret_cast<typename Unit::Stored*>(y) + (place.plane * g.out_height + place.row) * stride + place.column;
}

// Positions in the input are reckoned in fp32 as torch.nn.functional.interpolate does it on a GPU, so that those which
// rounding decides are the same.
__device__ __forceinline__ int32_t nearest_position(int32_t position, float step, int32_t size) {
  return min(static_cast<int32_t>(floorf(static_cast<float>(position) * step)), size - 1);
}

template <typename Unit>
__global__ void __launch_bounds__(kThreads)
    nearest(const typename Unit::Element* __restrict__ x, typename Unit::Element* __restrict__ y, Geometry g) {
  Place place;
  if (!find_place<kNearestRows>(g, place)) return;
  int32_t offsets[Unit::kPixels];
  for_each_pixel<Unit>(g, place, [&](int i, int32_t pixel, int32_t channels) {
    offsets[i] = nearest_position(pixel, g.column_step, g.width) * g.inner + channels;
  });
  const uint32_t stride = g.width * g.inner, out_stride = g.out_width * g.inner / Unit::kPixels;
  const auto* in = x + place.plane * (g.height * stride);
  auto* out = output_of<Unit>(y, g, place, out_stride);
  typename Unit::Stored stored;
  int32_t held = -1;
#pragma unroll
  for (int i = 0; i < kNearestRows; ++i) {
    const auto row = static_cast<int32_t>(place.row) + i;
    if (row >= g.out_height) return;
    const int32_t needed = nearest_position(row, g.row_step, g.height);
    if (needed != held) stored = Unit::read(in + needed * stride, offsets);
    held = needed;
    store<Cache::kStream>(out + i * out_stride, stored);
  }
}

// Between which two positions of the input one of the output lies, and how near it is to the second.
template <bool kAlignCorners>
struct Between {
  int32_t low, high;
  float weight;

  __device__ __forceinline__ Between(int32_t position, float step, int32_t size) {
    const auto number = static_cast<float>(position);
    const float exact = kAlignCorners ? number * step : fmaxf((number + 0.5f) * step - 0.5f, 0.0f);
    low = min(static_cast<int32_t>(exact), size - 1);
    high = min(low + 1, size - 1);
    weight = exact - static_cast<float>(low);
  }
};

__device__ __forceinline__ float mix(float low, float high, float weight) {
  return (1.0f - weight) * low + weight * high;
}

template <typename Stored, int kValues>
__device__ __forceinline__ Stored mixed(const float (&low)[kValues], const float (&high)[kValues], float weight) {
  Stored stored;
#pragma unroll
  for (int i = 0; i < kValues; ++i) {
    stored.values[i] = from_float<std::decay_t<decltype(stored.values[i])>>(mix(low[i], high[i], weight));
  }
  return stored;
}

// Goes down the rows and holds the two rows of the input, interpolated between columns, that the current one needs.
template <typename Unit, bool kAlignCorners>
__global__ void __launch_bounds__(kThreads, Unit::kBlocks)
    bilinear(const typename Unit::Element* __restrict__ x, typename Unit::Element* __restrict__ y, Geometry g) {
  Place place;
  if (!find_place<Unit::kRows>(g, place)) return;
  int32_t low[Unit::kPixels], high[Unit::kPixels];
  float weights[Unit::kPixels];
  for_each_pixel<Unit>(g, place, [&](int i, int32_t pixel, int32_t channels) {
    const Between<kAlignCorners> columns(pixel, g.column_step, g.width);
    low[i] = columns.low * g.inner + channels;
    high[i] = columns.high * g.inner + channels;
    weights[i] = columns.weight;
  });
  const uint32_t stride = g.width * g.inner, out_stride = g.out_width * g.inner / Unit::kPixels;
  const auto* in = x + place.plane * (g.height * stride);
  auto* out = output_of<Unit>(y, g, place, out_stride);
  const auto read = [&](int32_t row, float(&values)[Unit::kValues]) {
    const auto left = Unit::read(in + row * stride, low), right = Unit::read(in + row * stride, high);
#pragma unroll
    for (int i = 0; i < Unit::kValues; ++i) {
      values[i] = mix(to_float(left.values[i]), to_float(right.values[i]), weights[i * Unit::kPixels / Unit::kValues]);
    }
  };
  float upper[Unit::kValues], lower[Unit::kValues];
  int32_t held = -2;
#pragma unroll
  for (int i = 0; i < Unit::kRows; ++i) {
    const auto row = static_cast<int32_t>(place.row) + i;
    if (row >= g.out_height) return;
    const Between<kAlignCorners> rows(row, g.row_step, g.height);
    if (rows.low != held) {
      if (rows.low == held + 1) {
#pragma unroll
        for (int j = 0; j < Unit::kValues; ++j) upper[j] = lower[j];
      } else {
        read(rows.low, upper);
      }
      read(rows.high, lower);
      held = rows.low;
    }
    store<Cache::kStream>(out + i * out_stride, mixed<typename Unit::Stored>(upper, lower, rows.weight));
  }
}

// A factor of two without aligned corners, which networks have most: every output lies a quarter from one position of
// the input and three from the next, so that a strip of pixels with one neighbour to each side makes twice as many.
template <typename T, int kCount>
struct ColumnStrip {
  using Element = T;
  static constexpr int kPixels = kCount / 2, kValues = kCount;
  Pack<T, kPixels> middle;
  T left, right;

  __device__ __forceinline__ void read(const T* row, uint32_t column, const Geometry& g) {
    const auto first = static_cast<int32_t>(column) * kPixels;
    middle = load<Cache::kKeep>(reinterpret_cast<const Pack<T, kPixels>*>(row) + column);
    left = load<Cache::kKeep>(row + max(first - 1, 0));
    right = load<Cache::kKeep>(row + min(first + kPixels, g.width - 1));
  }

  __device__ __forceinline__ void spread(float (&values)[kValues]) const {
    float pixels[kPixels + 2];
    pixels[0] = to_float(left);
    pixels[kPixels + 1] = to_float(right);
#pragma unroll
    for (int i = 0; i < kPixels; ++i) pixels[i + 1] = to_float(middle.values[i]);
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
      values[2 * i] = mix(pixels[i], pixels[i + 1], 0.75f);
      values[2 * i + 1] = mix(pixels[i + 1], pixels[i + 2], 0.25f);
    }
  }

  static __device__ __forceinline__ void write(T* row, uint32_t column, const Geometry&, const float (&low)[kValues],
                                               const float (&high)[kValues], float weight) {
    using Stored = Pack<T, kCount>;
    store<Cache::kStream>(reinterpret_cast<Stored*>(row) + column, mixed<Stored>(low, high, weight));
  }
};

// One pixel of eight channels.
struct ChannelStrip {
  using Element = Pack<__half, 8>;
  static constexpr int kPixels = 1, kValues = 16;
  Element middle, left, right;

  __device__ __forceinline__ void read(const Element* row, uint32_t column, const Geometry& g) {
    uint32_t pixel, channels;
    g.by_inner.divide(column, pixel, channels);
    const auto position = static_cast<int32_t>(pixel);
    middle = load<Cache::kKeep>(row + column);
    left = load<Cache::kKeep>(row + max(position - 1, 0) * g.inner + channels);
    right = load<Cache::kKeep>(row + min(position + 1, g.width - 1) * g.inner + channels);
  }

  __device__ __forceinline__ void spread(float (&values)[kValues]) const {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float here = to_float(middle.values[i]);
      values[i] = mix(to_float(left.values[i]), here, 0.75f);
      values[i + 8] = mix(here, to_float(right.values[i]), 0.25f);
    }
  }

  static __device__ __forceinline__ void write(Element* row, uint32_t column, const Geometry& g,
                                               const float (&low)[kValues], const float (&high)[kValues],
                                               float weight) {
    uint32_t pixel, channels;
    g.by_inner.divide(column, pixel, channels);
    Element both[2];
#pragma unroll
    for (int i = 0; i < kValues; ++i) both[i / 8].values[i % 8] = from_float<__half>(mix(low[i], high[i], weight));
    Element* target = row + 2 * pixel * g.inner + channels;
    store<Cache::kStream>(target, both[0]);
    store<Cache::kStream>(target + g.inner, both[1]);
  }
};

// A thread makes two rows of a strip for each of its rows of the input, for which it reads one more on either side.
template <typename Strip>
__global__ void __launch_bounds__(kThreads)
    bilinear_twice(const typename Strip::Element* __restrict__ x, typename Strip::Element* __restrict__ y, Geometry g) {
  Place place;
  if (!find_place<kTwiceRows>(g, place)) return;
  const uint32_t stride = g.width * g.inner, out_stride = g.out_width * g.inner;
  const auto* in = x + place.plane * (g.height * stride);
  auto* out = y + place.plane * (g.out_height * out_stride);
  const auto first = static_cast<int32_t>(place.row);
  Strip strips[kTwiceRows + 2];
#pragma unroll
  for (int i = 0; i < kTwiceRows + 2; ++i) {
    strips[i].read(in + min(max(first + i - 1, 0), g.height - 1) * stride, place.column, g);
  }
  float upper[Strip::kValues], lower[Strip::kValues];
  strips[0].spread(lower);
#pragma unroll
  for (int i = 1; i < kTwiceRows + 2; ++i) {
#pragma unroll
    for (int j = 0; j < Strip::kValues; ++j) upper[j] = lower[j];
    strips[i].spread(lower);
    // Two rows of the output lie between two of the input; that above the first and that below the last are others'.
    const int32_t row = 2 * (first + i) - 3;
    if (i > 1 && row < g.out_height) Strip::write(out + row * out_stride, place.column, g, upper, lower, 0.25f);
    if (i <= kTwiceRows && row + 1 < g.out_height)
      Strip::write(out + (row + 1) * out_stride, place.column, g, upper, lower, 0.75f);
  }
}

bool is_same_size(const Tensor& x, const Tensor& y) { return x.dims[2] == y.dims[2] && x.dims[3] == y.dims[3]; }

// The distance in the input between neighbours of the output.
float step(const Params& params, const Tensor& x, const Tensor& y, int axis) {
  const int64_t size = x.dims[axis], out_size = y.dims[axis];
  if (is_same_size(x, y) || (params.mode == kModeNearest && size == out_size)) return 1.0f;
  if (params.mode == kModeNearest || !params.alignCorners) return static_cast<float>(1.0 / params.scaleFactor);
  return out_size > 1 ? static_cast<float>(size - 1) / static_cast<float>(out_size - 1) : 0.0f;
}

// `rows` and `columns` are how many pieces of work an image, or each eight channels of one, has.
template <typename E>
cudaError_t launch_kernels(void (*kernel)(const E*, E*, Geometry), const Params& params, const Tensor& x,
                           const Tensor& y, int64_t rows, int64_t columns, cudaStream_t stream) {
  const bool is_hwc = x.layout == Layout::kHWC8;
  const int64_t inner = is_hwc ? ceil_divide<int64_t>(x.dims[1], 8) : 1;
  const int64_t planes = is_hwc ? x.dims[0] : x.dims[0] * x.dims[1];
  const int64_t plane = x.dims[2] * x.dims[3] * inner, out_plane = y.dims[2] * y.dims[3] * inner;
  columns *= inner;
  return for_each_slice(planes, std::max({plane, out_plane, rows * columns}), 1, [&](int64_t first, int64_t count) {
    const Geometry geometry{static_cast<int32_t>(x.dims[2]),
                            static_cast<int32_t>(x.dims[3]),
                            static_cast<int32_t>(y.dims[2]),
                            static_cast<int32_t>(y.dims[3]),
                            static_cast<int32_t>(inner),
                            step(params, x, y, 2),
                            step(params, x, y, 3),
                            static_cast<uint32_t>(count * rows * columns),
                            FastDivider(static_cast<uint32_t>(columns)),
                            FastDivider(static_cast<uint32_t>(rows)),
                            FastDivider(static_cast<uint32_t>(inner))};
    return launch_kernel(kernel, ceil_divide<int64_t>(geometry.threads, kThreads), kThreads, stream,
                         static_cast<const E*>(x.data) + first * plane, static_cast<E*>(y.data) + first * out_plane,
                         geometry);
  });
}

template <typename Unit>
cudaError_t launch_unit(const Params& params, const Tensor& x, const Tensor& y, cudaStream_t stream) {
  const int64_t columns = y.dims[3] / Unit::kPixels;
  if (params.mode == kModeNearest || is_same_size(x, y))
    return launch_kernels(&nearest<Unit>, params, x, y, ceil_divide<int64_t>(y.dims[2], kNearestRows), columns, stream);
  const auto kernel = params.alignCorners ? &bilinear<Unit, true> : &bilinear<Unit, false>;
  return launch_kernels(kernel, params, x, y, ceil_divide<int64_t>(y.dims[2], Unit::kRows), columns, stream);
}

template <typename Strip>
cudaError_t launch_twice(const Params& params, const Tensor& x, const Tensor& y, cudaStream_t stream) {
  const int64_t rows = ceil_divide<int64_t>(x.dims[2], kTwiceRows), columns = x.dims[3] / Strip::kPixels;
  return launch_kernels(&bilinear_twice<Strip>, params, x, y, rows, columns, stream);
}

bool is_twice(const Params& params) {
  return params.mode == kModeBilinear && !params.alignCorners && params.scaleFactor == 2.0f;
}

// In packs as wide as rows of the output, and those of the input that a strip is made of, allow.
template <typename T, int kCount>
cudaError_t launch_columns(const Params& params, const Tensor& x, const Tensor& y, cudaStream_t stream) {
  constexpr int64_t kBytes = kCount * sizeof(T);
  if constexpr (kCount > 1) {
    if (y.dims[3] % kCount != 0 || !is_aligned(y.data, kBytes) || !is_aligned(x.data, kBytes / 2))
      return launch_columns<T, kCount / 2>(params, x, y, stream);
    if (is_twice(params)) return launch_twice<ColumnStrip<T, kCount>>(params, x, y, stream);
  }
  return launch_unit<Columns<T, kCount>>(params, x, y, stream);
}

size_t workspace_size(const Params&, const Tensor*, const Tensor*) { return 0; }

cudaError_t launch(const Params& params, const Tensor* inputs, const Tensor* outputs, void*, cudaStream_t stream) {
  const Tensor &x = inputs[0], &y = outputs[0];
  if (x.layout == Layout::kHWC8) {
    if (is_twice(params)) return launch_twice<ChannelStrip>(params, x, y, stream);
    return launch_unit<Channels>(params, x, y, stream);
  }
  if (x.dtype == DataType::kFloat32) return launch_columns<float, 4>(params, x, y, stream);
  return launch_columns<__half, 8>(params, x, y, stream);
}

}  // namespace trtdsl::upsample
