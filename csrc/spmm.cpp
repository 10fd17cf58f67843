// Y = W X + b. One output row stays in registers over its edges: one load per multiply-add, one store per output.
// The bound is that load, a 64-byte line from L2; docs/design/kernels.md has it beside what was measured and tried.
#include "level.hpp"
#include "tiles.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr int kChains = 8;  // multiply-adds in flight: latency 4, two a cycle

template <int L>
inline void spmm_row(const Csr& w, const float* values, const float* bias, const float* x, float* y, const Visit& at) {
  constexpr int N = L / kWidth < kChains ? L / kWidth : kChains;  // vectors held at once
  constexpr int U = kChains / N;                                  // edges in flight
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

}  // namespace

void spmm(const Csr& w, const float* values, const float* bias, Panels<const float> x, Panels<float> y) {
  with_lanes(x.lanes, [&](auto lanes) {
    for_each_visit(w, x, [&](const Visit& at) {
      spmm_row<lanes>(w, values, bias, x.data + at.panel * x.width * lanes,
                      y.data + (at.panel * y.width + at.row) * lanes, at);
    });
  });
}

}  // namespace dsae::DSAE_LEVEL
