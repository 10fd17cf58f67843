// The squared error by Gram matrices, against a loop over all outputs.
#include "groups.hpp"
#include "laws.hpp"
#include "rewire.hpp"

namespace dsae_tests {

// Each edge once, those of a group in rows of one length, those of a column in order.
static void check_groups(const Matrix& m, int64_t most, const std::string& where) {
  Ints rows(m.nnz(), -1), slots(m.nnz(), -1), met(m.nnz());
  const dsae::Groups groups = dsae::group_rows(m.csr(), m.n_cols, most, rows.data(), slots.data());
  bool good = groups.cuts.size() == groups.lengths.size() * m.n_cols + 1 && groups.cuts.back() == m.nnz();
  for (size_t cut = 0; good && cut + 1 < groups.cuts.size(); ++cut)
    for (int32_t edge = groups.cuts[cut]; edge < groups.cuts[cut + 1]; ++edge) {
      const int32_t row = rows[edge], slot = slots[edge], length = m.indptr[row + 1] - m.indptr[row];
      const int32_t grouped = groups.lengths[cut / m.n_cols];
      ++met[slot];
      good &= m.rows[slot] == row && m.indices[slot] == static_cast<int32_t>(cut % m.n_cols);
      good &= grouped ? grouped == length : length > dsae::kGroupedLength;
      good &= edge == groups.cuts[cut] || rows[edge - 1] < row;
    }
  for (int32_t times : met) good &= times == 1;
  check(good, "groups of rows, at most " + std::to_string(most) + " " + where);
}

void test_gram(const dsae::Kernels& k, const Matrix& m, int64_t n, float unseen, bool shifted,
               const std::string& where) {
  const int64_t n_out = m.n_rows, n_in = m.n_cols;
  for (int64_t most : {1, 40, 1 << 15}) check_groups(m, most, where);
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
  const dsae::Groups groups = dsae::group_rows(m.csr(), n_in, 40, rows.data(), edges.data());
  const dsae::GramLayer layer = {
      m.csr(),      values.data(),      bias.data(),           rows.data(),
      edges.data(), groups.cuts.data(), groups.lengths.data(), static_cast<int64_t>(groups.lengths.size())};
  const dsae::GramTarget target = {columns.csr(),
                                   aim.data(),
                                   {indptr.data(), indices.data(), n},
                                   by_sample.data(),
                                   shifted ? shift.data() : nullptr};
  double first = NAN;
  run("gradients by Gram matrices " + where, expected, [&](float* out) {
    float* const dx = out + m.nnz() + n_out;
    const double sum = k.gram_loss(layer, {x.data(), n, n_in}, target, unseen, 2, {out, out + m.nnz(), {dx, n, n_in}});
    if (std::isnan(first)) first = sum;
    check(sum == first && std::abs(sum - loss) <= 1e-4 * (1 + loss), "loss by Gram matrices " + where);
  });
}

}  // namespace dsae_tests
