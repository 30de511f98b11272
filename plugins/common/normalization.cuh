// What the kernels of instance normalisation share: their arguments, and the functions of one number.
#pragma once

#include "common/moments.cuh"

namespace trtdsl {

enum class Activation : int32_t { kNone = 0, kRelu = 1, kLeakyRelu = 2 };

struct NormArguments {
  const float* scale;  // [channels], or null for ones
  const float* bias;   // [channels], or null for zeros
  int channels;
  int size;            // numbers of one instance
  float inverse_size;  // 1 / size
  float epsilon;
  Activation activation;
  float slope;
};

// y = (x - shift) * factor + bias
struct Affine {
  float shift;
  float factor;
  float bias;

  __device__ __forceinline__ float operator()(float x) const { return fmaf(x - shift, factor, bias); }
};

// `moments` are those of x - shift. The shift stays apart from the mean, since their sum would lose the mean's last
// digits.
__device__ __forceinline__ Affine make_affine(const NormArguments& norm, const Moments& moments, float shift,
                                              int channel) {
  const float variance = fmaf(moments.squares, norm.inverse_size, norm.epsilon);
  float factor = rsqrtf(variance);
  factor = fmaf(0.5f * factor, fmaf(-variance * factor, factor, 1.0f), factor);  // Newton's step: to the last bit
  if (norm.scale) factor *= __ldg(norm.scale + channel);
  const float bias = norm.bias ? __ldg(norm.bias + channel) : 0.0f;
  return {shift, factor, fmaf(-moments.mean, factor, bias)};
}

// Not a number stays not a number.
__device__ __forceinline__ float relu(float value) {
#if __CUDA_ARCH__ >= 800
  float result;
  asm("max.NaN.f32 %0, %1, 0f00000000;" : "=f"(result) : "f"(value));
  return result;
#else
  return value < 0.0f ? 0.0f : value;
#endif
}

template <int kCount>
__device__ __forceinline__ void activate(const NormArguments& norm, float (&values)[kCount]) {
  if (norm.activation == Activation::kRelu) {
#pragma unroll
    for (float& value : values) value = relu(value);
  } else if (norm.activation == Activation::kLeakyRelu) {
#pragma unroll
    for (float& value : values) value = value > 0.0f ? value : value * norm.slope;
  }
}

}  // namespace trtdsl
