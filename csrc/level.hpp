// What every kernel source includes: declarations and vectors inside the namespace of the level being compiled.
#pragma once

#include <utility>

#include "kernels.hpp"

#if defined(__AVX512F__)
#define DSAE_LEVEL      x86_64_v4
#define DSAE_LEVEL_NAME "x86-64-v4"
#elif defined(__AVX2__)
#define DSAE_LEVEL      x86_64_v3
#define DSAE_LEVEL_NAME "x86-64-v3"
#else
#define DSAE_LEVEL      baseline
#define DSAE_LEVEL_NAME "baseline"
#endif

namespace dsae::DSAE_LEVEL {

#define DSAE_DECLARE(Type, name) Type name;
DSAE_KERNELS(DSAE_DECLARE)
#undef DSAE_DECLARE
extern const int n_losses, n_activations;
extern const ActivationKind activations[];

namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif

typedef float Vec __attribute__((vector_size(4 * kWidth)));
typedef float UnalignedVec __attribute__((vector_size(4 * kWidth), aligned(4), may_alias));

inline Vec load(const float* p) { return *reinterpret_cast<const UnalignedVec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<UnalignedVec*>(p) = v; }

inline int32_t bits_of(float x) {
  int32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  return bits;
}

// Lane i of the result: a[i] + a[i ^ D] where i & D is 0, else b[i] + b[i ^ D].
template <int D, int... I>
inline Vec fold(Vec a, Vec b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (I & D ? I + kWidth : I)...) +
         __builtin_shufflevector(a, b, (I & D ? (I ^ D) + kWidth : I ^ D)...);
}

// Every lane becomes the sum over the lanes that differ from it in the bits from D on.
template <int D>
inline Vec across(Vec v) {
  if constexpr (D < kWidth) return across<2 * D>(fold<D>(v, v, std::make_integer_sequence<int, kWidth>()));
  else return v;
}

// Lane i of the result is the sum over the lanes of v[i % K], added in the same order whatever i and K: an edge's dot
// product does not depend on how many end together.
template <int K, int D = 1>
inline Vec sums(Vec* v) {
  if constexpr (D >= K) return across<K>(v[0]);
  else {
    for (int i = 0; i < K; i += 2 * D) v[i] = fold<D>(v[i], v[i + D], std::make_integer_sequence<int, kWidth>());
    return sums<K, 2 * D>(v);
  }
}

template <int L>
struct Lanes {
  constexpr operator int() const { return L; }
};

// Calls body with the number of lanes as a constant.
template <class Body>
inline void with_lanes(int lanes, const Body& body) {
  if (lanes == 16) body(Lanes<16>());
  else if (lanes == 32) body(Lanes<32>());
  else body(Lanes<64>());
}

}  // namespace
}  // namespace dsae::DSAE_LEVEL
