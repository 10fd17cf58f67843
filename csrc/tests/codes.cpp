// Codes that are mostly zero: which latents live, and the products beside them.
#include <algorithm>

#include "laws.hpp"

namespace dsae_tests {

// The latents of each row, beside a loop over all pairs; ties are frequent.
void test_selection(const dsae::Kernels& k, int64_t n_rows, int64_t width, int64_t n, const std::string& where) {
  Floats z = floats(n_rows * width), thresholds = floats(width);
  for (float& x : z) x = std::round(3 * x) / 3;
  std::vector<double> largest, all;
  Ints expected_counts;
  for (int64_t row = 0; row < n_rows; ++row) {
    const float* const x = z.data() + row * width;
    int32_t count = 0;
    for (int64_t i = 0; i < width; ++i) {
      int64_t before = 0;
      for (int64_t j = 0; j < width; ++j) before += x[j] > x[i] || (x[j] == x[i] && j < i);
      if (x[i] <= 0 || before >= n) continue;
      largest.push_back(i), ++count;
    }
    expected_counts.push_back(count);
    for (int64_t i = 0; i < width; ++i)
      if (x[i] - thresholds[i] > -0.25f) all.push_back(i);
  }
  const auto compare = [&](const std::string& what, const std::vector<double>& expected, const auto& kernel) {
    run(what + " " + where, expected, kernel);
  };
  compare("topk", largest, [&](float* out) {
    Ints counts(n_rows), indices(n_rows * n);
    k.code_topk({z.data(), n_rows, width}, n, counts.data(), indices.data());
    check(counts == expected_counts, "topk counts " + where);
    for (int64_t row = 0; row < n_rows; ++row)
      for (int64_t i = 0; i < expected_counts[row]; ++i) *out++ = indices[row * n + i];
  });
  compare("above", all, [&](float* out) {
    Ints indptr(n_rows + 1), indices(all.size());
    k.code_above({z.data(), n_rows, width}, thresholds.data(), 0.25f, nullptr, indptr.data() + 1, nullptr);
    for (int64_t row = 0; row < n_rows; ++row) indptr[row + 1] += indptr[row];
    check(indptr[n_rows] == static_cast<int64_t>(all.size()), "above counts " + where);
    k.code_above({z.data(), n_rows, width}, thresholds.data(), 0.25f, indptr.data(), nullptr, indices.data());
    for (int32_t i : indices) *out++ = i;
  });
  if (z.empty()) return;
  Floats sorted = z;
  std::sort(sorted.begin(), sorted.end(), std::greater<float>());
  const int64_t kth = std::min<int64_t>(n * n_rows, z.size());
  check(k.kth_of_all(z.data(), z.size(), kth) == std::max(0.0f, sorted[kth - 1]), "the k-th largest " + where);
  z[width / 2] = -NAN;
  Ints counts(n_rows), indices(n_rows * n);
  k.code_topk({z.data(), n_rows, width}, n, counts.data(), indices.data());
  check(counts[0] == 1 && indices[0] == width / 2, "NaN lives " + where);
}

// `m` has a row for each latent; a share of the code lives.
void test_codes(const dsae::Kernels& k, const Matrix& m, double share, const std::string& where) {
  const int64_t n_samples = 7;
  const Matrix code(n_samples, m.n_rows, share);
  const Floats values = floats(m.nnz()), c = floats(code.nnz()), y = floats(n_samples * m.n_cols);
  std::vector<double> dots(code.nnz()), dm(m.nnz()), sums(m.n_rows), turned(y.size());
  Ints starts(m.n_rows + 1), samples;
  Floats by_latent;
  for (int64_t latent = 0; latent < m.n_rows; ++latent) {
    for (int64_t e = 0; e < code.nnz(); ++e) {
      if (code.indices[e] != latent) continue;
      samples.push_back(code.rows[e]), by_latent.push_back(c[e]);
      sums[latent] += c[e];
      for (int64_t edge = m.indptr[latent]; edge < m.indptr[latent + 1]; ++edge) {
        const double there = y[code.rows[e] * m.n_cols + m.indices[edge]];
        dots[e] += values[edge] * there;
        dm[edge] += c[e] * there;
      }
    }
    starts[latent + 1] = samples.size();
  }
  run("code_dots " + where, dots,
      [&](float* out) { k.code_dots(m.csr(), values.data(), code.csr(), {y.data(), n_samples, m.n_cols}, out); });
  const dsae::Csr latents = {starts.data(), samples.data(), m.n_rows};
  for (bool with : {false, true}) {
    std::vector<double> expected = dm;
    if (with) expected.insert(expected.end(), sums.begin(), sums.end());
    run("code_outer " + where, expected, [&](float* out) {
      k.code_outer(m.csr(), latents, by_latent.data(), {y.data(), n_samples, m.n_cols}, out,
                   with ? out + m.nnz() : nullptr);
    });
  }
  for (size_t i = 0; i < y.size(); ++i) turned[i % m.n_cols * n_samples + i / m.n_cols] = y[i];
  run("turn " + where, turned, [&](float* out) { k.turn({y.data(), n_samples, m.n_cols}, out); });
}

}  // namespace dsae_tests
