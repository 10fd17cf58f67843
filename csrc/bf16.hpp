// Lines of 16 bits: activations and their gradients as bfloat16, in half the bytes; weights and sums stay float32.
//
// A word of 32 bits holds lane i of a run of 32 lanes in its low half and lane i + 16 in its high half, at every
// instruction set. bfloat16 is the upper half of a float32, so one shift gives the one and one mask the other.
#pragma once

#include "cache.hpp"
#include "edges.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

typedef uint32_t Words __attribute__((vector_size(4 * kWidth)));
typedef uint32_t UnalignedWords __attribute__((vector_size(4 * kWidth), aligned(2), may_alias));

constexpr int kPair = 2 * kWidth;  // lanes in a vector of words
constexpr int kHigh = 16;          // from a word's low lane to its high one
constexpr int low_lane(int v) { return v * kWidth / kHigh * 2 * kHigh + v * kWidth % kHigh; }

// A quarter of L2: with lines of 64 lanes as many features as in half of it in float32.
inline int64_t bf16_block_bytes() {
  const int64_t quarter = l2_bytes() / 4, smallest = 256 << 10;
  return quarter < smallest ? smallest : quarter;
}

// The nearest bfloat16, ties to even, in the upper half of a word; NaN stays NaN.
inline Words rounded(Vec x) {
  const Words bits = reinterpret_cast<Words>(x);
  const Words nearest = bits + 0x7fffu + (bits >> 16 & 1u);
  return (bits & 0x7fffffffu) > 0x7f800000u ? bits | 0x400000u : nearest;
}

inline void narrow(Vec low, Vec high, uint16_t* to) {
  *reinterpret_cast<UnalignedWords*>(to) = rounded(low) >> 16 | (rounded(high) & 0xffff0000u);
}

inline void widen(const uint16_t* from, Vec& low, Vec& high) {
  const Words words = *reinterpret_cast<const UnalignedWords*>(from);
  low = reinterpret_cast<Vec>(words << 16);
  high = reinterpret_cast<Vec>(words & 0xffff0000u);
}

// One feature's line of a panel: L lanes.
template <int L>
inline void narrow_line(const float* from, uint16_t* to) {
  for (int v = 0; v < L / kPair; ++v)
    narrow(load(from + low_lane(v)), load(from + low_lane(v) + kHigh), to + v * kPair);
}

template <int L>
inline void widen_line(const uint16_t* from, float* to) {
  for (int v = 0; v < L / kPair; ++v) {
    Vec low, high;
    widen(from + v * kPair, low, high);
    store(to + low_lane(v), low);
    store(to + low_lane(v) + kHigh, high);
  }
}

// As spmm_row, one edge at a time: four or eight chains.
template <int L>
inline void bf16_spmm_row(const Csr& w, const float* values, const float* bias, const uint16_t* x, float* y,
                          const Visit& at) {
  constexpr int V = L / kPair, N = V < kChains / 2 ? V : kChains / 2;  // vectors of words, and how many at once
  for (int v = 0; v < V; v += N) {
    Vec low[N] = {}, high[N] = {};
    for (int n = 0; n < N; ++n) {
      const float* const from = y + low_lane(v + n);
      if (!at.fresh) low[n] = load(from), high[n] = load(from + kHigh);
      else if (bias) low[n] += bias[at.row], high[n] += bias[at.row];
    }
    for (int64_t edge = at.first; edge < at.last; ++edge) {
      const uint16_t* const from = x + int64_t{w.indices[edge]} * L + v * kPair;
      for (int n = 0; n < N; ++n) {
        Vec a, b;
        widen(from + n * kPair, a, b);
        low[n] += values[edge] * a;
        high[n] += values[edge] * b;
      }
    }
    for (int n = 0; n < N; ++n) {
      store(y + low_lane(v + n), low[n]);
      store(y + low_lane(v + n) + kHigh, high[n]);
    }
  }
}

// A line that stays in registers, of either kind, in the order of widened words.
template <int V>
inline void load_own(const uint16_t* line, Vec* own) {
  for (int v = 0; v < V; ++v) widen(line + v * kPair, own[2 * v], own[2 * v + 1]);
}
template <int V>
inline void load_own(const float* line, Vec* own) {
  for (int v = 0; v < V; ++v) own[2 * v] = load(line + low_lane(v)), own[2 * v + 1] = load(line + low_lane(v) + kHigh);
}

// As Dots.
template <int L, bool Product>
struct Bf16Dots {
  static constexpr int V = L / kPair;
  const int32_t* indices;
  const float* values;
  const uint16_t* other;
  Vec own[2 * V], product[2 * V];

  template <int K>
  Vec dots(int64_t edge, int64_t count = K) {
    Vec part[K] = {};
    for (int v = 0; v < V; ++v)
      for (int k = 0; k < K; ++k) {
        if (k >= count) continue;
        Vec low, high;
        widen(other + int64_t{indices[edge + k]} * L + v * kPair, low, high);
        if constexpr (Product) {
          product[2 * v] += values[edge + k] * low;
          product[2 * v + 1] += values[edge + k] * high;
        }
        part[k] += own[2 * v] * low;
        part[k] += own[2 * v + 1] * high;
      }
    return sums<K>(part);
  }
};

// As dot_row; `other` are lines of 16 bits, `own` may be one.
template <int L, bool Product, class Own>
inline void bf16_dot_row(const Csr& w, const float* values, const Own* own, const uint16_t* other, float* product,
                         float* dots, const Visit& at) {
  using R = Bf16Dots<L, Product>;
  R row = {w.indices, values, other, {}, {}};
  load_own<R::V>(own, row.own);
  if (Product && !at.fresh) load_own<R::V>(product, row.product);
  dot_edges(row, dots, at);
  if constexpr (Product)
    for (int v = 0; v < R::V; ++v) {
      store(product + low_lane(v), row.product[2 * v]);
      store(product + low_lane(v) + kHigh, row.product[2 * v + 1]);
    }
}

}  // namespace
}  // namespace dsae::DSAE_LEVEL
