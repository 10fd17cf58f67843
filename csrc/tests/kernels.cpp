// Every kernel, at every level this CPU runs, against a triple loop; and the same bits on 1, 2 and 3 threads.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels.hpp"
#include "parallel.hpp"
#include "rewire.hpp"

namespace {

using Floats = std::vector<float>;
using Ints = std::vector<int32_t>;

std::mt19937 engine(0);
int passed = 0, failed = 0;

void check(bool good, const std::string& what) {
  good ? ++passed : ++failed;
  if (!good) std::printf("FAILED %s\n", what.c_str());
}

Floats floats(int64_t size) {
  std::normal_distribution<float> normal;
  Floats v(size);
  for (float& x : v) x = normal(engine);
  return v;
}

bool close(const Floats& got, const std::vector<double>& expected) {
  for (size_t i = 0; i < got.size(); ++i)
    if (!(std::abs(got[i] - expected[i]) <= 2e-4 * (1 + std::abs(expected[i])))) return false;
  return got.size() == expected.size();
}

bool same(const Floats& a, const Floats& b) {
  return a.size() == b.size() && (a.empty() || !std::memcmp(a.data(), b.data(), a.size() * sizeof(float)));
}

struct Matrix {
  int64_t n_rows, n_cols;
  Ints indptr = {0}, indices, rows;

  // Above density 0 the first row is full; one in the middle is empty.
  Matrix(int64_t n_rows, int64_t n_cols, double density) : n_rows(n_rows), n_cols(n_cols) {
    std::uniform_real_distribution<double> uniform;
    for (int64_t r = 0; r < n_rows; ++r) {
      for (int64_t c = 0; c < n_cols; ++c)
        if (density > 0 && (r == 0 || (r != n_rows / 2 && uniform(engine) < density))) {
          indices.push_back(c);
          rows.push_back(r);
        }
      indptr.push_back(indices.size());
    }
  }
  int64_t nnz() const { return indices.size(); }
  dsae::Csr csr() const { return {indptr.data(), indices.data(), n_rows}; }
};

// Runs `kernel` into a poisoned output on 1, 2 and 3 threads; compares each with the oracle, and the bits.
template <class Kernel>
void run(const std::string& what, const std::vector<double>& expected, const Kernel& kernel) {
  Floats first;
  for (int threads = 1; threads <= 3; ++threads) {
    dsae::set_max_threads(threads);
    Floats out(expected.size(), NAN);
    kernel(out.data());
    if (threads == 1) first = out;
    check(threads == 1 ? close(out, expected) : same(out, first), what + ", threads " + std::to_string(threads));
  }
}

void test_products(const dsae::Kernels& k, const Matrix& m, int64_t count, int lanes, const std::string& where) {
  const Floats values = floats(m.nnz()), bias = floats(m.n_rows);
  const Floats x = floats(count * m.n_cols * lanes), dy = floats(count * m.n_rows * lanes);
  std::vector<double> y(dy.size()), dw(m.nnz()), v(m.n_rows);
  for (int64_t r = 0; r < m.n_rows; ++r) {
    v[r] = bias[r];
    for (int64_t i = 0; i < count * lanes; ++i) y[(i / lanes * m.n_rows + r) * lanes + i % lanes] = bias[r];
  }
  const Floats one = floats(m.n_cols);
  for (int64_t e = 0; e < m.nnz(); ++e) {
    v[m.rows[e]] += double(values[e]) * one[m.indices[e]];
    for (int64_t p = 0; p < count; ++p)
      for (int64_t l = 0; l < lanes; ++l) {
        const int64_t to = (p * m.n_rows + m.rows[e]) * lanes + l, from = (p * m.n_cols + m.indices[e]) * lanes + l;
        y[to] += double(values[e]) * x[from];
        dw[e] += double(dy[to]) * x[from];
      }
  }
  const dsae::Panels<const float> px = {x.data(), count, m.n_cols, lanes}, pdy = {dy.data(), count, m.n_rows, lanes};
  run("spmm " + where, y, [&](float* out) {
    k.spmm(m.csr(), values.data(), bias.data(), px, {out, count, m.n_rows, lanes});
  });
  run("sddmm " + where, dw, [&](float* out) { k.sddmm(m.csr(), pdy, px, out); });
  // The same matrix as the transpose of a layer's: its rows are inputs, its columns outputs.
  std::vector<double> product(y.size()), both;
  for (size_t i = 0; i < y.size(); ++i) product[i] = y[i] - bias[i / lanes % m.n_rows];
  both = product;
  both.insert(both.end(), dw.begin(), dw.end());
  run("backward " + where, both, [&](float* out) {
    k.backward(m.csr(), values.data(), px, pdy, {out, count, m.n_rows, lanes}, out + product.size());
  });
  std::vector<double> sums(m.n_rows);
  for (size_t i = 0; i < dy.size(); ++i) sums[i / lanes % m.n_rows] += dy[i];
  run("sum_samples " + where, sums, [&](float* out) { k.sum_samples(pdy, out); });
  run("spmv " + where, v, [&](float* out) { k.spmv(m.csr(), values.data(), bias.data(), one.data(), out); });
}

// The live columns of a sparse sample, found and summed.
void test_columns(const dsae::Kernels& k, const Matrix& m, double share, const std::string& where) {
  const Matrix t(m.n_cols, m.n_rows, m.nnz() ? 0.4 : 0);  // rows of t are columns of W
  const Floats values = floats(t.nnz()), bias = floats(m.n_rows);
  Floats x = floats(m.n_cols);
  std::uniform_real_distribution<double> uniform;
  for (float& number : x)
    if (uniform(engine) >= share) number = uniform(engine) < 0.5 ? 0.0f : -0.0f;
  std::vector<double> y(bias.begin(), bias.end());
  Ints live;
  for (int64_t c = 0; c < m.n_cols; ++c) {
    if (x[c]) live.push_back(c);
    for (int64_t e = t.indptr[c]; e < t.indptr[c + 1]; ++e) y[t.indices[e]] += double(values[e]) * x[c];
  }
  Ints indices(x.size());
  Floats numbers(x.size());
  const int64_t count = k.compress(x.data(), x.size(), indices.data(), numbers.data());
  bool good = count == static_cast<int64_t>(live.size());
  for (int64_t i = 0; good && i < count; ++i) good = indices[i] == live[i] && numbers[i] == x[live[i]];
  check(good, "compress " + where);
  const dsae::Scan scan = k.scan(x.data(), x.size());
  check(scan.live == count && scan.finite, "scan " + where);
  run("columns " + where, y, [&](float* out) {
    k.columns(t.csr(), values.data(), bias.data(), m.n_rows, {indices.data(), numbers.data(), count}, out);
  });
  for (float special : {INFINITY, -INFINITY, NAN}) {
    if (x.empty()) continue;
    x.back() = special;
    check(!k.scan(x.data(), x.size()).finite, "scan for special numbers " + where);
  }
}

double activated(dsae::Activation::Kind kind, double z, double threshold) {
  switch (kind) {
    case dsae::Activation::relu: return z > 0 ? z : 0;
    case dsae::Activation::sigmoid: return 1 / (1 + std::exp(-z));
    case dsae::Activation::threshold: return z > threshold ? z : 0;
    default: return z;
  }
}

void test_activations(const dsae::Kernels& k, int64_t count, int64_t width, int lanes, const std::string& where) {
  const Floats z = floats(count * width * lanes), thresholds = floats(width);
  using A = dsae::Activation;
  const auto matches = [&](A::Kind kind, const std::vector<double>& expected) {
    Floats out = z;
    const int64_t live = k.activate({kind, 3, thresholds.data()}, {out.data(), count, width, lanes});
    int64_t nonzero = 0;
    for (float number : out) nonzero += number != 0;
    const bool counted = kind == A::identity || kind == A::softmax ? live >= nonzero : live == nonzero;
    check(close(out, expected) && counted, "activation " + std::to_string(kind) + " " + where);
  };
  std::vector<double> expected(z.size());
  for (auto kind : {A::identity, A::relu, A::sigmoid, A::threshold}) {
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
  matches(A::softmax, expected);
  matches(A::topk, largest);
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
  run("pack_csr " + where, from_csr, [&](float* out) { k.pack_csr(m.csr(), values.data(), {out, count, width, lanes}); });
  const Floats panels(packed.begin(), packed.end());
  run("unpack " + where, {rows.begin(), rows.end()}, [&](float* out) {
    k.unpack({panels.data(), count, width, lanes}, {out, n_rows, width});
  });
}

void test_topology(const dsae::Kernels& k, const Matrix& m, const std::string& where) {
  const int64_t nnz = m.nnz();
  Ints indptr(m.n_cols + 1), indices(nnz), slots(nnz);
  dsae::transpose(m.csr(), m.n_cols, indptr.data(), indices.data(), slots.data());
  int64_t next = 0;
  bool good = true;
  for (int64_t c = 0; c < m.n_cols; ++c) {
    for (int64_t e = 0; e < nnz; ++e) {
      if (m.indices[e] != c) continue;
      good &= slots[next] == e && indices[next] == m.rows[e];
      ++next;
    }
    good &= indptr[c + 1] == next;
  }
  check(good, "transpose " + where);

  const Floats values = floats(nnz);
  std::vector<double> moved(nnz);
  for (int64_t e = 0; e < nnz; ++e) moved[e] = values[slots[e]];
  run("gather " + where, moved, [&](float* out) { k.gather(values.data(), slots.data(), out, nnz); });

  std::vector<double> back(nnz);
  for (int64_t e = 0; e < nnz; ++e) back[slots[e]] = values[e];
  run("scatter " + where, back, [&](float* out) { k.scatter(values.data(), slots.data(), out, nnz); });

  // Drop every other slot, grow every third dead edge, then a dropped one again.
  std::vector<char> old(m.n_rows * m.n_cols), keep(nnz);
  Ints source, columns, rows, grow_rows, grow_cols;
  for (int64_t e = 0; e < nnz; ++e) keep[e] = e % 2, old[m.rows[e] * m.n_cols + m.indices[e]] = 1;
  for (int64_t i = 0, e = 0; i < m.n_rows * m.n_cols; ++i) {
    const bool live = old[i], kept = live && keep[e], grown = !kept && i % 3 == 0;
    if (kept || grown) {
      source.push_back(kept ? e : -1);
      columns.push_back(i % m.n_cols);
      rows.push_back(i / m.n_cols);
    }
    if (grown) grow_rows.push_back(i / m.n_cols), grow_cols.push_back(i % m.n_cols);
    e += live;
  }
  const dsae::Edges grown = {grow_rows.data(), grow_cols.data(), static_cast<int64_t>(grow_rows.size())};
  Ints new_indptr(m.n_rows + 1), new_indices(columns.size()), new_source(columns.size());
  dsae::rewire(m.csr(), reinterpret_cast<bool*>(keep.data()), grown, new_indptr.data(), new_indices.data(),
               new_source.data());
  good = new_indices == columns && new_source == source;
  for (int64_t r = 0; r < m.n_rows; ++r)
    for (int64_t e = new_indptr[r]; e < new_indptr[r + 1]; ++e) good &= rows[e] == r;
  check(good && new_indptr[m.n_rows] == static_cast<int64_t>(columns.size()), "rewire " + where);

  // The patched transpose maps slots as a fresh one would.
  const dsae::Csr transposed = {indptr.data(), indices.data(), m.n_cols};
  std::vector<char> keep_t(nnz);
  for (int64_t e = 0; e < nnz; ++e) keep_t[e] = keep[slots[e]];
  Ints order, sorted_rows, sorted_cols;
  for (int64_t c = 0; c < m.n_cols; ++c)
    for (int64_t g = 0; g < grown.count; ++g)
      if (grow_cols[g] == c) order.push_back(g), sorted_rows.push_back(grow_rows[g]), sorted_cols.push_back(c);
  const int64_t new_nnz = columns.size();
  Ints t_indptr(m.n_cols + 1), t_indices(new_nnz), patch(new_nnz), got(new_nnz), expected(new_nnz);
  Ints moved_slots(nnz), scratch(grown.count);
  dsae::rewire(transposed, reinterpret_cast<bool*>(keep_t.data()), {sorted_cols.data(), sorted_rows.data(), grown.count},
               t_indptr.data(), t_indices.data(), patch.data());
  dsae::patch_slots(slots.data(), source.data(), patch.data(), order.data(), new_nnz, moved_slots.data(), scratch.data(),
                    got.data());
  dsae::transpose({new_indptr.data(), columns.data(), m.n_rows}, m.n_cols, t_indptr.data(), t_indices.data(),
                  expected.data());
  check(got == expected, "patch_slots " + where);
}

}  // namespace

int main() {
  for (auto level = dsae::levels(); *level; ++level)
    for (const auto& [n_rows, n_cols] : {std::pair<int, int>{0, 0}, {0, 3}, {3, 0}, {1, 1}, {1, 40}, {33, 70}, {70, 131}})
      for (double density : {0.0, 0.03, 0.3, 1.0}) {
        const Matrix m(n_rows, n_cols, density);
        const std::string shape = std::string((*level)->isa) + " " + std::to_string(n_rows) + "x" + std::to_string(n_cols) +
                                  " density " + std::to_string(density);
        test_topology(**level, m, shape);
        for (double share : {0.0, 0.1, 1.0}) test_columns(**level, m, share, shape + ", live " + std::to_string(share));
        for (int lanes : {1, 16, 32}) test_activations(**level, n_rows, n_cols, lanes, shape + ", lanes " + std::to_string(lanes));
        for (int lanes : {16, 32, 64}) {
          const std::string where = shape + ", lanes " + std::to_string(lanes);
          test_panels(**level, n_rows, n_cols, lanes, where);
          for (int64_t count : {0, 1, 3})
            test_products(**level, m, count, lanes, where + ", panels " + std::to_string(count));
        }
      }
  // Wide enough to be visited in blocks of columns.
  const Matrix wide(5, 9000, 0.05);
  for (auto level = dsae::levels(); *level; ++level)
    for (int lanes : {16, 32, 64})
      test_products(**level, wide, 2, lanes, std::string((*level)->isa) + " 5x9000, lanes " + std::to_string(lanes));
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
