// Products on lines of 16 bits, and the way there and back. They pay where lines are the bound: docs/design/kernels.md.
#include "bf16.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

template <class Body>
inline void with_bf16_lanes(int lanes, const Body& body) {
  if (lanes == 32) body(Lanes<32>());
  else body(Lanes<64>());
}

// Panels of float32 may hold several of 16 bits side by side: where one of theirs lies.
template <class T>
inline T* part(Panels<T> whole, int64_t panel, int64_t row, int lanes) {
  const int64_t parts = whole.lanes / lanes;
  return whole.data + (panel / parts * whole.width + row) * whole.lanes + panel % parts * lanes;
}

// body(panel, feature) for every line of `x`.
template <class Body>
void for_each_line(Panels<const uint16_t> x, const Body& body) {
  parallel_range(x.count * x.width, x.count * x.width * x.lanes, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i / x.width, i % x.width);
  });
}

template <bool Product>
void dot_rows(const Csr& w, const float* values, Panels<const uint16_t> own, Panels<const uint16_t> other,
              Panels<float> product, float* dots) {
  if (!own.count)
    for (int64_t edge = 0; edge < w.indptr[w.n_rows]; ++edge) dots[edge] = 0;
  with_bf16_lanes(own.lanes, [&](auto lanes) {
    for_each_visit(w, other, bf16_block_bytes(), [&](const Visit& at) {
      bf16_dot_row<lanes, Product>(w, values, own.data + (at.panel * own.width + at.row) * lanes,
                                   other.data + at.panel * other.width * lanes,
                                   Product ? part(product, at.panel, at.row, lanes) : nullptr, dots, at);
    });
  });
}

}  // namespace

void bf16_pack(Panels<const float> from, Panels<uint16_t> to) {
  with_bf16_lanes(to.lanes, [&](auto lanes) {
    for_each_line({to.data, to.count, to.width, to.lanes}, [&](int64_t panel, int64_t f) {
      narrow_line<lanes>(part(from, panel, f, lanes), to.data + (panel * to.width + f) * lanes);
    });
  });
}

void bf16_unpack(Panels<const uint16_t> from, Panels<float> to) {
  with_bf16_lanes(from.lanes, [&](auto lanes) {
    for_each_line(from, [&](int64_t panel, int64_t f) {
      widen_line<lanes>(from.data + (panel * from.width + f) * lanes, part(to, panel, f, lanes));
    });
  });
}

void bf16_spmm(const Csr& w, const float* values, const float* bias, Panels<const uint16_t> x, Panels<float> y) {
  with_bf16_lanes(x.lanes, [&](auto lanes) {
    for_each_visit(w, x, bf16_block_bytes(), [&](const Visit& at) {
      bf16_spmm_row<lanes>(w, values, bias, x.data + at.panel * x.width * lanes, part(y, at.panel, at.row, lanes), at);
    });
  });
}

void bf16_sddmm(const Csr& w, Panels<const uint16_t> dy, Panels<const uint16_t> x, float* dw) {
  dot_rows<false>(w, nullptr, dy, x, {}, dw);
}

void bf16_backward(const Csr& w, const float* values, Panels<const uint16_t> dy, Panels<const uint16_t> x,
                   Panels<float> dx, float* dw) {
  dot_rows<true>(w, values, x, dy, dx, dw);
}

}  // namespace dsae::DSAE_LEVEL
