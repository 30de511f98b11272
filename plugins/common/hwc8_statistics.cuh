// Mean and deviation of each channel of channels-last fp16: of a thread's pixels, of a block's, of a team's.
#pragma once

#include "common/normalization.cuh"

namespace trtdsl {

template <int kThreads, int kVectors>
struct Hwc8Shared {
  static constexpr int kChannels = 8 * kVectors;
  static constexpr int kWarps = kThreads / 32;
  static constexpr int kLanes = kThreads / kChannels < kWarps ? kThreads / kChannels : kWarps;  // that merge a channel
  float first[kChannels];  // the stripe's first pixel
  alignas(16) float shift[kChannels];
  alignas(16) float factor[kChannels];
  alignas(16) float bias[kChannels];
  float2 sums[kWarps][kChannels];  // of differences, and of their squares
};

// Adds up over the pixels of a warp. At each step the neighbour takes half of the channels, until each lane has one
// (or, where lanes are fewer than channels, some). Lanes that differ in bits from kVectors on see different pixels.
template <int kVectors, int kMask, int kChannels>
__device__ __forceinline__ void add_pixels(const float (&sums)[kChannels], const float (&squares)[kChannels],
                                           float2* of_warp, int channel) {
  if constexpr (kMask < kVectors) {
#pragma unroll
    for (int j = 0; j < kChannels; ++j) of_warp[channel + j] = {sums[j], squares[j]};
  } else if constexpr (kChannels == 1) {
    const float sum[1] = {sums[0] + __shfl_xor_sync(~0u, sums[0], kMask)};
    const float square[1] = {squares[0] + __shfl_xor_sync(~0u, squares[0], kMask)};
    add_pixels<kVectors, kMask / 2>(sum, square, of_warp, channel);
  } else {
    constexpr int kHalf = kChannels / 2;
    const bool upper = (threadIdx.x & kMask) != 0;
    float half_sums[kHalf], half_squares[kHalf];
#pragma unroll
    for (int j = 0; j < kHalf; ++j) {
      const float sum = upper ? sums[j] : sums[j + kHalf];
      const float square = upper ? squares[j] : squares[j + kHalf];
      half_sums[j] = (upper ? sums[j + kHalf] : sums[j]) + __shfl_xor_sync(~0u, sum, kMask);
      half_squares[j] = (upper ? squares[j + kHalf] : squares[j]) + __shfl_xor_sync(~0u, square, kMask);
    }
    add_pixels<kVectors, kMask / 2>(half_sums, half_squares, of_warp, channel + (upper ? kHalf : 0));
  }
}

// Adds up over the block the threads' sums of differences from shared.first, and tells the team. `pixels` is how many
// the block has, none maybe.
template <int kThreads, int kVectors, typename Team>
__device__ __forceinline__ void publish_stripe(Hwc8Shared<kThreads, kVectors>& shared, const ShiftedSums<8>& sums,
                                               int pixels, Team& team) {
  const int thread = static_cast<int>(threadIdx.x);
  add_pixels<kVectors, 16>(sums.sums, sums.squares, shared.sums[thread / 32], thread % kVectors * 8);
  team.prepare();
  __syncthreads();
  if (thread < 8 * kVectors) {
    float sum = 0.0f, squares = 0.0f;
#pragma unroll
    for (int warp = 0; warp < kThreads / 32; ++warp) {
      sum += shared.sums[warp][thread].x;
      squares += shared.sums[warp][thread].y;
    }
    const float mean = pixels > 0 ? __fdividef(sum, static_cast<float>(pixels)) : 0.0f;
    team.publish(thread, float2{pixels > 0 ? shared.first[thread] + mean : 0.0f,
                                fmaxf(fmaf(-sum, mean, squares), 0.0f)});
  }
  team.arrive();
}

// Merges what all blocks of a team have published into shift, factor and bias of each channel.
template <int kThreads, int kVectors, typename Team>
__device__ __forceinline__ void merge_team(Hwc8Shared<kThreads, kVectors>& shared, const NormArguments& norm,
                                           int first_channel, int share, const Team& team) {
  constexpr int kChannels = 8 * kVectors;
  constexpr int kLanes = Hwc8Shared<kThreads, kVectors>::kLanes;
  constexpr int kBatch = 9;
  const int channel = static_cast<int>(threadIdx.x) % kChannels;
  const int lane = static_cast<int>(threadIdx.x) / kChannels;
  const float shift = team.published(0, channel).x;
  if (lane < kLanes) {
    float sum = 0.0f, squares = 0.0f;
#pragma unroll 1
    for (int first = lane; first < team.blocks(); first += kBatch * kLanes) {
      float2 moments[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int block = first + i * kLanes;
        if (block < team.blocks()) moments[i] = team.published(block, channel);
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        if (first + i * kLanes >= team.blocks()) break;
        const float count = static_cast<float>(max(0, min(share, norm.size - (first + i * kLanes) * share)));
        const float difference = moments[i].x - shift;
        sum = fmaf(count, difference, sum);
        squares += fmaf(count * difference, difference, moments[i].y);
      }
    }
    shared.sums[lane][channel] = {sum, squares};
  }
  __syncthreads();
  if (lane == 0) {
    float sum = 0.0f, squares = 0.0f;
#pragma unroll
    for (int i = 0; i < kLanes; ++i) {
      sum += shared.sums[i][channel].x;
      squares += shared.sums[i][channel].y;
    }
    const float mean = sum * norm.inverse_size;
    // Channels that only fill up become zeros, as those who multiply them by weights of zero expect.
    Affine affine{0.0f, 0.0f, 0.0f};
    if (first_channel + channel < norm.channels)
      affine = make_affine(norm, {0.0f, 0.0f, fmaxf(fmaf(-sum, mean, squares), 0.0f)}, shift + mean,
                           first_channel + channel);
    shared.shift[channel] = affine.shift;
    shared.factor[channel] = affine.factor;
    shared.bias[channel] = affine.bias;
  }
  __syncthreads();
}

}  // namespace trtdsl
