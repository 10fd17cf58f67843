// What happens to rows without edges: activations, and the change to panels and back.
#include "laws.hpp"
#include "take.hpp"

namespace dsae_tests {

// Places in the table of activate.cpp.
enum Kind { identity, relu, sigmoid, threshold, softmax, topk };

static double activated(int kind, double z, double bound) {
  switch (kind) {
    case relu: return z > 0 ? z : 0;
    case sigmoid: return 1 / (1 + std::exp(-z));
    case Kind::threshold: return z > bound ? z : 0;
    default: return z;
  }
}

void test_activations(const dsae::Kernels& k, int64_t count, int64_t width, int lanes, const std::string& where) {
  const Floats z = floats(count * width * lanes), thresholds = floats(width);
  const auto matches = [&](int kind, const std::vector<double>& expected) {
    Floats out = z;
    const int64_t live =
        k.activations[kind].apply({&k.activations[kind], 3, thresholds.data()}, {out.data(), count, width, lanes});
    int64_t nonzero = 0;
    for (float number : out) nonzero += number != 0;
    const bool counted = kind == identity || kind == softmax ? live >= nonzero : live == nonzero;
    check(close(out, expected) && counted, "activation " + std::to_string(kind) + " " + where);
  };
  std::vector<double> expected(z.size());
  for (auto kind : {identity, relu, sigmoid, threshold}) {
    for (size_t i = 0; i < z.size(); ++i) expected[i] = activated(kind, z[i], thresholds[i / lanes % width]);
    matches(kind, expected);
  }
  if (lanes > 1) return;
  std::vector<double> largest(z.size());
  for (int64_t row = 0; row < count; ++row) {
    double sum = 0;
    for (int64_t i = 0; i < width; ++i) sum += std::exp(double(z[row * width + i]));
    for (int64_t i = 0; i < width; ++i) {
      const float here = z[row * width + i];
      int64_t above = 0;
      for (int64_t j = 0; j < width; ++j) above += z[row * width + j] > here;
      expected[row * width + i] = std::exp(double(here)) / sum;
      largest[row * width + i] = above < 3 && here > 0 ? here : 0;
    }
  }
  matches(softmax, expected);
  matches(topk, largest);
}

void test_panels(const dsae::Kernels& k, int64_t n_rows, int64_t width, int lanes, const std::string& where) {
  const Floats rows = floats(n_rows * width);
  const int64_t count = (n_rows + lanes - 1) / lanes;
  const Matrix m(n_rows, width, 0.3);
  const Floats values = floats(m.nnz());
  std::vector<double> packed(count * width * lanes), from_csr(packed.size());
  const auto at = [&](int64_t r, int64_t c) { return (r / lanes * width + c) * lanes + r % lanes; };
  for (int64_t i = 0; i < n_rows * width; ++i) packed[at(i / width, i % width)] = rows[i];
  for (int64_t e = 0; e < m.nnz(); ++e) from_csr[at(m.rows[e], m.indices[e])] = values[e];
  run("pack " + where, packed, [&](float* out) { k.pack({rows.data(), n_rows, width}, {out, count, width, lanes}); });
  run("pack_csr " + where, from_csr,
      [&](float* out) { k.pack_csr(m.csr(), values.data(), {out, count, width, lanes}); });
  const Floats panels(packed.begin(), packed.end());
  run("unpack " + where, {rows.begin(), rows.end()},
      [&](float* out) { k.unpack({panels.data(), count, width, lanes}, {out, n_rows, width}); });
}

// Some rows, dense and CSR, in any order.
void test_taken(const Matrix& m, const std::string& where) {
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < 2 * m.n_rows; ++i) chosen.push_back(engine() % m.n_rows);
  const int64_t n = chosen.size();
  const Floats rows = floats(m.n_rows * m.n_cols), values = floats(m.nnz());
  Floats dense(n * m.n_cols);
  dsae::take_rows({rows.data(), m.n_rows, m.n_cols}, chosen.data(), {dense.data(), n, m.n_cols});
  Ints indptr(n + 1);
  dsae::count_taken(m.csr(), chosen.data(), n, indptr.data());
  Ints indices(indptr[n]);
  Floats taken(indptr[n]);
  dsae::take_csr(m.csr(), values.data(), chosen.data(), {indptr.data(), nullptr, n}, indices.data(), taken.data());
  bool good = true;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t c = 0; c < m.n_cols; ++c) good &= dense[i * m.n_cols + c] == rows[chosen[i] * m.n_cols + c];
    const int64_t from = m.indptr[chosen[i]], size = m.indptr[chosen[i] + 1] - from;
    good &= indptr[i + 1] - indptr[i] == size;
    for (int64_t e = 0; good && e < size; ++e)
      good &= indices[indptr[i] + e] == m.indices[from + e] && taken[indptr[i] + e] == values[from + e];
  }
  check(good, "rows at random " + where);
}

// NaN stays NaN, and is never made an integer: the sanitizer watches.
void test_nan(const dsae::Kernels& k, int lanes, const std::string& where) {
  for (int kind : {sigmoid, softmax}) {
    Floats z = floats(40);
    z[7] = NAN;
    k.activations[kind].apply({&k.activations[kind], 0, nullptr}, {z.data(), 1, 40, 1});
    check(std::isnan(z[7]) && (kind == softmax || std::isfinite(z[6])), "NaN through activation " + where);
  }
  const Matrix m(3, 5, 1.0);
  const Floats values = floats(m.nnz()), x = floats(5 * lanes);
  Floats bias = floats(3), tile(2 * lanes), dw(m.nnz()), dbias(3);
  bias[1] = NAN;
  const Ints indptr(4);
  for (int loss = 0; loss < k.n_losses; ++loss) {
    const double sum =
        k.tiled_loss({dsae::single(m.csr()), values.data(), bias.data(), {}, nullptr}, {x.data(), 1, 5, lanes},
                     {{indptr.data(), nullptr, 3}, nullptr, nullptr}, loss, lanes - 1, 1,
                     {dw.data(), dbias.data(), {nullptr, 0, 0, lanes}, {tile.data(), 1, 2, lanes}});
    check(std::isnan(sum) && std::isnan(dbias[1]) && std::isfinite(dbias[0]), "NaN through the loss " + where);
  }
}

}  // namespace dsae_tests
