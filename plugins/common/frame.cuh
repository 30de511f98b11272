// Padding by reflection or by the edge, and which part of a residual is added.
#pragma once

#include "common/indexing.cuh"

namespace trtdsl {

enum class PadMode : int32_t { kReflect = 0, kEdge = 1 };

struct Borders {
  int left, right, top, bottom;
};

struct Frame {
  int height = 1, width = 1;
  int top = 0, bottom = 0, left = 0, right = 0;
  int residual_top = 0, residual_left = 0, residual_height = 1, residual_width = 1;
  PadMode mode = PadMode::kReflect;
  FastDivider by_width{1}, by_out_width{1}, by_sides{1};  // sides: the columns left and right

  Frame() = default;
  Frame(int height, int width, const Borders& padding, PadMode mode, const Borders& around_residual)
      : height(height),
        width(width),
        top(padding.top),
        bottom(padding.bottom),
        left(padding.left),
        right(padding.right),
        residual_top(around_residual.top),
        residual_left(around_residual.left),
        residual_height(height + around_residual.top + around_residual.bottom),
        residual_width(width + around_residual.left + around_residual.right),
        mode(mode),
        by_width(static_cast<uint32_t>(width)),
        by_out_width(static_cast<uint32_t>(out_width())),
        by_sides(static_cast<uint32_t>(left + right > 0 ? left + right : 1)) {}

  __host__ __device__ int out_height() const { return height + top + bottom; }
  __host__ __device__ int out_width() const { return width + left + right; }
  // Pixels of the padding.
  __host__ __device__ int border_size() const { return out_height() * out_width() - height * width; }
};

// The index that a place of a padded axis shows.
__device__ __forceinline__ int shown_index(int place, int size, int before, PadMode mode) {
  const int index = place - before;
  if (mode == PadMode::kEdge) return min(max(index, 0), size - 1);
  const int mirrored = abs(index);
  return min(mirrored, 2 * (size - 1) - mirrored);
}

struct Pixel {
  int row, column;
};

// One of the padding's pixels, numbered from 0: the rows above, those below, then what lies left and right.
__device__ __forceinline__ Pixel border_pixel(const Frame& frame, int number) {
  const int outer = (frame.top + frame.bottom) * frame.out_width();
  unsigned row, column;
  if (number < outer) {
    frame.by_out_width.divide(static_cast<unsigned>(number), row, column);
    const int at = static_cast<int>(row);
    return {at < frame.top ? at : at + frame.height, static_cast<int>(column)};
  }
  frame.by_sides.divide(static_cast<unsigned>(number - outer), row, column);
  const int at = static_cast<int>(column);
  return {static_cast<int>(row) + frame.top, at < frame.left ? at : at + frame.width};
}

}  // namespace trtdsl
