// Normalises channels-last fp16: a team of blocks takes up to 8 * kVectors channels of a sample, keeps on chip what
// fits there, and reads that once. Each block takes a stripe of the pixels.
#pragma once

#include "common/async_copy.cuh"
#include "common/hwc8_pixels.cuh"
#include "common/hwc8_statistics.cuh"
#include "common/team.cuh"

namespace trtdsl {

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

template <typename Team, int kPacks, int kThreads, int kVectors, int kMinBlocks, bool kFramed>
__global__ void __launch_bounds__(kThreads, resident_blocks(kThreads, kMinBlocks))
    norm_hwc8_kernel(Hwc8Arguments tensors, NormArguments norm, Frame frame, typename Team::Memory memory) {
  if constexpr (Team::kRuns) {
    constexpr int kPixels = kThreads / kVectors;  // that the block takes at once
    extern __shared__ uint4 dynamic[];
    __shared__ Hwc8Shared<kThreads, kVectors> shared;
    Team team(memory);
    const int lane = static_cast<int>(threadIdx.x) / kVectors;
    const int thread_vector = static_cast<int>(threadIdx.x) % kVectors;
    const int begin = min(norm.size, team.rank() * tensors.share);
    const int end = min(norm.size, begin + tensors.share);
    const int first = begin + lane;

    const int turns = Team::kTakesTurns ? tensors.turns : 1;
    for (int turn = 0; turn < turns; ++turn) {
      const int unit = turn * team.count() + team.index();
      const bool is_idle = unit >= tensors.units;
      unsigned number, group;
      tensors.by_groups.divide(static_cast<unsigned>(unit), number, group);
      const int first_vector = static_cast<int>(group) * kVectors;
      const bool has_channels = !is_idle && first_vector + thread_vector < tensors.vectors;
      const auto sample = Hwc8Sample::of<kFramed>(tensors, norm, frame, number, first_vector + thread_vector);

      Hwc8Packs<kThreads, kPacks> packs;
      packs.global = sample.x + first * tensors.vectors;
      packs.shared = reinterpret_cast<Half8*>(dynamic) + threadIdx.x;
      packs.stride = kPixels * tensors.vectors;
      packs.count = has_channels ? max(0, end - first + kPixels - 1) / kPixels : 0;
      packs.in_shared = max(0, min(packs.count - kPacks, tensors.kept));
      Half8* residual_packs = packs.shared + tensors.kept * kThreads;
      const int residual_kept = kFramed ? min(packs.count, tensors.residual_kept) : 0;
      Half8 stripe_first{};
      if (begin < end && has_channels) stripe_first = load<Cache::kKeep>(sample.x + begin * tensors.vectors);
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
      publish_stripe(shared, sums, end - begin, team);

      // While the others arrive: the residual, and the first pixel of the padding.
      Hwc8Border border{team.rank() * kPixels + lane, team.blocks() * kPixels, has_channels ? frame.border_size() : 0};
      const auto row_of = [&](int pixel) { return static_cast<int>(frame.by_width.divide(pixel)); };
      if constexpr (kFramed) {
#pragma unroll 2
        for (int i = 0; i < residual_kept; ++i) {
          const int pixel = first + i * kPixels;
          copy_ahead(residual_packs + i * kThreads, sample.residual_of(frame, pixel, row_of(pixel)));
        }
        end_copies();
        border.fetch(sample, frame);
      }
      team.wait();
      if (is_idle) continue;
      merge_team(shared, norm, 8 * first_vector, tensors.share, team);

      const Affine8 affine(shared, thread_vector * 8);
      Half8* y = sample.y;
      if constexpr (kFramed) {
        wait_for_copies<0>();
        border.write(sample, frame, affine, norm);
        y += (frame.top * frame.out_width() + frame.left) * tensors.vectors;
      }
      packs.for_each([&](const Half8& pack, int i) {
        const int pixel = first + i * kPixels;
        int at = pixel;
        float values[8];
        affine(pack, norm, values);
        if constexpr (kFramed) {
          const int row = row_of(pixel);
          if (i < residual_kept) {
            add(residual_packs[i * kThreads], values);
          } else if (sample.residual) {
            add(load<Cache::kKeep>(sample.residual_of(frame, pixel, row)), values);
          }
          at += row * (frame.left + frame.right);
        }
        store<Cache::kKeep>(y + at * tensors.vectors, pack_of<__half>(values));
      });
    }
  }
}

}  // namespace trtdsl
