// Blocks that work on one instance and tell each other what they have found: a cluster, through shared memory, or
// blocks of a grid that runs at once, through global memory.
#pragma once

#include <cooperative_groups.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace trtdsl {

// As many of the wanted blocks as an SM of the architecture being compiled for has threads for.
constexpr int resident_blocks(int threads, int wanted) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ == 800 || (__CUDA_ARCH__ >= 900 && __CUDA_ARCH__ < 1200)
  constexpr int kMost = 2048;
#elif __CUDA_ARCH__ == 750
  constexpr int kMost = 1024;
#else
  constexpr int kMost = 1536;
#endif
  return wanted * threads <= kMost ? wanted : kMost / threads;
}

// A cluster of one block is a plain block, which every architecture has. Each block publishes kParts of Part. There are
// as many teams as there is work for.
template <int kBlocks, typename Part, int kParts>
class ClusterTeam {
 public:
  struct Memory {};
  static constexpr bool kTakesTurns = false;
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  static constexpr bool kRuns = true;  // on the architecture being compiled for
#else
  static constexpr bool kRuns = kBlocks == 1;
#endif

  __device__ __forceinline__ explicit ClusterTeam(Memory) {
    if (kBlocks > 1) arrive_cluster();
  }

  __device__ __forceinline__ int rank() const { return static_cast<int>(blockIdx.x % kBlocks); }
  __device__ __forceinline__ int blocks() const { return kBlocks; }
  __device__ __forceinline__ int index() const { return static_cast<int>(blockIdx.x / kBlocks); }
  __device__ __forceinline__ int count() const { return static_cast<int>(gridDim.x / kBlocks); }

  // Before publishing: all blocks have started, so their shared memory is there.
  __device__ __forceinline__ void prepare() {
    if (kBlocks > 1) wait_cluster();
  }

  __device__ __forceinline__ void publish(int part, const Part& value) {
    Part* mine = parts() + rank() * kParts + part;
#pragma unroll 4
    for (int block = 0; block < kBlocks; ++block) *of_block(mine, block) = value;
  }

  __device__ __forceinline__ void arrive() {
    if (kBlocks > 1) arrive_cluster();
  }

  __device__ __forceinline__ void wait() {
    if (kBlocks > 1) {
      wait_cluster();
    } else {
      __syncthreads();
    }
  }

  __device__ __forceinline__ Part published(int block, int part) const { return parts()[block * kParts + part]; }

 private:
  static __device__ __forceinline__ Part* parts() {
    __shared__ Part all[kBlocks * kParts];
    return all;
  }

  static __device__ __forceinline__ void arrive_cluster() {
#if __CUDA_ARCH__ >= 900
    __cluster_barrier_arrive();
#endif
  }

  static __device__ __forceinline__ void wait_cluster() {
#if __CUDA_ARCH__ >= 900
    __cluster_barrier_wait();
#endif
  }

  // The place in another block's shared memory that `mine` has in this one's.
  static __device__ __forceinline__ Part* of_block(Part* mine, int block) {
#if __CUDA_ARCH__ >= 900
    if (kBlocks > 1) return static_cast<Part*>(__cluster_map_shared_rank(mine, static_cast<unsigned>(block)));
#endif
    return mine;
  }
};

// For a cooperative launch of [blocks of a team, teams], in which all teams take the same number of turns.
template <typename Part, int kParts>
class GridTeam {
 public:
  struct Memory {
    Part* parts;  // [2][teams][blocks][kParts]
  };
  static constexpr bool kTakesTurns = true;
  static constexpr bool kRuns = true;

  __device__ __forceinline__ explicit GridTeam(const Memory& memory) : memory_(memory) {}

  __device__ __forceinline__ int rank() const { return static_cast<int>(blockIdx.x); }
  __device__ __forceinline__ int blocks() const { return static_cast<int>(gridDim.x); }
  __device__ __forceinline__ int index() const { return static_cast<int>(blockIdx.y); }
  __device__ __forceinline__ int count() const { return static_cast<int>(gridDim.y); }

  __device__ __forceinline__ void prepare() { turn_ ^= 1; }
  __device__ __forceinline__ void publish(int part, const Part& value) { *place(rank(), part) = value; }
  __device__ __forceinline__ void arrive() { token_ = cooperative_groups::this_grid().barrier_arrive(); }
  __device__ __forceinline__ void wait() {
    cooperative_groups::this_grid().barrier_wait(static_cast<unsigned&&>(token_));
  }

  // From the L2 cache, which all blocks share.
  __device__ __forceinline__ Part published(int block, int part) const {
    const auto* words = reinterpret_cast<const float*>(place(block, part));
    float copy[sizeof(Part) / sizeof(float)];
    if constexpr (sizeof(Part) == 8) {
      const float2 both = __ldcg(reinterpret_cast<const float2*>(words));
      copy[0] = both.x;
      copy[1] = both.y;
    } else {
#pragma unroll
      for (int i = 0; i < static_cast<int>(sizeof(Part) / sizeof(float)); ++i) copy[i] = __ldcg(words + i);
    }
    Part value;
    __builtin_memcpy(&value, copy, sizeof(Part));
    return value;
  }

 private:
  // Two sets in turn: a block that is ahead writes into the other one.
  __device__ __forceinline__ Part* place(int block, int part) const {
    return memory_.parts + ((turn_ * gridDim.y + blockIdx.y) * gridDim.x + block) * kParts + part;
  }

  Memory memory_;
  unsigned token_ = 0;
  int turn_ = 0;
};

}  // namespace trtdsl
