// Products with blocks: against loops over their numbers.
#include "laws.hpp"

namespace dsae_tests {

void test_block_products(const dsae::Kernels& k, const Matrix& groups, int64_t n_rows, int size, int64_t count,
                         int lanes, const std::string& where) {
  const dsae::Blocks w = {groups.csr(), n_rows, size};
  const int64_t n_cols = groups.n_cols, nnz = w.nnz();
  const Floats values = floats(nnz), bias = floats(n_rows);
  const Floats x = floats(count * n_cols * lanes), dy = floats(count * n_rows * lanes);
  std::vector<double> y(dy.size()), dx(x.size()), dw(nnz);
  for (size_t i = 0; i < y.size(); ++i) y[i] = bias[i / lanes % n_rows];
  for (int64_t block = 0; block < groups.nnz(); ++block) {
    const int64_t group = groups.rows[block];
    for (int64_t r = 0; r < w.width(group); ++r)
      for (int64_t p = 0; p < count; ++p)
        for (int64_t l = 0; l < lanes; ++l) {
          const int64_t slot = w.slot(group, block) + r;
          const int64_t to = (p * n_rows + group * size + r) * lanes + l;
          const int64_t from = (p * n_cols + groups.indices[block]) * lanes + l;
          y[to] += double(values[slot]) * x[from];
          dx[from] += double(values[slot]) * dy[to];
          dw[slot] += double(dy[to]) * x[from];
        }
  }
  const dsae::Panels<const float> px = {x.data(), count, n_cols, lanes}, pdy = {dy.data(), count, n_rows, lanes};
  run("block_spmm " + where, y,
      [&](float* out) { k.block_spmm(w, values.data(), bias.data(), px, {out, count, n_rows, lanes}); });
  std::vector<double> both = dx;
  both.insert(both.end(), dw.begin(), dw.end());
  run("block_backward " + where, both,
      [&](float* out) { k.block_backward(w, values.data(), pdy, px, {out, count, n_cols, lanes}, out + dx.size()); });
  run("its dx alone " + where, dx, [&](float* out) {
    k.block_backward(w, values.data(), pdy, {nullptr, count, n_cols, lanes}, {out, count, n_cols, lanes}, nullptr);
  });
  run("its dw alone " + where, dw,
      [&](float* out) { k.block_backward(w, nullptr, pdy, px, {nullptr, count, n_cols, lanes}, out); });
}

}  // namespace dsae_tests
