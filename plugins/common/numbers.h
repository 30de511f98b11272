// The arithmetic of formulas, as Python's: whole numbers that do not wrap around, and division that rounds down.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "common/tensor.h"

namespace trtdsl {

// Stays at the end of int64 instead of going beyond, so that what is too large never looks small.
struct Whole {
  Whole(int64_t value) : value(value) {}  // NOLINT: numbers are whole numbers
  explicit operator double() const { return static_cast<double>(value); }

  int64_t value;
};

inline Whole end_of_range(bool is_negative) {
  return is_negative ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
}

inline Whole operator+(Whole left, Whole right) {
  int64_t sum = 0;
  return __builtin_add_overflow(left.value, right.value, &sum) ? end_of_range(left.value < 0) : sum;
}

inline Whole operator-(Whole left, Whole right) {
  int64_t difference = 0;
  return __builtin_sub_overflow(left.value, right.value, &difference) ? end_of_range(left.value < 0) : difference;
}

inline Whole operator*(Whole left, Whole right) {
  int64_t product = 0;
  const bool is_negative = (left.value < 0) != (right.value < 0);
  return __builtin_mul_overflow(left.value, right.value, &product) ? end_of_range(is_negative) : product;
}

inline Whole operator-(Whole number) { return Whole(0) - number; }
inline bool operator==(Whole left, Whole right) { return left.value == right.value; }
inline bool operator!=(Whole left, Whole right) { return left.value != right.value; }
inline bool operator<(Whole left, Whole right) { return left.value < right.value; }
inline bool operator<=(Whole left, Whole right) { return left.value <= right.value; }
inline bool operator>(Whole left, Whole right) { return left.value > right.value; }
inline bool operator>=(Whole left, Whole right) { return left.value >= right.value; }

// Rounds down; 0 where there is nothing to divide by.
inline Whole floor_div(Whole left, Whole right) {
  if (right.value == 0) return 0;
  if (right.value == -1) return -left;
  const int64_t quotient = left.value / right.value;
  const bool is_rounded_up = left.value % right.value != 0 && (left.value < 0) != (right.value < 0);
  return quotient - (is_rounded_up ? 1 : 0);
}

inline double floor_div(double left, double right) { return std::floor(left / right); }

// Of the divisor's sign.
template <typename Number>
Number modulo(const Number& left, const Number& right) {
  return left - floor_div(left, right) * right;
}

inline Whole least(Whole left, Whole right) { return left < right ? left : right; }
inline double least(double left, double right) { return left < right ? left : right; }
inline Whole greatest(Whole left, Whole right) { return left > right ? left : right; }
inline double greatest(double left, double right) { return left > right ? left : right; }
inline Whole absolute(Whole number) { return number < Whole(0) ? -number : number; }
inline double absolute(double number) { return std::fabs(number); }

// Without what is behind the point.
inline Whole truncated(double number) {
  constexpr double kEnd = 9223372036854775808.0;
  if (number >= kEnd || number < -kEnd) return end_of_range(number < 0);
  return std::isnan(number) ? Whole(0) : Whole(static_cast<int64_t>(number));
}

// An element of an array; 0 past its end.
template <typename T>
T element(const Array<T>& array, int32_t index) {
  return index < array.size ? array.data[index] : T{0};
}

}  // namespace trtdsl
