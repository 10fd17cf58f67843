// Adam's step with a learning rate for every row. Rows are short, so edges are taken in runs whose rates were written
// out before: then neither square root nor division waits for a row to end.
#include "level.hpp"
#include "parallel.hpp"

namespace dsae::DSAE_LEVEL {

namespace {
constexpr int64_t kRun = 512;
constexpr int64_t kWorkPerEdge = 8;
}  // namespace

void adam(const Csr& w, int64_t nnz, const AdamStep& step, const float* grad, float* values, float* mean,
          float* square) {
  const float typical = static_cast<float>(nnz) / (w.n_rows ? w.n_rows : 1);
  parallel_range(nnz, nnz * kWorkPerEdge, [&](int64_t begin, int64_t end) {
    int64_t row = row_of(w, begin);
    float rates[kRun];
    for (int64_t at = begin; at < end; at += kRun) {
      const int64_t count = end - at < kRun ? end - at : kRun;
      for (int64_t i = 0; i < count;) {
        while (w.indptr[row + 1] <= at + i) ++row;
        const float fan_in = static_cast<float>(w.indptr[row + 1] - w.indptr[row]);
        const float rate = step.rate / (fan_in < typical ? typical : fan_in);
        const int64_t left = w.indptr[row + 1] - at, stop = left < count ? left : count;
        for (; i < stop; ++i) rates[i] = rate;
      }
      for (int64_t i = 0; i < count; ++i) {
        const int64_t e = at + i;
        const float m = mean[e] + (1 - step.beta1) * (grad[e] - mean[e]);
        const float v = step.beta2 * square[e] + (1 - step.beta2) * grad[e] * grad[e];
        mean[e] = m;
        square[e] = v;
        values[e] -= rates[i] * m / (__builtin_sqrtf(v) * step.root + step.epsilon);
      }
    }
  });
}

}  // namespace dsae::DSAE_LEVEL
