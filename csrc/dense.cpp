#include "dense.hpp"

#include <algorithm>

#include "parallel.hpp"

namespace dsae {

void to_dense(const Csr& w, const float* values, int64_t n_cols, float* matrix) {
  parallel_range(w.n_rows, w.n_rows * n_cols, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* row = matrix + r * n_cols;
      std::fill_n(row, n_cols, 0.0f);
      for (int64_t e = w.indptr[r]; e < w.indptr[r + 1]; ++e) row[w.indices[e]] = values[e];
    }
  });
}

void from_dense(const Csr& w, const float* matrix, int64_t n_cols, float* values) {
  parallel_range(w.n_rows, w.n_rows * n_cols, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t e = w.indptr[r]; e < w.indptr[r + 1]; ++e) values[e] = matrix[r * n_cols + w.indices[e]];
  });
}

}  // namespace dsae
