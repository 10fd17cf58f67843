// One sample: the vector fits in cache, so the weights are what is streamed.
#include "level.hpp"
#include "parallel.hpp"

namespace dsae::DSAE_LEVEL {

void spmv(const Csr& w, const float* values, const float* bias, const float* x, float* y) {
  constexpr int kChains = 4;
  const int64_t total = cost(w);
  parallel(total, [&](int thread, int n) {
    const int64_t end = row_at_cost(w, total * (thread + 1) / n);
    for (int64_t row = row_at_cost(w, total * thread / n); row < end; ++row) {
      float sum[kChains] = {bias ? bias[row] : 0};
      int64_t edge = w.indptr[row];
      const int64_t last = w.indptr[row + 1];
      for (; edge + kChains <= last; edge += kChains)
        for (int i = 0; i < kChains; ++i) sum[i] += values[edge + i] * x[w.indices[edge + i]];
      for (; edge < last; ++edge) sum[0] += values[edge] * x[w.indices[edge]];
      y[row] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
  });
}

}  // namespace dsae::DSAE_LEVEL
