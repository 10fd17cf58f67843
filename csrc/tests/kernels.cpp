// Every kernel, at every level this CPU runs, against a triple loop; and the same bits on 1, 2 and 3 threads.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "grow.hpp"
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
  for (int threads = 3; threads >= 1; --threads) {
    dsae::set_max_threads(threads);
    dsae::transpose(m.csr(), m.n_cols, indptr.data(), indices.data(), slots.data());
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

  std::vector<double> back(nnz);
  for (int64_t e = 0; e < nnz; ++e) back[slots[e]] = values[e];
  run("scatter " + where, back, [&](float* out) { k.scatter(values.data(), slots.data(), out, nnz); });
}

void test_adam(const dsae::Kernels& k, const Matrix& m, const std::string& where) {
  const int64_t nnz = m.nnz();
  const Floats grad = floats(nnz), start = floats(nnz), mean = floats(nnz);
  Floats square = floats(nnz);
  for (float& v : square) v *= v;
  const dsae::AdamStep step = {0.3f, 0.9f, 0.999f, 1e-8f, 1.5f};
  std::vector<double> moved(nnz), first(nnz), second(nnz);
  for (int64_t e = 0; e < nnz; ++e) {
    const double fan_in = m.indptr[m.rows[e] + 1] - m.indptr[m.rows[e]], typical = 1.0 * nnz / m.n_rows;
    first[e] = 0.9 * mean[e] + 0.1 * grad[e];
    second[e] = 0.999 * square[e] + 0.001 * grad[e] * grad[e];
    moved[e] = start[e] - 0.3 / std::max(fan_in, typical) * first[e] / (std::sqrt(second[e]) * 1.5 + 1e-8);
  }
  const auto after = [&](int which) {
    return [&, which](float* out) {
      Floats state[3] = {start, mean, square};
      k.adam(m.csr(), nnz, step, grad.data(), state[0].data(), state[1].data(), state[2].data());
      std::copy(state[which].begin(), state[which].end(), out);
    };
  };
  run("adam, values " + where, moved, after(0));
  run("adam, mean " + where, first, after(1));
  run("adam, square " + where, second, after(2));
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
  run("move " + where, moved, [&](float* out) {
    dsae::move(values.data(), m.nnz(), source.data(), source.size(), out);
  });
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

// A batch by columns, of which every third number lives, through the first layer and the last.
void test_sparse_rows(const dsae::Kernels& kernels, const Matrix& m, int lanes, const std::string& where) {
  const int64_t n_samples = lanes + 3, n_panels = 2, n_in = m.n_cols, n_out = m.n_rows;
  const Matrix x(n_samples, n_in, 0.3), t(n_out, n_samples, 0.3);
  const Floats values = floats(m.nnz()), numbers = floats(x.nnz()), bias = floats(n_out), dy = floats(n_samples * n_out);
  Ints indptr(n_in + 1), indices(m.nnz()), slots(m.nnz()), x_indptr(n_in + 1), samples(x.nnz()), x_slots(x.nnz());
  dsae::transpose(m.csr(), n_in, indptr.data(), indices.data(), slots.data());
  dsae::transpose(x.csr(), n_in, x_indptr.data(), samples.data(), x_slots.data());
  const dsae::Csr wt = {indptr.data(), indices.data(), n_in}, xt = {x_indptr.data(), samples.data(), n_in};
  Floats by_column(x.nnz());
  for (int64_t e = 0; e < x.nnz(); ++e) by_column[e] = numbers[x_slots[e]];
  std::vector<double> dense(n_samples * n_in), y(n_samples * n_out), dw(m.nnz());
  for (int64_t e = 0; e < x.nnz(); ++e) dense[x.rows[e] * n_in + x.indices[e]] = numbers[e];
  for (int64_t s = 0; s < n_samples; ++s) {
    for (int64_t r = 0; r < n_out; ++r) y[s * n_out + r] = bias[r];
    for (int64_t e = 0; e < m.nnz(); ++e) {
      y[s * n_out + m.rows[e]] += values[e] * dense[s * n_in + m.indices[e]];
      dw[e] += dy[s * n_out + m.rows[e]] * dense[s * n_in + m.indices[e]];
    }
  }
  const Floats hidden = floats(n_panels * n_in * lanes), aim = floats(t.nnz()), shift = floats(n_out);
  Floats wt_values(m.nnz());
  for (int64_t e = 0; e < m.nnz(); ++e) wt_values[e] = values[slots[e]];
  std::vector<double> dz(n_samples * n_out), d_bias(n_out), d_values(m.nnz()), dx(hidden.size());
  double loss = 0;
  const auto at = [&](int64_t s, int64_t c) { return (s / lanes * n_in + c) * lanes + s % lanes; };
  for (int64_t r = 0; r < n_out; ++r)
    for (int64_t s = 0; s < n_samples; ++s) dz[s * n_out + r] = bias[r] + shift[r];
  for (int64_t e = 0; e < t.nnz(); ++e) dz[t.indices[e] * n_out + t.rows[e]] -= aim[e];
  for (int64_t s = 0; s < n_samples; ++s)
    for (int64_t e = 0; e < m.nnz(); ++e) dz[s * n_out + m.rows[e]] += double{values[e]} * hidden[at(s, m.indices[e])];
  for (int64_t s = 0; s < n_samples; ++s)
    for (int64_t r = 0; r < n_out; ++r) {
      loss += dz[s * n_out + r] * dz[s * n_out + r];
      d_bias[r] += dz[s * n_out + r];
    }
  for (int64_t s = 0; s < n_samples; ++s)
    for (int64_t e = 0; e < m.nnz(); ++e) {
      d_values[e] += dz[s * n_out + m.rows[e]] * hidden[at(s, m.indices[e])];
      dx[at(s, m.indices[e])] += dz[s * n_out + m.rows[e]] * values[e];
    }
  for (int threads = 1; threads <= 3; ++threads) {
    dsae::set_max_threads(threads);
    Floats moved(m.nnz(), NAN), got(n_samples * n_out, NAN), gradient(m.nnz());
    kernels.gather_live(wt, values.data(), slots.data(), xt, moved.data());
    kernels.columns_of_rows(wt, moved.data(), bias.data(), x.csr(), numbers.data(), {got.data(), n_samples, n_out});
    check(close(got, y), "columns of rows " + where);
    kernels.columns_gradient(wt, slots.data(), xt, by_column.data(), {dy.data(), n_samples, n_out}, gradient.data());
    check(close(gradient, dw), "their gradient " + where);
    for (int64_t height : {int64_t{1}, int64_t{4}, n_out + 1}) {
      Floats tile(n_panels * height * lanes), to_values(m.nnz(), NAN), to_bias(n_out, NAN), to_x(hidden.size(), NAN);
      const double sum = kernels.tiled_loss(
          {m.csr(), values.data(), bias.data(), wt, wt_values.data()}, {hidden.data(), n_panels, n_in, lanes},
          {t.csr(), aim.data(), shift.data()}, dsae::Loss::squared, n_samples, 1,
          {to_values.data(), to_bias.data(), {to_x.data(), n_panels, n_in, lanes}, {tile.data(), n_panels, height, lanes}});
      check(std::abs(sum - loss) <= 1e-4 * (1 + loss), "tiled loss " + where);
      check(close(to_values, d_values) && close(to_bias, d_bias), "its layer's gradient " + where);
      check(close(to_x, dx), "its input's gradient " + where);
    }
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

}  // namespace

int main() {
  for (auto level = dsae::levels(); *level; ++level)
    for (const auto& [n_rows, n_cols] : {std::pair<int, int>{0, 0}, {0, 3}, {3, 0}, {1, 1}, {1, 40}, {33, 70}, {70, 131}})
      for (double density : {0.0, 0.03, 0.3, 1.0}) {
        const Matrix m(n_rows, n_cols, density);
        const std::string shape = std::string((*level)->isa) + " " + std::to_string(n_rows) + "x" + std::to_string(n_cols) +
                                  " density " + std::to_string(density);
        test_topology(**level, m, shape);
        test_adam(**level, m, shape);
        for (double share : {0.0, 0.1, 1.0}) test_columns(**level, m, share, shape + ", live " + std::to_string(share));
        for (int lanes : {1, 16, 32}) test_activations(**level, n_rows, n_cols, lanes, shape + ", lanes " + std::to_string(lanes));
        test_faults(m, shape);
        test_rewire(m, shape);
        test_first(m, shape);
        const int64_t dead = m.n_rows * m.n_cols - m.nnz();
        for (int64_t n : {int64_t{0}, dead / 1000, dead / 3, dead - dead / 10, dead}) test_draw(m, n, shape);
        for (int lanes : {16, 32, 64}) {
          const std::string where = shape + ", lanes " + std::to_string(lanes);
          test_panels(**level, n_rows, n_cols, lanes, where);
          test_sparse_rows(**level, m, lanes, where);
          for (int64_t count : {0, 1, 3})
            test_products(**level, m, count, lanes, where + ", panels " + std::to_string(count));
        }
      }
  // Wide enough to be visited in blocks of columns.
  const Matrix wide(5, 9000, 0.05);
  for (auto level = dsae::levels(); *level; ++level)
    for (int lanes : {16, 32, 64})
      test_products(**level, wide, 2, lanes, std::string((*level)->isa) + " 5x9000, lanes " + std::to_string(lanes));
  for (int64_t size : {0, 1, 2, 100, 5000})
    for (int64_t n : {int64_t{0}, size / 3, size}) test_smallest(size, n);
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
