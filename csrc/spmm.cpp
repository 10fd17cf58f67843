// Y = W X + b. One output row stays in registers over its edges: one load per multiply-add, one store per output.
// The bound is that load, a 64-byte line from L2; docs/design/kernels.md has it beside what was measured and tried.
#include "cache.hpp"
#include "edges.hpp"

namespace dsae::DSAE_LEVEL {

void spmm(const Csr& w, const float* values, const float* bias, Panels<const float> x, Panels<float> y) {
  with_lanes(x.lanes, [&](auto lanes) {
    for_each_visit(w, x, spmm_block_bytes(x.lanes), [&](const Visit& at) {
      spmm_row<lanes>(w, values, bias, x.data + at.panel * x.width * lanes,
                      y.data + (at.panel * y.width + at.row) * lanes, at);
    });
  });
}

}  // namespace dsae::DSAE_LEVEL
