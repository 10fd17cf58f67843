// Y = W X + b, and dX = W^T dY with dW = dY X^T, for a matrix of blocks.
#include "block_backward.hpp"

namespace dsae::DSAE_LEVEL {
void block_spmm(const Blocks& w, const float* values, const float* bias, Panels<const float> x, Panels<float> y) {
  with_block_size(w.size, [&](auto rows) {
    with_lanes(x.lanes, [&](auto lanes) {
      const auto visit = [&](const Visit& at) {
        block_row<rows, lanes>(w, values, bias, x.data + at.panel * x.width * lanes,
                               y.data + (at.panel * y.width + at.row * rows) * lanes, at);
      };
      for_each_visit(w.groups, x, l2_bytes() / 2, visit, rows);
    });
  });
}

void block_spmv(const Blocks& w, const float* values, const float* bias, const float* x, float* y) {
  const Csr& g = w.groups;
  const int64_t total = cost(g);
  with_block_size(w.size, [&](auto rows) {
    parallel(total * rows, [&](int thread, int n) {
      const int64_t end = row_at_cost(g, total * (thread + 1) / n);
      for (int64_t group = row_at_cost(g, total * thread / n); group < end; ++group) {
        const int64_t width = w.width(group), first = g.indptr[group], last = g.indptr[group + 1];
        const float* numbers = values + w.slot(group, first);
        float sum[rows] = {};
        if (width == rows) {
          for (int64_t block = first; block < last; ++block, numbers += rows)
            for (int r = 0; r < rows; ++r) sum[r] += numbers[r] * x[g.indices[block]];
        } else {
          for (int64_t block = first; block < last; ++block, numbers += width)
            for (int r = 0; r < width; ++r) sum[r] += numbers[r] * x[g.indices[block]];
        }
        for (int r = 0; r < width; ++r) y[group * rows + r] = sum[r] + (bias ? bias[group * rows + r] : 0);
      }
    });
  });
}

void block_backward(const Blocks& w, const float* values, Panels<const float> dy, Panels<const float> x,
                    Panels<float> dx, float* dw) {
  if (!x.count && dw)
    for (int64_t slot = 0; slot < w.nnz(); ++slot) dw[slot] = 0;
  with_block_size(w.size, [&](auto rows) {
    with_lanes(x.lanes,
               [&](auto lanes) { backward_blocks<rows, lanes>(w, values, dy, x, dx, dw, 0, [](int64_t, int64_t) {}); });
  });
}

}  // namespace dsae::DSAE_LEVEL
