// Normalises channels-last fp16: a team of blocks takes up to 8 * kVectors channels of a sample, keeps on chip what
// fits there, and reads that once. Each block takes a stripe of the pixels.
#pragma once

#include "common/async_copy.cuh"
#include "common/dependency.cuh"
#include "common/frame.cuh"
#include "common/normalization.cuh"
#include "common/team.cuh"

#ifndef NORM_MARK
#define NORM_MARK(i)
#endif

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

// A thread's packs of a unit: the first kPacks are kept in registers, the next `in_shared` in shared memory, the others
// are read again.
template <int kThreads, int kPacks>
struct Hwc8Packs {
  const Half8* global;  // the first
  Half8* shared;
  int64_t stride;  // from one to the next, in global memory
  int count;
  int in_shared;
  Half8 registers[kPacks > 0 ? kPacks : 1];

  __device__ __forceinline__ void fetch() {
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      if (i < count) registers[i] = load<Cache::kStream>(global + i * stride);
    }
    const int half = in_shared / 2;
#pragma unroll 4
    for (int i = 0; i < half; ++i) copy_ahead(shared + i * kThreads, global + (kPacks + i) * stride);
    end_copies();
#pragma unroll 4
    for (int i = half; i < in_shared; ++i) copy_ahead(shared + i * kThreads, global + (kPacks + i) * stride);
    end_copies();
  }

  // Less `shift`.
  __device__ __forceinline__ void sum_up(ShiftedSums<8>& sums, const float (&shift)[8]) const {
    const auto add = [&](const Half8& pack) {
      float values[8];
      unpack(pack, values);
      sums.add(values, shift);
    };
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      if (i < count) add(registers[i]);
    }
    constexpr int kBatch = 4;
    for (int i = kPacks + in_shared; i < count; i += kBatch) {
      Half8 batch[kBatch];
#pragma unroll
      for (int j = 0; j < kBatch; ++j) {
        if (i + j < count) batch[j] = load<Cache::kKeep>(global + (i + j) * stride);
      }
#pragma unroll
      for (int j = 0; j < kBatch; ++j) {
        if (i + j < count) add(batch[j]);
      }
    }
    const int half = in_shared / 2;
    wait_for_copies<1>();
#pragma unroll 2
    for (int i = 0; i < half; ++i) add(shared[i * kThreads]);
    wait_for_copies<0>();
#pragma unroll 2
    for (int i = half; i < in_shared; ++i) add(shared[i * kThreads]);
  }

  // Calls use(pack, number) for each, from the end on: what was not kept on chip is still in the cache.
  template <typename Use>
  __device__ __forceinline__ void for_each(const Use& use) const {
#pragma unroll 2
    for (int i = count - 1; i >= kPacks + in_shared; --i) use(load<Cache::kKeep>(global + i * stride), i);
#pragma unroll 2
    for (int i = 0; i < in_shared; ++i) use(shared[i * kThreads], kPacks + i);
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      if (i < count) use(registers[i], i);
    }
  }
};

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
    if (first_channel + channel < norm.channels) {
      const Affine affine = make_affine(norm, {0.0f, 0.0f, fmaxf(fmaf(-sum, mean, squares), 0.0f)}, shift + mean,
                                        first_channel + channel);
      shared.shift[channel] = affine.shift;
      shared.factor[channel] = affine.factor;
      shared.bias[channel] = affine.bias;
    }
  }
  __syncthreads();
}

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

template <typename Team, int kPacks, int kThreads, int kVectors, int kMinBlocks, bool kFramed>
__global__ void __launch_bounds__(kThreads, resident_blocks(kThreads, kMinBlocks))
    norm_hwc8_kernel(Hwc8Arguments tensors, NormArguments norm, Frame frame, typename Team::Memory memory) {
  if constexpr (Team::kRuns) {
    constexpr int kPixels = kThreads / kVectors;  // that the block takes at once
    constexpr int kChannels = 8 * kVectors;
    extern __shared__ uint4 dynamic[];
    __shared__ Hwc8Shared<kThreads, kVectors> shared;
    NORM_MARK(0);
    Team team(memory);
    wait_for_previous();
    const int lane = static_cast<int>(threadIdx.x) / kVectors;
    const int begin = min(norm.size, team.rank() * tensors.share);
    const int end = min(norm.size, begin + tensors.share);
    const int first = begin + lane;

    const int turns = Team::kTakesTurns ? tensors.turns : 1;
    for (int turn = 0; turn < turns; ++turn) {
      const int unit = turn * team.count() + team.index();
      const bool is_idle = unit >= tensors.units;
      unsigned sample_number, group_number;
      tensors.by_groups.divide(static_cast<unsigned>(unit), sample_number, group_number);
      const int group = static_cast<int>(group_number);
      const int64_t sample = sample_number;
      const int thread_vector = static_cast<int>(threadIdx.x) % kVectors;
      const int vector = group * kVectors + thread_vector;
      const bool has_channels = !is_idle && vector < tensors.vectors;
      const Half8* x = tensors.x + sample * norm.size * tensors.vectors + vector;
      const Half8* residual = tensors.residual;
      if (kFramed && residual)
        residual += (sample * frame.residual_height * frame.residual_width +
                     frame.residual_top * frame.residual_width + frame.residual_left) * tensors.vectors + vector;
      const int out_size = kFramed ? frame.out_height() * frame.out_width() : norm.size;
      Half8* y = tensors.y + sample * out_size * tensors.vectors + vector;
      // Where a pixel's residual lies: rows are longer there.
      const auto residual_of = [&](int pixel, int row) {
        return residual + (pixel + row * (frame.residual_width - frame.width)) * tensors.vectors;
      };

      Hwc8Packs<kThreads, kPacks> packs;
      packs.global = x + first * tensors.vectors;
      packs.shared = reinterpret_cast<Half8*>(dynamic) + threadIdx.x;
      packs.stride = kPixels * tensors.vectors;
      packs.count = has_channels ? max(0, end - first + kPixels - 1) / kPixels : 0;
      packs.in_shared = max(0, min(packs.count - kPacks, tensors.kept));
      Half8* residual_packs = packs.shared + tensors.kept * kThreads;
      const int residual_kept = kFramed ? min(packs.count, tensors.residual_kept) : 0;
      Half8 stripe_first{};
      if (begin < end && has_channels) stripe_first = load<Cache::kKeep>(x + begin * tensors.vectors);
      packs.fetch();
      ShiftedSums<8> sums;
      if (begin < end && has_channels) {
        float shift[8];
        unpack(stripe_first, shift);
        if (lane == 0) {
#pragma unroll
          for (int j = 0; j < 8; ++j) shared.first[thread_vector * 8 + j] = shift[j];
        }
        packs.sum_up(sums, shift);
      }
      NORM_MARK(1);
      add_pixels<kVectors, 16>(sums.sums, sums.squares, shared.sums[threadIdx.x / 32], thread_vector * 8);
      team.prepare();
      __syncthreads();
      if (threadIdx.x < kChannels) {
        const int channel = static_cast<int>(threadIdx.x);
        float sum = 0.0f, squares = 0.0f;
#pragma unroll
        for (int warp = 0; warp < kThreads / 32; ++warp) {
          sum += shared.sums[warp][channel].x;
          squares += shared.sums[warp][channel].y;
        }
        const float mean = begin < end ? __fdividef(sum, static_cast<float>(end - begin)) : 0.0f;
        team.publish(channel, float2{begin < end ? shared.first[channel] + mean : 0.0f,
                                     fmaxf(fmaf(-sum, mean, squares), 0.0f)});
      }
      team.arrive();
      NORM_MARK(2);
      // While the others arrive: what is added, and the first pixel of the padding, which is shared out evenly among all
      // blocks, since its pixels come from few.
      if constexpr (kFramed) {
#pragma unroll 2
        for (int i = 0; i < residual_kept; ++i) {
          const int pixel = first + i * kPixels;
          const int row = static_cast<int>(frame.by_width.divide(static_cast<unsigned>(pixel)));
          copy_ahead(residual_packs + i * kThreads, residual_of(pixel, row));
        }
        end_copies();
      }
      const int border_size = kFramed && has_channels ? frame.border_size() : 0;
      int border = team.rank() * kPixels + lane;
      Half8 border_pack{}, border_residual{};
      Pixel place{};
      const auto fetch_border = [&] {
        place = border_pixel(frame, border);
        const int row = shown_index(place.row, frame.height, frame.top, frame.mode);
        const int column = shown_index(place.column, frame.width, frame.left, frame.mode);
        const int pixel = row * frame.width + column;
        border_pack = load<Cache::kKeep>(x + pixel * tensors.vectors);
        if (residual) border_residual = load<Cache::kKeep>(residual_of(pixel, row));
      };
      if (kFramed && border < border_size) fetch_border();
      team.wait();
      NORM_MARK(3);
      if (is_idle) continue;
      merge_team(shared, norm, group * kChannels, tensors.share, team);
      NORM_MARK(4);
      const Affine8 affine(shared, thread_vector * 8);
      if constexpr (kFramed) {
        wait_for_copies<0>();
        while (border < border_size) {
          float values[8];
          affine(border_pack, norm, values);
          if (residual) add(border_residual, values);
          store<Cache::kKeep>(y + (place.row * frame.out_width() + place.column) * tensors.vectors,
                              pack_of<__half>(values));
          border += team.blocks() * kPixels;
          if (border < border_size) fetch_border();
        }
        y += (frame.top * frame.out_width() + frame.left) * tensors.vectors;
      }
      const auto finish = [&](const Half8& pack, int i) {
        const int pixel = first + i * kPixels;
        float values[8];
        affine(pack, norm, values);
        int at = pixel;
        if constexpr (kFramed) {
          const int row = static_cast<int>(frame.by_width.divide(static_cast<unsigned>(pixel)));
          if (residual)
            add(i < residual_kept ? residual_packs[i * kThreads] : load<Cache::kKeep>(residual_of(pixel, row)), values);
          at += row * (frame.left + frame.right);
        }
        store<Cache::kKeep>(y + at * tensors.vectors, pack_of<__half>(values));
      };
      packs.for_each(finish);
      NORM_MARK(5);
    }
  }
}

}  // namespace trtdsl
