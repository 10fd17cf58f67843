// The squared error by Gram matrices, against a loop over all outputs.
#include "laws.hpp"
#include "rewire.hpp"
#include "windows.hpp"

namespace dsae_tests {

// Each edge once, those of a column of a window in order.
static void check_windows(const Matrix& m, int64_t height, const std::string& where) {
  Ints rows(m.nnz(), -1), slots(m.nnz(), -1), met(m.nnz());
  const std::vector<int32_t> cuts = dsae::window_edges(m.csr(), m.n_cols, height, rows.data(), slots.data());
  const int64_t n_windows = (m.n_rows + height - 1) / height;
  bool good = static_cast<int64_t>(cuts.size()) == n_windows * m.n_cols + 1 && cuts.back() == m.nnz();
  for (size_t cut = 0; good && cut + 1 < cuts.size(); ++cut)
    for (int32_t edge = cuts[cut]; edge < cuts[cut + 1]; ++edge) {
      const int32_t row = rows[edge], slot = slots[edge];
      ++met[slot];
      good &= m.rows[slot] == row && m.indices[slot] == static_cast<int32_t>(cut % m.n_cols);
      good &= row / height == static_cast<int64_t>(cut) / m.n_cols;
      good &= edge == cuts[cut] || rows[edge - 1] < row;
    }
  for (int32_t times : met) good &= times == 1;
  check(good, "windows of " + std::to_string(height) + " rows " + where);
}

void test_gram(const dsae::Kernels& k, const Matrix& m, int64_t n, float unseen, bool shifted,
               const std::string& where) {
  const int64_t n_out = m.n_rows, n_in = m.n_cols;
  for (int64_t height : {1, 7, 1 << 15}) check_windows(m, height, where);
  const Matrix columns(n_out, n, 0.3);  // the first is full
  const Floats values = floats(m.nnz()), bias = floats(n_out), aim = floats(columns.nnz()), x = floats(n * n_in),
               shift = floats(n_out);
  Ints indptr(n + 1), indices(columns.nnz()), slots(columns.nnz());
  dsae::transpose(dsae::single(columns.csr()), n, indptr.data(), indices.data(), slots.data());
  Floats by_sample(columns.nnz());
  for (int64_t e = 0; e < columns.nnz(); ++e) by_sample[e] = aim[slots[e]];
  std::vector<double> z(n * n_out), weight(n * n_out, unseen), expected(m.nnz() + n_out + n * n_in);
  for (int64_t b = 0; b < n; ++b) {
    for (int64_t r = 0; r < n_out; ++r) z[b * n_out + r] = bias[r] + (shifted ? shift[r] : 0);
    for (int64_t e = 0; e < m.nnz(); ++e) z[b * n_out + m.rows[e]] += double{values[e]} * x[b * n_in + m.indices[e]];
  }
  for (int64_t e = 0; e < columns.nnz(); ++e) {
    z[columns.indices[e] * n_out + columns.rows[e]] -= aim[e];
    weight[columns.indices[e] * n_out + columns.rows[e]] = 1;
  }
  double loss = 0;
  for (int64_t b = 0; b < n; ++b) {
    for (int64_t r = 0; r < n_out; ++r) {
      const double dz = weight[b * n_out + r] * z[b * n_out + r];
      loss += dz * z[b * n_out + r];
      expected[m.nnz() + r] += 2 * dz;
    }
    for (int64_t e = 0; e < m.nnz(); ++e) {
      const double dz = 2 * weight[b * n_out + m.rows[e]] * z[b * n_out + m.rows[e]];
      expected[e] += dz * x[b * n_in + m.indices[e]];
      expected[m.nnz() + n_out + b * n_in + m.indices[e]] += dz * values[e];
    }
  }
  Ints rows(m.nnz()), edges(m.nnz());
  const int64_t height = 7;
  const std::vector<int32_t> cuts = dsae::window_edges(m.csr(), n_in, height, rows.data(), edges.data());
  const dsae::GramTarget target = {columns.csr(),
                                   aim.data(),
                                   {indptr.data(), indices.data(), n},
                                   by_sample.data(),
                                   shifted ? shift.data() : nullptr};
  double first = NAN;
  for (const bool dense : {false, true}) {
    const dsae::GramLayer layer = {dsae::single(m.csr()), values.data(), bias.data(), dense ? rows.data() : nullptr,
                                   edges.data(),          cuts.data(),   height};
    run("gradients by Gram matrices " + where, expected, [&](float* out) {
      float* const dx = out + m.nnz() + n_out;
      const double sum =
          k.gram_loss(layer, {x.data(), n, n_in}, target, unseen, 2, {out, out + m.nnz(), {dx, n, n_in}});
      if (std::isnan(first)) first = sum;
      check(sum == first && std::abs(sum - loss) <= 1e-4 * (1 + loss), "loss by Gram matrices " + where);
    });
    first = NAN;
  }
}

}  // namespace dsae_tests
