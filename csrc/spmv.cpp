// One sample: the vector fits in cache, so the weights are what is streamed.
#include "level.hpp"
#include "parallel.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

// Four sums, so that an addition need not wait for the one before.
inline float dot(const float* values, const int32_t* indices, int64_t size, const float* x, float a) {
  float b = 0, c = 0, d = 0;
  int64_t i = 0;
  for (; i + 4 <= size; i += 4) {
    a += values[i] * x[indices[i]];
    b += values[i + 1] * x[indices[i + 1]];
    c += values[i + 2] * x[indices[i + 2]];
    d += values[i + 3] * x[indices[i + 3]];
  }
  for (; i < size; ++i) a += values[i] * x[indices[i]];
  return (a + b) + (c + d);
}

}  // namespace

void spmv(const Csr& w, const float* values, const float* bias, const float* x, float* y) {
  const int64_t total = cost(w);
  parallel(total, [=](int thread, int n) {
    const int64_t end = row_at_cost(w, total * (thread + 1) / n);
    for (int64_t row = row_at_cost(w, total * thread / n); row < end; ++row) {
      const int64_t first = w.indptr[row];
      y[row] = dot(values + first, w.indices + first, w.indptr[row + 1] - first, x, bias ? bias[row] : 0);
    }
  });
}

}  // namespace dsae::DSAE_LEVEL
