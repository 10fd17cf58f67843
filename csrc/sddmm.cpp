// dW = dY X^T at the live edges, and dX = W^T dY in the same pass over the transposed topology: the line that the one
// needs the other has just loaded. A row of the one factor stays in registers; the dot products of several edges end
// together, so that their horizontal sums are one transposed addition tree.
#include "cache.hpp"
#include "edges.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

template <bool Product>
void dot_rows(const Csr& w, const float* values, Panels<const float> own, Panels<const float> other, float* product,
              float* dots) {
  if (!own.count)
    for (int64_t edge = 0; edge < w.indptr[w.n_rows]; ++edge) dots[edge] = 0;
  with_lanes(own.lanes, [&](auto lanes) {
    for_each_visit(w, other, dot_block_bytes(), [&](const Visit& at) {
      const int64_t row = (at.panel * own.width + at.row) * lanes;
      dot_row<lanes, Product>(w, values, own.data + row, other.data + at.panel * other.width * lanes, product + row,
                              dots, at);
    });
  });
}

}  // namespace

void sddmm(const Csr& w, Panels<const float> dy, Panels<const float> x, float* dw) {
  dot_rows<false>(w, nullptr, dy, x, nullptr, dw);
}

void backward(const Csr& w, const float* values, Panels<const float> dy, Panels<const float> x, Panels<float> dx,
              float* dw) {
  dot_rows<true>(w, values, x, dy, dx.data, dw);
}

}  // namespace dsae::DSAE_LEVEL
