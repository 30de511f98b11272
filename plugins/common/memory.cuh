// Loads and stores of up to 16 bytes per thread, and the two element types.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

namespace trtdsl {

// N elements that one instruction moves.
template <typename T, int N>
struct alignas(sizeof(T) * N) Pack {
  T values[N];
};

template <int kBytes>
struct WordOf;
template <>
struct WordOf<2> {
  using Type = unsigned short;
};
template <>
struct WordOf<4> {
  using Type = unsigned int;
};
template <>
struct WordOf<8> {
  using Type = uint2;
};
template <>
struct WordOf<16> {
  using Type = uint4;
};
template <typename P>
using Word = typename WordOf<sizeof(P)>::Type;

// What becomes of a cache line: the default, or out again soon, since nobody reads it a second time.
enum class Cache { kKeep, kStream };

template <Cache kCache, typename P>
__device__ __forceinline__ P load(const P* address) {
  const auto* words = reinterpret_cast<const Word<P>*>(address);
  const Word<P> word = kCache == Cache::kStream ? __ldcs(words) : __ldg(words);
  P pack;
  __builtin_memcpy(&pack, &word, sizeof(P));
  return pack;
}

template <Cache kCache, typename P>
__device__ __forceinline__ void store(P* address, const P& pack) {
  Word<P> word;
  __builtin_memcpy(&word, &pack, sizeof(P));
  if (kCache == Cache::kStream) {
    __stcs(reinterpret_cast<Word<P>*>(address), word);
  } else {
    *reinterpret_cast<Word<P>*>(address) = word;
  }
}

// Brings a line of 128 bytes into the cache that all share.
__device__ __forceinline__ void prefetch(const void* address) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address) : "memory");
}

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(__half value) { return __half2float(value); }

template <typename T>
__device__ __forceinline__ T from_float(float value);
template <>
__device__ __forceinline__ float from_float<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ __half from_float<__half>(float value) {
  return __float2half_rn(value);
}

inline bool is_aligned(const void* address, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(address) % bytes == 0;
}

}  // namespace trtdsl
