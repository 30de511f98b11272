// Kernels that start while the one before them still runs, of compute capability 9.0 on; elsewhere nothing happens.
#pragma once

#include <cuda_runtime.h>

namespace trtdsl {

__device__ __forceinline__ void let_next_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Until the kernels before have ended and all that they wrote can be read.
__device__ __forceinline__ void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

}  // namespace trtdsl
