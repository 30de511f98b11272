// Normalises instances that lie one behind the other: a team of blocks takes an instance, keeps on chip what fits
// there, and reads that once.
#pragma once

#include "common/async_copy.cuh"
#include "common/frame.cuh"
#include "common/normalization.cuh"
#include "common/team.cuh"

namespace trtdsl {

template <typename T>
struct LinearArguments {
  const T* x;
  T* y;
  const T* residual;  // null: none
  int units;          // instances
  int turns;          // of a team
  int share;          // of a block: packs, or rows where there is a frame
  int kept;           // packs of a thread that stay in shared memory
  bool alike;         // where x has a pack's boundary, y has one
};

// The numbers [begin, end) of a block, counted from a pack's boundary at or before the instance's first: whole packs,
// and what comes before and after them, which is less than a pack each and for which each of the first threads takes
// one number.
template <int kElements>
struct Span {
  int begin;
  int end;

  __device__ __forceinline__ int packs_begin() const { return (begin + kElements - 1) / kElements; }
  __device__ __forceinline__ int packs_end() const { return end / kElements; }

  // This thread's number at the edge; negative: it has none.
  __device__ __forceinline__ int edge() const {
    const int thread = static_cast<int>(threadIdx.x);
    const int head_end = min(end, packs_begin() * kElements);
    if (thread < kElements) return begin + thread < head_end ? begin + thread : -1;
    const int at = max(head_end, packs_end() * kElements) + thread - kElements;
    return at < end ? at : -1;
  }
};

// kTogether: y is at a pack's boundary.
template <bool kTogether, typename T, int kElements>
__device__ __forceinline__ void write(T* y, const Pack<T, kElements>& pack, const Affine& affine,
                                      const NormArguments& norm) {
  float values[kElements];
  unpack(pack, values);
#pragma unroll
  for (float& value : values) value = affine(value);
  activate(norm, values);
  const Pack<T, kElements> result = pack_of<T>(values);
  if constexpr (kTogether) {
    store<Cache::kKeep>(reinterpret_cast<Pack<T, kElements>*>(y), result);
  } else {
#pragma unroll
    for (int j = 0; j < kElements; ++j) y[j] = result.values[j];
  }
}

// A thread's packs: the first kPacks are kept in registers, the next `in_shared` in shared memory, the others are read
// again. From one to the next there are kThreads packs in either memory.
template <int kThreads, int kPacks, typename T, int kElements>
struct ThreadPacks {
  using P = Pack<T, kElements>;
  const P* global;
  P* shared;
  int count;
  int in_shared;
  P registers[kPacks > 0 ? kPacks : 1];

  // Fetches all, and gives their moments less `shift`.
  __device__ __forceinline__ Moments fetch(float shift) {
    constexpr int kBatch = 4;
    const int half = in_shared / 2 / kBatch * kBatch;
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      if (i < count) registers[i] = load<Cache::kStream>(global + i * kThreads);
    }
    for (int i = 0; i < half; ++i) copy_ahead(shared + i * kThreads, global + (kPacks + i) * kThreads);
    end_copies();
    for (int i = half; i < in_shared; ++i) copy_ahead(shared + i * kThreads, global + (kPacks + i) * kThreads);
    end_copies();
    if constexpr (kPacks == 0) {
      wait_for_copies<1>();
      if (half == 0) wait_for_copies<0>();
    }
    float own_shift = 0.0f;
    if (kPacks > 0) {
      own_shift = to_float(registers[0].values[0]);
    } else if (count > 0) {
      own_shift = to_float(in_shared > 0 ? shared[0].values[0] : __ldg(&global->values[0]));
    }
    ShiftedSums<kElements> sums;
    const auto add = [&](const P& pack) {
      float values[kElements];
      unpack(pack, values);
      sums.add(values, own_shift);
    };
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      if (i < count) add(registers[i]);
    }
    wait_for_copies<1>();
#pragma unroll 4
    for (int i = 0; i < half; ++i) add(shared[i * kThreads]);
    wait_for_copies<0>();
#pragma unroll 4
    for (int i = half; i < in_shared; ++i) add(shared[i * kThreads]);
#pragma unroll 4
    for (int i = kPacks + in_shared; i < count; ++i) add(load<Cache::kKeep>(global + i * kThreads));
    Moments moments = sums.moments(static_cast<float>(count) * kElements);
    if (count > 0) moments.mean += own_shift - shift;
    return moments;
  }

  // Writes them all, normalised. kTogether: `y`, where the first goes, is at a pack's boundary.
  template <bool kTogether>
  __device__ __forceinline__ void finish(T* y, const Affine& affine, const NormArguments& norm) const {
    const auto finish_one = [&](const P& pack, int i) {
      write<kTogether>(y + i * (kThreads * kElements), pack, affine, norm);
    };
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      if (i < count) finish_one(registers[i], i);
    }
    // From the end on: what was not kept on chip is still in the cache.
#pragma unroll 4
    for (int i = count - 1; i >= kPacks + in_shared; --i) finish_one(load<Cache::kKeep>(global + i * kThreads), i);
#pragma unroll 4
    for (int i = 0; i < in_shared; ++i) finish_one(shared[i * kThreads], kPacks + i);
  }
};

// The moments of all threads of all blocks; everyone gets the same.
template <int kThreads, typename Team>
__device__ __forceinline__ Moments merge_team(Team& team, Moments moments) {
  constexpr int kWarps = kThreads / 32;
  __shared__ Moments of_warps[kWarps];
  const int lane = static_cast<int>(threadIdx.x) % 32;
  moments = merge_lanes<32>(moments);
  if (lane == 0) of_warps[threadIdx.x / 32] = moments;
  team.prepare();
  __syncthreads();
  if (threadIdx.x < 32) {
    moments = merge_lanes<kWarps>(of_warps[lane % kWarps]);
    if (lane == 0) team.publish(0, moments);
  }
  team.arrive();
  team.wait();
  moments = lane < team.blocks() ? team.published(lane, 0) : Moments{0.0f, 0.0f, 0.0f};
  for (int block = lane + 32; block < team.blocks(); block += 32) moments = merge(moments, team.published(block, 0));
  return merge_lanes<32>(moments);
}

// One plane of the result.
template <typename T>
struct Plane {
  T* y;
  const T* residual;  // null: none
  Affine affine;
  const NormArguments& norm;
  const Frame& frame;

  __device__ __forceinline__ T result(T number, T more) const {
    float value[1] = {affine(to_float(number))};
    activate(norm, value);
    if (residual) value[0] += to_float(more);
    return from_float<T>(value[0]);
  }

  // A warp writes one row of the padded plane, which shows `row`, one of x. It stores words of 4 bytes where it can.
  __device__ __forceinline__ void write_row(int place, int shown, const T* row) const {
    constexpr int kTogether = 4 / sizeof(T);
    constexpr int kBatch = 4;  // words that a lane has under way
    using Word = Pack<T, kTogether>;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const T* residual_row =
        residual + int64_t{shown + frame.residual_top} * frame.residual_width + frame.residual_left;
    T* target = y + int64_t{place} * frame.out_width();
    T* inside = target + frame.left;
    const int lead = kTogether > 1 ? static_cast<int>(reinterpret_cast<uintptr_t>(inside) / sizeof(T) % kTogether) : 0;
    const int words = (frame.width - lead) / kTogether;
    for (int first = lane; first < words; first += 32 * kBatch) {
      // All loads come before the first store: the compiler cannot know that they read something else.
      T numbers[kBatch][kTogether], more[kBatch][kTogether];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
#pragma unroll
        for (int j = 0; j < kTogether; ++j) {
          const int column = lead + (first + 32 * i) * kTogether + j;
          if (first + 32 * i < words) {
            numbers[i][j] = row[column];
            if (residual) more[i][j] = residual_row[column];
          }
        }
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        if (first + 32 * i >= words) break;
        Word word;
#pragma unroll
        for (int j = 0; j < kTogether; ++j) word.values[j] = result(numbers[i][j], more[i][j]);
        store<Cache::kKeep>(reinterpret_cast<Word*>(inside + lead) + first + 32 * i, word);
      }
    }
    // What is left: the columns around the words, and those of the padding.
    const int left = frame.left + lead;
    const int right = frame.left + lead + words * kTogether;
    const int others = frame.out_width() - words * kTogether;
    for (int i = lane; i < others; i += 32) {
      const int column = i < left ? i : right + i - left;
      const int shown_column = shown_index(column, frame.width, frame.left, frame.mode);
      target[column] = result(row[shown_column], residual ? residual_row[shown_column] : T{});
    }
  }

  // A block writes its rows, [first, last) of `kept`, and its part of those above and below, which show rows of `x`
  // that may be another's.
  template <int kThreads, typename Team>
  __device__ __forceinline__ void write_rows(const Team& team, int first, int last, const T* kept, const T* x) const {
    constexpr int kWarps = kThreads / 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    for (int row = first + warp; row < last; row += kWarps)
      write_row(row + frame.top, row, kept + row * frame.width);
    for (int i = warp * team.blocks() + team.rank(); i < frame.top + frame.bottom; i += team.blocks() * kWarps) {
      const int place = i < frame.top ? i : i + frame.height;
      const int row = shown_index(place, frame.height, frame.top, frame.mode);
      write_row(place, row, x + row * frame.width);
    }
  }
};

// Rows of the residual, [first, last) of those that are added, on their way while the statistics are made.
template <typename T, int kThreads>
__device__ __forceinline__ void prefetch_residual(const LinearArguments<T>& tensors, const Frame& frame, int64_t unit,
                                                  int first, int last) {
  constexpr int kLine = 128 / sizeof(T);
  const T* plane = tensors.residual + unit * frame.residual_height * frame.residual_width;
  const T* end = plane + int64_t{last + frame.residual_top} * frame.residual_width;
  const T* at = plane + int64_t{first + frame.residual_top} * frame.residual_width + threadIdx.x * kLine;
  for (; at < end; at += kThreads * kLine) prefetch(at);
}

template <typename T, typename Team, int kPacks, int kThreads, int kMinBlocks, bool kFramed>
__global__ void __launch_bounds__(kThreads, resident_blocks(kThreads, kMinBlocks))
    norm_linear_kernel(LinearArguments<T> tensors, NormArguments norm, Frame frame, typename Team::Memory memory) {
  if constexpr (Team::kRuns) {
    static_assert(!kFramed || kPacks == 0, "rows are gathered from shared memory");
    constexpr int kElements = 16 / sizeof(T);
    using P = Pack<T, kElements>;
    extern __shared__ uint4 dynamic[];
    Team team(memory);
    for (int turn = 0; turn < tensors.turns; ++turn) {
      const int64_t unit = turn * team.count() + team.index();
      const bool is_idle = unit >= tensors.units;
      const int channel = static_cast<int>(unit) % norm.channels;
      const int64_t start = is_idle ? 0 : unit * norm.size;
      const int lead = static_cast<int>(reinterpret_cast<uintptr_t>(tensors.x + start) / sizeof(T) % kElements);
      const T* x = tensors.x + (start - lead);
      const int first_row = min(frame.height, team.rank() * tensors.share);
      const int last_row = is_idle ? first_row : min(frame.height, first_row + tensors.share);
      Span<kElements> span;
      if constexpr (kFramed) {
        span = {lead + first_row * frame.width, lead + last_row * frame.width};
      } else {
        const int64_t share = int64_t{tensors.share} * kElements;
        const int64_t end = is_idle ? 0 : lead + norm.size;
        span = {static_cast<int>(min(end, max(int64_t{lead}, team.rank() * share))),
                static_cast<int>(min(end, (team.rank() + 1) * share))};
      }
      const float shift = to_float(x[lead]);
      const int first = span.packs_begin() + static_cast<int>(threadIdx.x);
      // In shared memory a frame's span begins within the first pack.
      const int base = kFramed ? span.begin / kElements : span.packs_begin();
      ThreadPacks<kThreads, kPacks, T, kElements> packs;
      packs.global = reinterpret_cast<const P*>(x) + first;
      packs.shared = reinterpret_cast<P*>(dynamic) + (first - base);
      packs.count = max(0, span.packs_end() - first + kThreads - 1) / kThreads;
      packs.in_shared = max(0, min(packs.count - kPacks, tensors.kept));
      const bool all_kept = (span.packs_end() - base + kThreads - 1) / kThreads <= tensors.kept;
      const int edge = span.edge();
      T edge_value{};
      if (edge >= 0) edge_value = x[edge];
      if (kFramed && tensors.residual) prefetch_residual<T, kThreads>(tensors, frame, unit, first_row, last_row);
      Moments moments = packs.fetch(shift);
      T* kept = reinterpret_cast<T*>(dynamic) - base * kElements;
      if (edge >= 0) {
        moments = merge(moments, {1.0f, to_float(edge_value) - shift, 0.0f});
        if (kFramed && all_kept) kept[edge] = edge_value;
      }
      moments = merge_team<kThreads>(team, moments);
      if (is_idle) continue;
      const Affine affine = make_affine(norm, moments, shift, channel);
      if constexpr (kFramed) {
        const Plane<T> plane{tensors.y + unit * frame.out_height() * frame.out_width(),
                             tensors.residual ? tensors.residual + unit * frame.residual_height * frame.residual_width
                                              : nullptr,
                             affine, norm, frame};
        plane.template write_rows<kThreads>(team, first_row, last_row, (all_kept ? kept : x) + lead, x + lead);
        __syncthreads();  // before the next instance is read to where this one is kept
      } else {
        T* y = tensors.y + (start - lead);
        if (edge >= 0) {
          float value[1] = {affine(to_float(edge_value))};
          activate(norm, value);
          y[edge] = from_float<T>(value[0]);
        }
        T* first_y = y + int64_t{first} * kElements;
        // Asked once here, since asking for each pack costs a twentieth of the time.
        if (tensors.alike) {
          packs.template finish<true>(first_y, affine, norm);
        } else {
          packs.template finish<false>(first_y, affine, norm);
        }
      }
    }
  }
}

}  // namespace trtdsl
