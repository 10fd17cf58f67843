// What a row's edges do on one panel: its output, summed in registers, and the dot products that are its gradient.
#pragma once

#include "level.hpp"
#include "tiles.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr int kChains = 8;  // multiply-adds in flight: latency 4, two a cycle

template <int L>
inline void spmm_row(const Csr& w, const float* values, const float* bias, const float* x, float* y, const Visit& at) {
  constexpr int N = L / kWidth < kChains ? L / kWidth : kChains;  // vectors held at once
  // Edges in flight. One for full panels, so that an output is summed in the order of its edges, in blocks of any size:
  // four chains are enough where each line comes from L2.
  constexpr int U = L == 64 ? 1 : kChains / N;
  for (int lane = 0; lane < L; lane += N * kWidth) {
    Vec sum[U][N] = {};
    for (int n = 0; n < N; ++n) {
      if (!at.fresh) sum[0][n] = load(y + lane + n * kWidth);
      else if (bias) sum[0][n] += bias[at.row];
    }
    const auto add = [&](Vec* part, int64_t edge) {
      const float* from = x + int64_t{w.indices[edge]} * L + lane;
      for (int n = 0; n < N; ++n) part[n] += values[edge] * load(from + n * kWidth);
    };
    int64_t edge = at.first;
    for (; edge + U <= at.last; edge += U)
      for (int u = 0; u < U; ++u) add(sum[u], edge + u);
    for (; edge < at.last; ++edge) add(sum[0], edge);
    for (int u = 1; u < U; ++u)
      for (int n = 0; n < N; ++n) sum[0][n] += sum[u][n];
    for (int n = 0; n < N; ++n) store(y + lane + n * kWidth, sum[0][n]);
  }
}

constexpr int kTail = 4;

// One row: `own` is its panel row, `other` the panel that its columns point into.
template <int L, bool Product>
struct Dots {
  static constexpr int N = L / kWidth;
  const int32_t* indices;
  const float *values, *other;
  Vec own[N], product[N];

  // K edges from `edge`, of which the first `count` exist.
  template <int K>
  Vec dots(int64_t edge, int64_t count = K) {
    Vec part[K] = {};
    for (int n = 0; n < N; ++n)
      for (int k = 0; k < K; ++k) {
        if (k >= count) continue;
        const Vec line = load(other + int64_t{indices[edge + k]} * L + n * kWidth);
        if constexpr (Product) product[n] += values[edge + k] * line;
        part[k] += own[n] * line;
      }
    return sums<K>(part);
  }
};

// The dot products of a visit's edges, as many at once as a vector holds, then in fours; the first panel begins the
// sums.
template <class R>
inline void dot_edges(R& row, float* dots, const Visit& at) {
  int64_t edge = at.first;
  for (; edge + kWidth <= at.last; edge += kWidth) {
    const Vec sum = row.template dots<kWidth>(edge);
    store(dots + edge, at.panel ? load(dots + edge) + sum : sum);
  }
  for (; edge < at.last; edge += kTail) {
    const int64_t count = at.last - edge < kTail ? at.last - edge : kTail;
    const Vec sum = row.template dots<kTail>(edge, count);
    for (int k = 0; k < count; ++k) dots[edge + k] = at.panel ? dots[edge + k] + sum[k] : sum[k];
  }
}

template <int L, bool Product>
inline void dot_row(const Csr& w, const float* values, const float* own, const float* other, float* product,
                    float* dots, const Visit& at) {
  using R = Dots<L, Product>;
  R row = {w.indices, values, other, {}, {}};
  for (int n = 0; n < R::N; ++n) {
    row.own[n] = load(own + n * kWidth);
    if (Product && !at.fresh) row.product[n] = load(product + n * kWidth);
  }
  dot_edges(row, dots, at);
  if constexpr (Product)
    for (int n = 0; n < R::N; ++n) store(product + n * kWidth, row.product[n]);
}

}  // namespace
}  // namespace dsae::DSAE_LEVEL
