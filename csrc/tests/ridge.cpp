// Ridge regression of columns on others, against products of the whole matrix.
#include <algorithm>

#include "laws.hpp"
#include "rewire.hpp"

namespace dsae_tests {

// Ones at the edges of `m`, whose rows are samples.
void test_ridge(const dsae::Kernels& k, const Matrix& m, const std::string& where) {
  const int64_t n_rows = m.n_rows, n = m.n_cols, nnz = m.nnz();
  Ints indptr(n + 1), rows(nnz), slots(nnz);
  dsae::transpose(dsae::single(m.csr()), n, indptr.data(), rows.data(), slots.data());
  const Floats values = floats(nnz);
  Floats by_column(nnz);
  for (int64_t e = 0; e < nnz; ++e) by_column[e] = values[slots[e]];
  std::vector<double> gram(n * n);
  for (int64_t r = 0; r < n_rows; ++r)
    for (int64_t a = m.indptr[r]; a < m.indptr[r + 1]; ++a)
      for (int64_t b = m.indptr[r]; b < m.indptr[r + 1]; ++b)
        gram[m.indices[a] * n + m.indices[b]] += double{values[a]} * values[b];
  const float l2 = 0.7f;
  const Ints sizes = {2, 5};
  const Floats scales(2 * n, 1.0f);
  const dsae::RidgeData data = {{indptr.data(), rows.data(), n}, by_column.data(), m.csr(), values.data()};
  const int64_t room = sizes.back();
  Floats first;
  for (int threads : {1, 2, 3}) {
    dsae::set_max_threads(threads);
    Ints counts(n), indices(n * room);
    Floats weights(n * room);
    k.ridge(data, {sizes.data(), scales.data(), 2, l2, 1}, 0, n, {counts.data(), indices.data(), weights.data()});
    if (first.empty()) first = weights;
    bool good = same(weights, first);
    for (int64_t j = 0; j < n; ++j) {
      const int32_t *const s = indices.data() + j * room, count = counts[j];
      const float* const w = weights.data() + j * room;
      // the inputs are others, in order, and where all could be chosen all are
      int64_t possible = 0;
      for (int64_t i = 0; i < n; ++i) possible += i != j && gram[i * n + j] != 0;
      good &= count <= room && (possible < 2 || count >= 2);
      for (int32_t p = 0; p < count; ++p) good &= s[p] != j && (!p || s[p] > s[p - 1]);
      // the gradient is zero
      for (int32_t p = 0; p < count; ++p) {
        double gradient = l2 * w[p] - gram[s[p] * n + j], size = std::abs(gram[s[p] * n + j]);
        for (int32_t q = 0; q < count; ++q) gradient += gram[s[p] * n + s[q]] * w[q];
        good &= std::abs(gradient) <= 1e-3 * (1 + size);
      }
      // the largest product is among them
      int64_t best = -1;
      for (int64_t i = 0; i < n; ++i)
        if (i != j && (best < 0 || std::abs(gram[i * n + j]) > std::abs(gram[best * n + j]) * (1 + 1e-4))) best = i;
      if (best >= 0 && gram[best * n + j] != 0) {
        bool met = false;
        for (int32_t p = 0; p < count; ++p) met |= std::abs(gram[s[p] * n + j]) >= std::abs(gram[best * n + j]) * 0.999;
        good &= met;
      }
    }
    check(good, "ridge " + where + ", threads " + std::to_string(threads));
  }
  dsae::set_max_threads(0);
}

}  // namespace dsae_tests
