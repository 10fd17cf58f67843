// Products with panels, live columns and sparse batches, Adam's step: against loops over the edges.
#include <algorithm>

#include "cache.hpp"
#include "laws.hpp"
#include "rewire.hpp"

namespace dsae_tests {

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
  run("spmm " + where, y,
      [&](float* out) { k.spmm(m.csr(), values.data(), bias.data(), px, {out, count, m.n_rows, lanes}); });
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

// Blocks of columns sized for one cache or another, and none: the same bits.
void test_blocks(const dsae::Kernels& k, int lanes, const std::string& where) {
  const Matrix m(7, 30000, 0.02);
  const Floats values = floats(m.nnz()), x = floats(2 * m.n_cols * lanes), dy = floats(2 * m.n_rows * lanes);
  const dsae::Panels<const float> px = {x.data(), 2, m.n_cols, lanes}, pdy = {dy.data(), 2, m.n_rows, lanes};
  Floats first;
  const int64_t machine = dsae::set_l2_bytes(0);
  check(machine >= 256 << 10 && machine <= 2 << 20, "a cache of " + std::to_string(machine) + " bytes");
  for (int64_t l2 : {int64_t{256} << 10, machine, int64_t{1} << 40}) {
    dsae::set_l2_bytes(l2);
    Floats out(2 * dy.size() + 2 * m.nnz(), NAN);
    float *const y = out.data(), *const dx = y + dy.size(), *const dw = dx + dy.size(), *const dots = dw + m.nnz();
    k.spmm(m.csr(), values.data(), nullptr, px, {y, 2, m.n_rows, lanes});
    k.backward(m.csr(), values.data(), px, pdy, {dx, 2, m.n_rows, lanes}, dw);
    k.sddmm(m.csr(), pdy, px, dots);
    if (first.empty()) first = out;
    check(same(out, first),
          "blocks for a cache of " + std::to_string(l2) + ", lanes " + std::to_string(lanes) + " " + where);
  }
  dsae::set_l2_bytes(machine);
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
  const dsae::Nonzeros found = k.count_nonzeros(x.data(), x.size());
  check(found.count == count && found.finite, "count_nonzeros " + where);
  run("csr_spmv " + where, y, [&](float* out) {
    k.csr_spmv(t.csr(), values.data(), bias.data(), m.n_rows, {indices.data(), numbers.data(), count}, out, 1);
  });
  for (float special : {INFINITY, -INFINITY, NAN}) {
    if (x.empty()) continue;
    x.back() = special;
    check(!k.count_nonzeros(x.data(), x.size()).finite, "count_nonzeros of special numbers " + where);
  }
}

// A batch by columns, of which every third number lives, through the first layer and the last.
void test_sparse_rows(const dsae::Kernels& kernels, const Matrix& m, int lanes, const std::string& where) {
  const int64_t n_samples = lanes + 3, n_panels = 2, n_in = m.n_cols, n_out = m.n_rows;
  const Matrix x(n_samples, n_in, 0.3), t(n_out, n_samples, 0.3);
  const Floats values = floats(m.nnz()), numbers = floats(x.nnz()), bias = floats(n_out),
               dy = floats(n_samples * n_out);
  Ints indptr(n_in + 1), indices(m.nnz()), slots(m.nnz()), x_indptr(n_in + 1), samples(x.nnz()), x_slots(x.nnz());
  dsae::transpose(dsae::single(m.csr()), n_in, indptr.data(), indices.data(), slots.data());
  dsae::transpose(dsae::single(x.csr()), n_in, x_indptr.data(), samples.data(), x_slots.data());
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
  const Floats vector = floats(n_in);
  std::vector<double> product(n_out);
  for (int64_t e = 0; e < m.nnz(); ++e) product[m.rows[e]] += double{values[e]} * vector[m.indices[e]];
  run("sums of edges " + where, product, [&](float* out) {
    kernels.edge_sums({m.rows.data(), m.indices.data(), m.nnz()}, values.data(), vector.data(), n_out, out);
  });
  for (int threads = 1; threads <= 3; ++threads) {
    dsae::set_max_threads(threads);
    Floats moved(m.nnz(), NAN), got(n_samples * n_out, NAN), gradient(m.nnz());
    kernels.gather_live(wt, values.data(), slots.data(), xt, moved.data());
    kernels.csr_spmm(wt, moved.data(), bias.data(), x.csr(), numbers.data(), {got.data(), n_samples, n_out}, 1);
    check(close(got, y), "columns of rows " + where);
    kernels.csr_sddmm(wt, slots.data(), xt, by_column.data(), {dy.data(), n_samples, n_out}, gradient.data());
    check(close(gradient, dw), "their gradient " + where);
    Floats by_input(m.nnz(), NAN), in_place(m.nnz());
    kernels.csr_gradient(wt, xt, by_column.data(), {dy.data(), n_samples, n_out}, nullptr, nullptr, by_input.data(), 1);
    for (int64_t e = 0; e < m.nnz(); ++e) in_place[slots[e]] = by_input[e];
    check(close(in_place, dw), "their gradient by input " + where);
    for (int64_t height : {int64_t{1}, int64_t{4}, n_out + 1}) {
      Floats tile(n_panels * height * lanes), to_values(m.nnz(), NAN), to_bias(n_out, NAN), to_x(hidden.size(), NAN);
      const double sum = kernels.tiled_loss({dsae::single(m.csr()), values.data(), bias.data(), wt, wt_values.data()},
                                            {hidden.data(), n_panels, n_in, lanes}, {t.csr(), aim.data(), shift.data()},
                                            0, n_samples, 1,
                                            {to_values.data(),
                                             to_bias.data(),
                                             {to_x.data(), n_panels, n_in, lanes},
                                             {tile.data(), n_panels, height, lanes}});
      check(std::abs(sum - loss) <= 1e-4 * (1 + loss), "tiled loss " + where);
      check(close(to_values, d_values) && close(to_bias, d_bias), "its layer's gradient " + where);
      check(close(to_x, dx), "its input's gradient " + where);
    }
  }
}

void test_adam(const dsae::Kernels& k, const Matrix& m, const std::string& where) {
  const int64_t nnz = m.nnz(), n_other = 700;
  const Floats grad = floats(nnz + n_other), start = floats(nnz + n_other), mean = floats(nnz + n_other);
  Floats square = floats(nnz + n_other), magnitude = floats(nnz);
  for (float& v : square) v *= v;
  for (float& v : magnitude) v = std::abs(v);
  std::vector<double> moved(nnz + n_other), first(moved), second(moved), seen(nnz);
  for (int64_t e = 0; e < nnz + n_other; ++e) {
    const bool edge = e < nnz;
    const double fan_in = edge ? m.indptr[m.rows[e] + 1] - m.indptr[m.rows[e]] : 1;
    const double typical = edge ? 1.0 * nnz / m.n_rows : 1, threshold = edge ? 0.1 : 0;
    first[e] = 0.9 * mean[e] + 0.1 * grad[e];
    second[e] = 0.999 * square[e] + 0.001 * grad[e] * grad[e];
    const double x = start[e] - 0.3 / std::max(fan_in, typical) * first[e] / (std::sqrt(second[e]) * 1.5 + 1e-8);
    moved[e] = std::copysign(std::max(std::abs(x) - threshold, 0.0), x);
    if (edge) seen[e] = 0.99 * magnitude[e] + 0.01 * std::abs(grad[e]);
  }
  const auto after = [&](int which) {
    return [&, which](float* out) {
      Floats state[4] = {start, mean, square, magnitude};
      float *w = state[0].data(), *average = state[1].data(), *variance = state[2].data();
      const dsae::AdamParameter parameters[2] = {
          {m.csr(), nnz, nullptr, grad.data(), w, average, variance, state[3].data(), 0.3f, 1.5f, 0.01f, 0.1f},
          {{nullptr, nullptr, 0},
           n_other,
           nullptr,
           grad.data() + nnz,
           w + nnz,
           average + nnz,
           variance + nnz,
           nullptr,
           0.3f,
           1.5f,
           0}};
      k.adam(parameters, 2, {0.9f, 0.999f, 1e-8f});
      std::copy(state[which].begin(), state[which].end(), out);
    };
  };
  run("adam, values " + where, moved, after(0));
  run("adam, mean " + where, first, after(1));
  run("adam, square " + where, second, after(2));
  run("adam, magnitude " + where, seen, after(3));

  // The same edges within the dense matrix, where every other number has a gradient that does not count.
  const int64_t size = m.n_rows * m.n_cols;
  std::vector<uint8_t> mask(size);
  Floats dense[5] = {Floats(size, 1), Floats(size), Floats(size), Floats(size), Floats(size)};
  const Floats* edges[5] = {&grad, &start, &mean, &square, &magnitude};
  std::vector<double> after_mask(size);
  for (int64_t e = 0; e < nnz; ++e) {
    const int64_t at = m.rows[e] * m.n_cols + m.indices[e];
    mask[at] = 1;
    after_mask[at] = moved[e];
    for (int i = 0; i < 5; ++i) dense[i][at] = (*edges[i])[e];
  }
  dsae::AdamParameter parameter = {m.csr(), size, mask.data(), dense[0].data(), dense[1].data(), dense[2].data()};
  parameter.square = dense[3].data(), parameter.magnitude = dense[4].data();
  parameter.rate = 0.3f, parameter.root = 1.5f, parameter.newest = 0.01f, parameter.threshold = 0.1f;
  k.adam(&parameter, 1, {0.9f, 0.999f, 1e-8f});
  check(close(dense[1], after_mask), "adam, masked " + where);
}

}  // namespace dsae_tests
