// Y = W X + b, and dX = W^T dY with dW = dY X^T, for a matrix of blocks. Forward, threads own groups of rows; backward,
// ranges of inputs: no transpose is kept, and nothing is gathered, scattered or added up between threads.
#include "blocks.hpp"
#include "cache.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr int64_t kPanels = 2;  // that a dot product spans before the sum over its lanes

// Where threads' ranges of inputs begin, so that each has as many blocks.
inline void cut(const Csr& w, int64_t width, int n, int64_t* cuts) {
  cuts[0] = 0;
  if (n > 1) {
    const int64_t total = w.indptr[w.n_rows];
    const size_t bytes = width * sizeof(int64_t);
    int64_t* const counts = static_cast<int64_t*>(allocate(bytes));
    for (int64_t c = 0; c < width; ++c) counts[c] = 0;
    for (int64_t block = 0; block < total; ++block) ++counts[w.indices[block]];
    int64_t column = 0, done = 0;
    for (int part = 1; part < n; ++part) {
      for (; column < width && done + column < (total + width) * part / n; ++column) done += counts[column];
      cuts[part] = column;
    }
    release(counts, bytes);
  }
  cuts[n] = width;
}

template <int R, int L>
struct Pass {
  const Blocks& w;
  const float* values;
  const Panels<const float> dy, x;
  const Panels<float> dx;
  float* const dw;

  void panels(int64_t from, int64_t to, int64_t panel, int64_t count, const int32_t* first, const int32_t* last) const {
    const int64_t x_size = x.width * L, y_size = dy.width * L;
    float* const out = dx.data ? dx.data + panel * x_size : nullptr;
    for (int64_t p = 0; p < count; ++p) {
      if (dw) prefetch(x, panel + p, from, to);
      for (int64_t i = from * L; out && i < to * L; i += kWidth) store(out + p * x_size + i, Vec{});
    }
    for (int64_t group = 0; group < w.groups.n_rows; ++group) {
      if (first[group] == last[group]) continue;
      const Stack own = {dy.data + panel * y_size + group * R * L, y_size};
      block_back<R, L>(w, values, own, {dw ? x.data + panel * x_size : nullptr, x_size}, out, x_size, count, dw,
                       {panel, group, first[group], last[group], false});
    }
  }

  // Inputs [begin, end), a part at a time whose lines stay in L2; `first` and `last` are scratch, one for each group.
  void inputs(int64_t begin, int64_t end, int64_t n_parts, int32_t* first, int32_t* last) const {
    const Csr& g = w.groups;
    for (int64_t group = 0; group < g.n_rows; ++group)
      first[group] = edge_at_column(g, g.indptr[group], g.indptr[group + 1], begin);
    for (int64_t part = 0; part < n_parts; ++part) {
      const int64_t from = begin + (end - begin) * part / n_parts, to = begin + (end - begin) * (part + 1) / n_parts;
      for (int64_t group = 0; group < g.n_rows; ++group)
        last[group] = edge_at_column(g, first[group], g.indptr[group + 1], to);
      for (int64_t panel = 0; panel < x.count; panel += kPanels)
        panels(from, to, panel, x.count - panel < kPanels ? x.count - panel : kPanels, first, last);
      int32_t* const passed = first;
      first = last;
      last = passed;
    }
  }

  int64_t parts_of(int64_t width) const {
    const int64_t together = x.count < kPanels ? x.count : kPanels;
    const int64_t wanted = width * L * 4 * together * (dx.data && dw ? 2 : 1) / (l2_bytes() / 2);
    const int64_t useful = w.groups.indptr[w.groups.n_rows] * width / (w.groups.n_rows * x.width * kEdgesPerVisit + 1);
    const int64_t n = wanted < useful ? wanted : useful;
    return n < 1 ? 1 : n;
  }
};

}  // namespace

void block_spmm(const Blocks& w, const float* values, const float* bias, Panels<const float> x, Panels<float> y) {
  with_block_size(w.size, [&](auto rows) {
    with_lanes(x.lanes, [&](auto lanes) {
      const auto visit = [&](const Visit& at) {
        block_row<rows, lanes>(w, values, bias, x.data + at.panel * x.width * lanes,
                               y.data + (at.panel * y.width + at.row * rows) * lanes, at);
      };
      for_each_visit(w.groups, x, l2_bytes() / 2, visit, rows);
    });
  });
}

void block_spmv(const Blocks& w, const float* values, const float* bias, const float* x, float* y) {
  const Csr& g = w.groups;
  const int64_t total = cost(g);
  with_block_size(w.size, [&](auto rows) {
    parallel(total * rows, [&](int thread, int n) {
      const int64_t end = row_at_cost(g, total * (thread + 1) / n);
      for (int64_t group = row_at_cost(g, total * thread / n); group < end; ++group) {
        const int64_t width = w.width(group), first = g.indptr[group], last = g.indptr[group + 1];
        const float* numbers = values + w.slot(group, first);
        float sum[rows] = {};
        if (width == rows) {
          for (int64_t block = first; block < last; ++block, numbers += rows)
            for (int r = 0; r < rows; ++r) sum[r] += numbers[r] * x[g.indices[block]];
        } else {
          for (int64_t block = first; block < last; ++block, numbers += width)
            for (int r = 0; r < width; ++r) sum[r] += numbers[r] * x[g.indices[block]];
        }
        for (int r = 0; r < width; ++r) y[group * rows + r] = sum[r] + (bias ? bias[group * rows + r] : 0);
      }
    });
  });
}

void block_backward(const Blocks& w, const float* values, Panels<const float> dy, Panels<const float> x,
                    Panels<float> dx, float* dw) {
  if (!x.count && dw)
    for (int64_t slot = 0; slot < w.nnz(); ++slot) dw[slot] = 0;
  const int n_parts = parts_for((w.nnz() + kRowCost * (w.n_rows + x.width)) * x.lanes * x.count);
  const int64_t n_groups = w.groups.n_rows;
  const size_t cut_bytes = (n_parts + 1) * sizeof(int64_t),
               bytes = cut_bytes + 2 * n_parts * n_groups * sizeof(int32_t);
  int64_t* const cuts = static_cast<int64_t*>(allocate(bytes));
  int32_t* const scratch = reinterpret_cast<int32_t*>(cuts + n_parts + 1);
  cut(w.groups, x.width, n_parts, cuts);
  with_block_size(w.size, [&](auto rows) {
    with_lanes(x.lanes, [&](auto lanes) {
      const Pass<rows, lanes> pass = {w, values, dy, x, dx, dw};
      in_parts(n_parts, [&](int part, int) {
        int32_t* const first = scratch + 2 * part * n_groups;
        pass.inputs(cuts[part], cuts[part + 1], pass.parts_of(cuts[part + 1] - cuts[part]), first, first + n_groups);
      });
    });
  });
  release(cuts, bytes);
}

}  // namespace dsae::DSAE_LEVEL
