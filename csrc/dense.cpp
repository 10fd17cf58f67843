#include "dense.hpp"

#include <algorithm>

#include "parallel.hpp"

namespace dsae {

namespace {

// body(row, its first slot, slots from one edge to the next, columns, their number) for every row.
template <class Body>
void for_rows(const Blocks& w, int64_t n_cols, const Body& body) {
  const Csr& g = w.groups;
  parallel_range(g.n_rows, w.n_rows * n_cols * sizeof(float), [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      const int64_t width = w.width(group), first = w.slot(group, g.indptr[group]);
      for (int64_t r = 0; r < width; ++r)
        body(group * w.size + r, first + r, width, g.indices + g.indptr[group],
             int64_t{g.indptr[group + 1]} - g.indptr[group]);
    }
  });
}

}  // namespace

void to_dense(const Blocks& w, const float* values, int64_t n_cols, float* matrix) {
  for_rows(w, n_cols, [&](int64_t row, int64_t slot, int64_t stride, const int32_t* columns, int64_t count) {
    float* const to = matrix + row * n_cols;
    std::fill_n(to, n_cols, 0.0f);
    for (int64_t i = 0; i < count; ++i) to[columns[i]] = values[slot + i * stride];
  });
}

void from_dense(const Blocks& w, const float* matrix, int64_t n_cols, float* values) {
  for_rows(w, n_cols, [&](int64_t row, int64_t slot, int64_t stride, const int32_t* columns, int64_t count) {
    const float* const from = matrix + row * n_cols;
    for (int64_t i = 0; i < count; ++i) values[slot + i * stride] = from[columns[i]];
  });
}

}  // namespace dsae
