// Copies to shared memory without a stop in registers, while the thread goes on.
#pragma once

#include "common/memory.cuh"

namespace trtdsl {

template <typename P>
__device__ __forceinline__ void copy_ahead(P* target, const P* source) {
  static_assert(sizeof(P) == 16, "the size that passes by the L1 cache");
#if __CUDA_ARCH__ >= 800
  const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(target));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(source) : "memory");
#else
  *target = load<Cache::kStream>(source);
#endif
}

// Ends a group of copies.
__device__ __forceinline__ void end_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Until all but the last kLeft groups of this thread are there, for this thread.
template <int kLeft>
__device__ __forceinline__ void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
#endif
}

}  // namespace trtdsl
