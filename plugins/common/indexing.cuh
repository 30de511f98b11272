// Index arithmetic of kernels: 32-bit, without the division instruction that GPUs lack.
#pragma once

#include <cstdint>

namespace trtdsl {

// Divides numbers below 2^31 by one divisor: a multiplication and a shift (Granlund and Montgomery, 1994).
class FastDivider {
 public:
  explicit FastDivider(uint32_t divisor) : divisor_(divisor) {
    while ((uint64_t{1} << shift_) < divisor) ++shift_;
    multiplier_ = static_cast<uint32_t>((((uint64_t{1} << shift_) - divisor) << 32) / divisor + 1);
  }

  __device__ __forceinline__ uint32_t divide(uint32_t number) const {
    return (__umulhi(number, multiplier_) + number) >> shift_;
  }

  __device__ __forceinline__ void divide(uint32_t number, uint32_t& quotient, uint32_t& remainder) const {
    quotient = divide(number);
    remainder = number - quotient * divisor_;
  }

 private:
  uint32_t divisor_;
  uint32_t multiplier_;
  uint32_t shift_ = 0;
};

template <typename T>
constexpr T ceil_divide(T number, T divisor) {
  return (number + divisor - 1) / divisor;
}

}  // namespace trtdsl
