// dW = dY X^T at the live edges, and dX = W^T dY in the same pass over the transposed topology: the line that the one
// needs the other has just loaded. A row of the one factor stays in registers; the dot products of several edges end
// together, so that their horizontal sums are one transposed addition tree.
#include "level.hpp"
#include "tiles.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

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

template <int L, bool Product>
inline void dot_row(const Csr& w, const float* values, const float* own, const float* other, float* product, float* dots,
                    const Visit& at) {
  using R = Dots<L, Product>;
  R row = {w.indices, values, other, {}, {}};
  for (int n = 0; n < R::N; ++n) {
    row.own[n] = load(own + n * kWidth);
    if (Product && !at.fresh) row.product[n] = load(product + n * kWidth);
  }
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
  if constexpr (Product)
    for (int n = 0; n < R::N; ++n) store(product + n * kWidth, row.product[n]);
}

template <bool Product>
void dot_rows(const Csr& w, const float* values, Panels<const float> own, Panels<const float> other, float* product,
              float* dots) {
  if (!own.count)
    for (int64_t edge = 0; edge < w.indptr[w.n_rows]; ++edge) dots[edge] = 0;
  with_lanes(own.lanes, [&](auto lanes) {
    for_each_visit(w, other, [&](const Visit& at) {
      const int64_t row = (at.panel * own.width + at.row) * lanes;
      dot_row<lanes, Product>(w, values, own.data + row, other.data + at.panel * other.width * lanes, product + row, dots, at);
    });
  });
}

}  // namespace

void sddmm(const Csr& w, Panels<const float> dy, Panels<const float> x, float* dw) {
  dot_rows<false>(w, nullptr, dy, x, nullptr, dw);
}

void backward(const Csr& w, const float* values, Panels<const float> dy, Panels<const float> x, Panels<float> dx, float* dw) {
  dot_rows<true>(w, values, x, dy, dx.data, dw);
}

}  // namespace dsae::DSAE_LEVEL
