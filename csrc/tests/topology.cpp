// Edges found, moved, drawn and chosen: against a look at every pair.
#include <algorithm>
#include <numeric>

#include "dense.hpp"
#include "grow.hpp"
#include "laws.hpp"
#include "rewire.hpp"

namespace dsae_tests {

void test_topology(const dsae::Kernels& k, const Matrix& m, const std::string& where) {
  const int64_t nnz = m.nnz();
  Ints indptr(m.n_cols + 1), indices(nnz), slots(nnz);
  for (int threads = 3; threads >= 1; --threads) {
    dsae::set_max_threads(threads);
    dsae::transpose(dsae::single(m.csr()), m.n_cols, indptr.data(), indices.data(), slots.data());
    int64_t next = 0;
    bool good = indptr[0] == 0;
    for (int64_t c = 0; c < m.n_cols; ++c) {
      for (int64_t e = 0; e < nnz; ++e) {
        if (m.indices[e] != c) continue;
        good &= slots[next] == e && indices[next] == m.rows[e];
        ++next;
      }
      good &= indptr[c + 1] == next;
    }
    check(good, "transpose " + where);
  }

  const Floats values = floats(nnz);
  std::vector<double> moved(nnz);
  for (int64_t e = 0; e < nnz; ++e) moved[e] = values[slots[e]];
  run("gather " + where, moved, [&](float* out) { k.gather(values.data(), slots.data(), out, nnz); });

  std::vector<double> matrix(m.n_rows * m.n_cols);
  for (int64_t e = 0; e < nnz; ++e) matrix[m.rows[e] * m.n_cols + m.indices[e]] = values[e];
  run("spread " + where, matrix,
      [&](float* out) { dsae::to_dense(dsae::single(m.csr()), values.data(), m.n_cols, out); });
  const Floats dense = floats(matrix.size());
  std::vector<double> at_edges(nnz);
  for (int64_t e = 0; e < nnz; ++e) at_edges[e] = dense[m.rows[e] * m.n_cols + m.indices[e]];
  run("collect " + where, at_edges,
      [&](float* out) { dsae::from_dense(dsae::single(m.csr()), dense.data(), m.n_cols, out); });

  std::vector<double> back(nnz);
  for (int64_t e = 0; e < nnz; ++e) back[slots[e]] = values[e];
  run("scatter " + where, back, [&](float* out) { k.scatter(values.data(), slots.data(), out, nnz); });
}

void test_faults(const Matrix& m, const std::string& where) {
  const auto fault = [&](const Matrix& changed) { return dsae::find_fault(changed.csr(), m.nnz(), m.n_cols); };
  check(fault(m) == dsae::Fault::none, "no fault " + where);
  for (int64_t e = 0; e < m.nnz(); ++e) {
    Matrix changed = m;
    changed.indices[e] = e % 2 ? -1 : static_cast<int32_t>(m.n_cols);
    check(fault(changed) == dsae::Fault::outside, "an edge outside " + where);
    if (!e || m.rows[e - 1] != m.rows[e]) continue;
    changed.indices[e] = m.indices[e - 1];
    check(fault(changed) == dsae::Fault::order, "an edge twice " + where);
  }
  for (int64_t r = 0; m.nnz() && r <= m.n_rows; ++r) {
    Matrix changed = m;
    changed.indptr[r] = r ? -1 : 1;
    check(fault(changed) == dsae::Fault::indptr, "a row that ends before it begins " + where);
  }
}

// Drop every other slot, grow every third dead edge; some of the dropped grow again.
void test_rewire(const Matrix& m, const std::string& where) {
  std::vector<char> live(m.n_rows * m.n_cols), keep(m.nnz());
  for (int64_t e = 0; e < m.nnz(); ++e) keep[e] = e % 2, live[m.rows[e] * m.n_cols + m.indices[e]] = 1;
  Matrix grown(m.n_rows, m.n_cols, 0), expected = grown;
  Ints source;
  for (int64_t row = 0, e = 0; row < m.n_rows; ++row) {
    for (int64_t col = 0; col < m.n_cols; ++col) {
      const int64_t i = row * m.n_cols + col;
      const bool kept = live[i] && keep[e], grow = !kept && i % 3 == 0;
      if (kept || grow) expected.indices.push_back(col), source.push_back(kept ? e : -1);
      if (grow) grown.indices.push_back(col);
      e += live[i];
    }
    expected.indptr[row + 1] = expected.nnz();
    grown.indptr[row + 1] = grown.nnz();
  }
  const bool* kept = reinterpret_cast<bool*>(keep.data());
  const Floats values = floats(m.nnz());
  std::vector<double> moved(source.size());
  for (size_t i = 0; i < source.size(); ++i) moved[i] = source[i] < 0 ? 0 : values[source[i]];
  for (int threads = 1; threads <= 3; ++threads) {
    dsae::set_max_threads(threads);
    Ints indptr(m.n_rows + 1), indices(source.size()), got(source.size());
    const int64_t nnz = dsae::count_rewired(m.csr(), kept, grown.csr(), indptr.data());
    dsae::rewire(m.csr(), kept, grown.csr(), indptr.data(), indices.data(), got.data());
    check(nnz == expected.nnz() && indptr == expected.indptr && indices == expected.indices && got == source,
          "rewire " + where);
  }
  run("move " + where, moved,
      [&](float* out) { dsae::move(values.data(), m.nnz(), source.data(), source.size(), out); });
}

void test_draw(const Matrix& m, int64_t n, const std::string& where) {
  std::vector<char> live(m.n_rows * m.n_cols);
  for (int64_t e = 0; e < m.nnz(); ++e) live[m.rows[e] * m.n_cols + m.indices[e]] = 1;
  Ints first;
  for (int threads = 1; threads <= 3; ++threads) {
    dsae::set_max_threads(threads);
    Ints indptr(m.n_rows + 1, -1), indices(n, -1);
    dsae::draw_counts(m.csr(), m.n_cols, n, 1, indptr.data());
    check(indptr[0] == 0 && indptr[m.n_rows] == n, "as many drawn as asked for " + where);
    dsae::draw_columns(m.csr(), m.n_cols, 1, indptr.data(), indices.data());
    check(dsae::find_fault({indptr.data(), indices.data(), m.n_rows}, n, m.n_cols) == dsae::Fault::none,
          "drawn in order " + where);
    bool dead = true;
    for (int64_t r = 0; r < m.n_rows; ++r)
      for (int64_t e = indptr[r]; e < indptr[r + 1]; ++e) dead &= !live[r * m.n_cols + indices[e]];
    check(dead, "drawn among the dead " + where);
    if (threads == 1) first = indices;
    check(indices == first, "drawn the same by any number of threads " + where);
  }
}

void test_first(const Matrix& m, const std::string& where) {
  Ints order(m.n_cols), lengths(m.n_rows), expected;
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), engine);
  for (int32_t& length : lengths) length = engine() % (m.n_cols + 1);
  for (int64_t r = 0; r < m.n_rows; ++r) {
    std::vector<char> first(m.n_cols);
    for (int32_t i = 0; i < lengths[r]; ++i) first[order[i]] = 1;
    for (int64_t e = m.indptr[r]; e < m.indptr[r + 1]; ++e) first[m.indices[e]] = 0;
    for (int64_t c = 0; c < m.n_cols; ++c)
      if (first[c]) expected.push_back(c);
  }
  for (int threads = 1; threads <= 3; ++threads) {
    dsae::set_max_threads(threads);
    Ints indptr(m.n_rows + 1), indices(expected.size());
    const int64_t n = dsae::count_first(m.csr(), m.n_cols, order.data(), lengths.data(), indptr.data());
    check(n == static_cast<int64_t>(expected.size()), "as many as the first hold " + where);
    dsae::first_columns(m.csr(), m.n_cols, order.data(), lengths.data(), indptr.data(), indices.data());
    check(indices == expected, "the dead among the first " + where);
  }
}

void test_smallest(int64_t size, int64_t n) {
  Floats scores = floats(size);
  const float special[] = {0.0f, -0.0f, NAN, -NAN, INFINITY, -INFINITY, 1e-42f, 1.0f};
  for (int64_t i = 0; i < size; ++i)
    if (i % 3 != 1) scores[i] = special[engine() % 8];
  Ints order(size);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return std::isnan(scores[b]) ? !std::isnan(scores[a]) : scores[a] < scores[b];
  });
  std::vector<char> expected(size), got(size, 7);
  for (int64_t i = 0; i < n; ++i) expected[order[i]] = 1;
  dsae::smallest(scores.data(), size, n, reinterpret_cast<bool*>(got.data()));
  check(got == expected, "the " + std::to_string(n) + " smallest of " + std::to_string(size));
}

}  // namespace dsae_tests
