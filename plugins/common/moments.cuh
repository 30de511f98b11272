// Mean and squared deviations of parts of a whole, and how parts become one.
//
// Sums are always of differences from one of the numbers themselves, so a mean that is large against the deviation
// costs no digits, and equal numbers have exactly themselves as their mean, and no deviation.
#pragma once

#include "common/memory.cuh"

namespace trtdsl {

template <int kElements>
__device__ __forceinline__ void unpack(const Pack<float, kElements>& pack, float (&values)[kElements]) {
#pragma unroll
  for (int j = 0; j < kElements; ++j) values[j] = pack.values[j];
}

template <int kElements>
__device__ __forceinline__ void unpack(const Pack<__half, kElements>& pack, float (&values)[kElements]) {
  __half2 pairs[kElements / 2];
  __builtin_memcpy(pairs, &pack, sizeof(pack));
#pragma unroll
  for (int j = 0; j < kElements / 2; ++j) {
    const float2 pair = __half22float2(pairs[j]);
    values[2 * j] = pair.x;
    values[2 * j + 1] = pair.y;
  }
}

template <typename T, int kElements>
__device__ __forceinline__ Pack<T, kElements> pack_of(const float (&values)[kElements]) {
  Pack<T, kElements> pack;
  if constexpr (sizeof(T) == 4) {
#pragma unroll
    for (int j = 0; j < kElements; ++j) pack.values[j] = values[j];
  } else {
    __half2 pairs[kElements / 2];
#pragma unroll
    for (int j = 0; j < kElements / 2; ++j) pairs[j] = __floats2half2_rn(values[2 * j], values[2 * j + 1]);
    __builtin_memcpy(&pack, pairs, sizeof(pack));
  }
  return pack;
}

struct Moments {
  float count;
  float mean;
  float squares;  // sum of squared deviations from the mean
};

// Sums of differences from `shift`, which had better be one of the numbers: then they lose at most as many bits as
// their count has, and that only if it is the one that lies apart.
template <int kElements>
struct ShiftedSums {
  float sums[kElements]{};
  float squares[kElements]{};

  __device__ __forceinline__ void add(int j, float value, float shift) {
    const float difference = value - shift;
    sums[j] += difference;
    squares[j] = fmaf(difference, difference, squares[j]);
  }

  __device__ __forceinline__ void add(const float (&values)[kElements], float shift) {
#pragma unroll
    for (int j = 0; j < kElements; ++j) add(j, values[j], shift);
  }

  __device__ __forceinline__ void add(const float (&values)[kElements], const float (&shift)[kElements]) {
#pragma unroll
    for (int j = 0; j < kElements; ++j) add(j, values[j], shift[j]);
  }

  __device__ __forceinline__ Moments moments(float count) {
    if (count == 0.0f) return {0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int width = kElements / 2; width > 0; width /= 2) {
#pragma unroll
      for (int j = 0; j < width; ++j) {
        sums[j] += sums[j + width];
        squares[j] += squares[j + width];
      }
    }
    const float mean = __fdividef(sums[0], count);
    return {count, mean, fmaxf(fmaf(-sums[0], mean, squares[0]), 0.0f)};
  }
};

// Chan, Golub and LeVeque, 1983.
__device__ __forceinline__ Moments merge(const Moments& a, const Moments& b) {
  const float weight = b.count == 0.0f ? 0.0f : __fdividef(b.count, a.count + b.count);
  const float delta = b.mean - a.mean;
  return {a.count + b.count, fmaf(delta, weight, a.mean), a.squares + fmaf(delta * delta, a.count * weight, b.squares)};
}

// All kLanes neighbouring lanes get the moments of all of them, to the last bit alike.
template <int kLanes>
__device__ __forceinline__ Moments merge_lanes(const Moments& mine) {
  if (kLanes == 1) return mine;
  const float shift = __shfl_sync(~0u, mine.mean, 0, kLanes);
  const float difference = mine.mean - shift;
  float count = mine.count;
  float sum = count * difference;
  float squares = fmaf(sum, difference, mine.squares);
#pragma unroll
  for (int mask = 1; mask < kLanes; mask *= 2) {
    count += __shfl_xor_sync(~0u, count, mask);
    sum += __shfl_xor_sync(~0u, sum, mask);
    squares += __shfl_xor_sync(~0u, squares, mask);
  }
  const float mean = count == 0.0f ? 0.0f : __fdividef(sum, count);
  return {count, shift + mean, fmaxf(fmaf(-sum, mean, squares), 0.0f)};
}

}  // namespace trtdsl
