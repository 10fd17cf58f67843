// dW = dY X^T at the live edges. A row of dY stays in registers; as many edges as a vector has lanes end together, so
// that their horizontal sums are one transposed addition tree.
#include "level.hpp"
#include "parallel.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

template <int L>
struct Dots {
  static constexpr int N = L / kWidth;
  Vec dy[N];

  void take(const float* row) {
    for (int n = 0; n < N; ++n) dy[n] = load(row + n * kWidth);
  }
  Vec with(const float* x) const {
    Vec sum = dy[0] * load(x);
    for (int n = 1; n < N; ++n) sum += dy[n] * load(x + n * kWidth);
    return sum;
  }
};

// Edges [begin, end) of one panel, added to dw.
template <int L>
void sddmm_edges(const Csr& w, const float* dy, const float* x, float* dw, int64_t begin, int64_t end) {
  int64_t row = row_of(w, begin), last = w.indptr[row + 1];
  Dots<L> dots;
  dots.take(dy + row * L);
  const auto column = [&](int64_t edge) { return x + int64_t{w.indices[edge]} * L; };
  for (int64_t group = begin; group < end; group += kWidth) {
    const int64_t stop = group + kWidth < end ? group + kWidth : end;
    if (group + kWidth <= last && group + kWidth <= end) {
      Vec part[kWidth];
      for (int i = 0; i < kWidth; ++i) part[i] = dots.with(column(group + i));
      store(dw + group, load(dw + group) + sums(part));
    } else {
      Vec part[kWidth];
      for (int64_t edge = group; edge < stop; ++edge) {
        while (edge >= last) {
          last = w.indptr[++row + 1];
          dots.take(dy + row * L);
        }
        part[edge - group] = dots.with(column(edge));
      }
      for (int64_t i = stop - group; i < kWidth; ++i) part[i] = Vec{};
      const Vec sum = sums(part);
      for (int64_t edge = group; edge < stop; ++edge) dw[edge] += sum[edge - group];
    }
  }
}

}  // namespace

void sddmm(const Csr& w, Panels<const float> dy, Panels<const float> x, float* dw) {
  const int64_t nnz = w.indptr[w.n_rows];
  parallel_range(nnz, nnz * x.lanes * x.count, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) dw[i] = 0;
    if (begin == end) return;
    for (int64_t p = 0; p < x.count; ++p)
      with_lanes(x.lanes, [&](auto lanes) {
        sddmm_edges<lanes>(w, dy.data + p * dy.width * lanes, x.data + p * x.width * lanes, dw, begin, end);
      });
  });
}

}  // namespace dsae::DSAE_LEVEL
