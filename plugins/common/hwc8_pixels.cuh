// Pixels of channels-last fp16 in memory, and what becomes of one.
#pragma once

#include "common/frame.cuh"
#include "common/normalization.cuh"

namespace trtdsl {

using Half8 = Pack<__half, 8>;

struct Hwc8Arguments {
  const Half8* x;
  Half8* y;
  const Half8* residual;  // null: none
  int vectors;            // of a pixel
  int groups;             // of kVectors vectors
  int units;              // samples * groups
  int turns;              // of a team
  FastDivider by_groups{1};
  int share;              // pixels of a block
  int kept;               // packs of a thread that stay in shared memory
  int residual_kept;      // the residual's, there too
};

struct Affine8 {
  float shift[8], factor[8], bias[8];

  template <typename Shared>
  __device__ __forceinline__ Affine8(const Shared& shared, int channel) {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      shift[j] = shared.shift[channel + j];
      factor[j] = shared.factor[channel + j];
      bias[j] = shared.bias[channel + j];
    }
  }

  __device__ __forceinline__ void operator()(const Half8& pack, const NormArguments& norm, float (&values)[8]) const {
    unpack(pack, values);
#pragma unroll
    for (int j = 0; j < 8; ++j) values[j] = fmaf(values[j] - shift[j], factor[j], bias[j]);
    activate(norm, values);
  }
};

__device__ __forceinline__ void add(const Half8& pack, float (&values)[8]) {
  float more[8];
  unpack(pack, more);
#pragma unroll
  for (int j = 0; j < 8; ++j) values[j] += more[j];
}

// What a thread sees of a sample: one vector of each pixel.
struct Hwc8Sample {
  const Half8* x;
  Half8* y;
  const Half8* residual;  // null: none
  int stride;             // from one pixel to the next

  template <bool kFramed>
  static __device__ __forceinline__ Hwc8Sample of(const Hwc8Arguments& tensors, const NormArguments& norm,
                                                  const Frame& frame, int64_t number, int vector) {
    const int out_size = kFramed ? frame.out_height() * frame.out_width() : norm.size;
    Hwc8Sample sample{tensors.x + number * norm.size * tensors.vectors + vector,
                      tensors.y + number * out_size * tensors.vectors + vector, tensors.residual, tensors.vectors};
    if (kFramed && sample.residual)
      sample.residual += (number * frame.residual_height * frame.residual_width +
                          frame.residual_top * frame.residual_width + frame.residual_left) * tensors.vectors + vector;
    return sample;
  }

  // Rows are longer in the residual.
  __device__ __forceinline__ const Half8* residual_of(const Frame& frame, int pixel, int row) const {
    return residual + (pixel + row * (frame.residual_width - frame.width)) * stride;
  }
};

// The padding's pixels that a thread makes. They are shared out evenly among all blocks, since they show pixels of few.
struct Hwc8Border {
  int number;  // among the padding's pixels
  int step;    // to the thread's next
  int size;    // of the padding
  Pixel place{};
  Half8 pack{};
  Half8 residual{};

  __device__ __forceinline__ void fetch(const Hwc8Sample& sample, const Frame& frame) {
    if (number >= size) return;
    place = border_pixel(frame, number);
    const int row = shown_index(place.row, frame.height, frame.top, frame.mode);
    const int column = shown_index(place.column, frame.width, frame.left, frame.mode);
    const int pixel = row * frame.width + column;
    pack = load<Cache::kKeep>(sample.x + pixel * sample.stride);
    if (sample.residual) residual = load<Cache::kKeep>(sample.residual_of(frame, pixel, row));
  }

  // Writes all, of which the first is fetched.
  __device__ __forceinline__ void write(const Hwc8Sample& sample, const Frame& frame, const Affine8& affine,
                                        const NormArguments& norm) {
    while (number < size) {
      float values[8];
      affine(pack, norm, values);
      if (sample.residual) add(residual, values);
      store<Cache::kKeep>(sample.y + (place.row * frame.out_width() + place.column) * sample.stride,
                          pack_of<__half>(values));
      number += step;
      fetch(sample, frame);
    }
  }
};

}  // namespace trtdsl
