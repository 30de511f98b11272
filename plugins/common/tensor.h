// What launchers see of a tensor: no TensorRT header in sight, so that kernels are built and tested without it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace trtdsl {

enum class DataType : int32_t { kFloat32 = 0, kFloat16 = 1, kInt8 = 2, kInt32 = 3, kBFloat16 = 4, kInt64 = 5 };

// kHWC8: channels last, their number rounded up to a multiple of 8 in memory; the elements past it hold anything.
enum class Layout : int32_t { kLinear = 0, kHWC8 = 1 };

constexpr int32_t kMaxRank = 8;

// `dims` are the logical sizes, [batch, channels, height, width] whatever the layout. `data` is null for an optional
// input that is left out.
struct Tensor {
  void* data;
  DataType dtype;
  Layout layout;
  int32_t rank;
  int64_t dims[kMaxRank];

  int64_t volume() const {
    int64_t count = 1;
    for (int32_t axis = 0; axis < rank; ++axis) count *= dims[axis];
    return count;
  }
};

// An array of a field: host memory, or device memory where the field says `memory: device`.
template <typename T>
struct Array {
  const T* data;
  int32_t size;
};

}  // namespace trtdsl
