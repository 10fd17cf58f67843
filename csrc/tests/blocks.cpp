// Products with blocks: against loops over their numbers.
#include "laws.hpp"
#include "rewire.hpp"

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

// The edges of blocks one by one, row by row, and the slot of each.
struct Edges {
  Ints indptr = {0}, indices, slots;

  explicit Edges(const dsae::Blocks& w) {
    for (int64_t row = 0; row < w.n_rows; ++row) {
      const int64_t group = row / w.size;
      for (int64_t block = w.groups.indptr[group]; block < w.groups.indptr[group + 1]; ++block) {
        indices.push_back(w.groups.indices[block]);
        slots.push_back(static_cast<int32_t>(w.slot(group, block) + row % w.size));
      }
      indptr.push_back(static_cast<int32_t>(indices.size()));
    }
  }
  int64_t nnz() const { return indices.size(); }
  dsae::Csr csr() const { return {indptr.data(), indices.data(), static_cast<int64_t>(indptr.size()) - 1}; }
  Floats of(const Floats& slotted) const {
    Floats found(nnz());
    for (int64_t e = 0; e < nnz(); ++e) found[e] = slotted[slots[e]];
    return found;
  }
};

// The ends of a network on sparse rows: blocks give what their edges give one by one.
void test_block_ends(const dsae::Kernels& k, const Matrix& groups, int64_t n_rows, int size, int lanes,
                     const std::string& where) {
  const dsae::Blocks w = {groups.csr(), n_rows, size};
  const Edges edges(w);
  const int64_t n = 2 * lanes - 3, n_in = groups.n_cols, nnz = edges.nnz();
  check(nnz == w.nnz(), "edges of blocks " + where);
  Floats values = floats(nnz);
  for (float& v : values) v *= 0.2f;
  const Floats bias = floats(n_rows), shift = floats(n_rows), single = edges.of(values);
  Ints t_indptr(n_in + 1), t_indices(nnz), t_slots(nnz);
  dsae::transpose(dsae::single(edges.csr()), n_in, t_indptr.data(), t_indices.data(), t_slots.data());
  const dsae::Csr wt = {t_indptr.data(), t_indices.data(), n_in};
  Floats by_input(nnz);
  for (int64_t e = 0; e < nnz; ++e) by_input[e] = single[t_slots[e]];
  const auto wide = [](const Floats& found) { return std::vector<double>(found.begin(), found.end()); };

  const Matrix x(n, n_in, 0.3);
  const Floats numbers = floats(x.nnz()), dy = floats(n * n_rows), left = floats(n_rows), right = floats(n_in);
  Ints x_indptr(n_in + 1), samples(x.nnz()), x_slots(x.nnz());
  dsae::transpose(dsae::single(x.csr()), n_in, x_indptr.data(), samples.data(), x_slots.data());
  Floats by_column(x.nnz());
  for (int64_t e = 0; e < x.nnz(); ++e) by_column[e] = numbers[x_slots[e]];
  const auto forward = [&](int block_size, float* out) {
    k.csr_spmm(wt, by_input.data(), bias.data(), x.csr(), numbers.data(), {out, n, n_rows}, block_size);
  };
  const auto gradient = [&](int block_size, bool shifted, float* out) {
    k.csr_gradient(wt, {x_indptr.data(), samples.data(), n_in}, by_column.data(), {dy.data(), n, n_rows},
                   shifted ? left.data() : nullptr, shifted ? right.data() : nullptr, out, block_size);
  };
  Floats one(n * n_rows), its_gradient(nnz);
  forward(1, one.data());
  run("columns of blocks " + where, wide(one), [&](float* out) { forward(size, out); });
  for (const bool shifted : {false, true}) {
    gradient(1, shifted, its_gradient.data());
    run("gradient of blocks by input " + where, wide(its_gradient), [&](float* out) { gradient(size, shifted, out); });
  }

  const Matrix t(n_rows, n, 0.3);
  const Floats offset = floats(n);
  Floats h = floats(2 * n_in * lanes), aim = floats(t.nnz());
  for (float& v : h) v *= 0.3f;  // or rates would be exponentials of sums of any size
  for (float& v : aim) v = std::abs(v);
  // dw, dbias, dx and the loss, in this order, of slots or edges.
  const int64_t all = nnz + n_rows + 2 * n_in * lanes + 1;
  const auto tiled = [&](bool by_blocks, int loss, int64_t height, float* out) {
    Floats tile(2 * height * lanes);
    const dsae::OutputLayer layer = {by_blocks ? w : dsae::single(edges.csr()),
                                     by_blocks ? values.data() : single.data(), bias.data(), wt, by_input.data()};
    out[all - 1] = static_cast<float>(
        k.tiled_loss(layer, {h.data(), 2, n_in, lanes},
                     {t.csr(), aim.data(), loss ? nullptr : shift.data(), nullptr, nullptr, offset.data()}, loss, n,
                     0.5f, {out, out + nnz, {out + nnz + n_rows, 2, n_in, lanes}, {tile.data(), 2, height, lanes}}));
  };
  const auto to_slots = [&](const Floats& found) {
    std::vector<double> expected(found.begin(), found.end());
    for (int64_t e = 0; e < nnz; ++e) expected[edges.slots[e]] = found[e];
    return expected;
  };
  for (int loss : {0, 1, 2}) {
    Floats found(all);
    tiled(false, loss, n_rows + 1, found.data());
    for (int64_t height : {int64_t{size}, int64_t{3} * size, (n_rows / size + 1) * size})
      run("tiled loss of blocks " + where, to_slots(found), [&](float* out) { tiled(true, loss, height, out); });
  }
  const auto sums = [&](bool by_blocks, float* out) {
    k.log_sums({by_blocks ? w : dsae::single(edges.csr()), by_blocks ? values.data() : single.data(), bias.data()},
               {h.data(), 2, n_in, lanes}, n, out);
  };
  Floats found(n);
  sums(false, found.data());
  run("sums of exponentials of blocks " + where, wide(found), [&](float* out) { sums(true, out); });

  Ints r_indptr(n + 1), r_indices(t.nnz()), r_slots(t.nnz());
  dsae::transpose(dsae::single(t.csr()), n, r_indptr.data(), r_indices.data(), r_slots.data());
  Floats by_row(t.nnz());
  for (int64_t e = 0; e < t.nnz(); ++e) by_row[e] = aim[r_slots[e]];
  const Floats rows = floats(n * n_in);
  const auto gram = [&](bool by_blocks, float unseen, float* out) {
    const dsae::GramTarget target = {
        t.csr(), aim.data(), {r_indptr.data(), r_indices.data(), n}, by_row.data(), shift.data()};
    const dsae::GramLayer layer = {by_blocks ? w : dsae::single(edges.csr()), by_blocks ? values.data() : single.data(),
                                   bias.data()};
    float* const dx = out + nnz + n_rows;
    dx[n * n_in] = static_cast<float>(
        k.gram_loss(layer, {rows.data(), n, n_in}, target, unseen, 0.5f, {out, out + nnz, {dx, n, n_in}}));
  };
  for (float unseen : {1.0f, 0.3f}) {
    Floats found(nnz + n_rows + n * n_in + 1);
    gram(false, unseen, found.data());
    run("Gram matrices of blocks " + where, to_slots(found), [&](float* out) { gram(true, unseen, out); });
  }
}

}  // namespace dsae_tests
