// Both halves of the backward pass of a matrix of blocks, W^T dY and dY X^T. Threads own ranges of inputs: no transpose
// is kept, and nothing is gathered, scattered or added up between threads.
#pragma once

#include "blocks.hpp"
#include "cache.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr int64_t kPanels = 2;  // that a dot product spans before the sum over its lanes

// Where threads' ranges of inputs begin, so that each has as many blocks.
inline void cut(const Csr& w, int64_t width, int n, int64_t* cuts) {
  cuts[0] = 0;
  if (n > 1) {
    const int64_t start = w.indptr[0], total = w.indptr[w.n_rows] - start;
    const size_t bytes = width * sizeof(int64_t);
    int64_t* const counts = static_cast<int64_t*>(allocate(bytes));
    for (int64_t c = 0; c < width; ++c) counts[c] = 0;
    for (int64_t block = 0; block < total; ++block) ++counts[w.indices[start + block]];
    int64_t column = 0, done = 0;
    for (int part = 1; part < n; ++part) {
      for (; column < width && done + column < (total + width) * part / n; ++column) done += counts[column];
      cuts[part] = column;
    }
    release(counts, bytes);
  }
  cuts[n] = width;
}

// `done` panels have come before, whose sums dw holds, and other groups, where dx is not `fresh`; finish(panel, input)
// once a line of dx is complete.
template <int R, int L, class Finish>
struct BackwardPass {
  const Blocks& w;
  const float* values;
  const Panels<const float> dy, x;
  const Panels<float> dx;
  float* const dw;
  const int64_t done;
  const bool fresh;
  const Finish& finish;

  void panels(int64_t from, int64_t to, int64_t panel, int64_t count, const int32_t* first, const int32_t* last) const {
    const int64_t x_size = x.width * L, y_size = dy.width * L;
    float* const out = dx.data ? dx.data + panel * x_size : nullptr;
    for (int64_t p = 0; p < count; ++p) {
      if (dw) prefetch(x, panel + p, from, to);
      for (int64_t i = from * L; out && fresh && i < to * L; i += kWidth) store(out + p * x_size + i, Vec{});
    }
    for (int64_t group = 0; group < w.groups.n_rows; ++group) {
      if (first[group] == last[group]) continue;
      const Stack own = {dy.data + panel * y_size + group * R * L, y_size};
      block_back<R, L>(w, values, own, {dw ? x.data + panel * x_size : nullptr, x_size}, out, x_size, count, dw,
                       {panel + done, group, first[group], last[group], false});
    }
    for (int64_t p = 0; out && p < count; ++p)
      for (int64_t input = from; input < to; ++input) finish(panel + p, input);
  }

  // Inputs [begin, end), a part at a time whose lines stay in L2; `first` and `last` are scratch, one for each group.
  void inputs(int64_t begin, int64_t end, int32_t* first, int32_t* last) const {
    const Csr& g = w.groups;
    const int64_t n_parts = parts_of(end - begin);
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
    const int64_t n_blocks = w.groups.indptr[w.groups.n_rows] - w.groups.indptr[0];
    const int64_t useful = n_blocks * width / (w.groups.n_rows * x.width * kEdgesPerVisit + 1);
    const int64_t n = wanted < useful ? wanted : useful;
    return n < 1 ? 1 : n;
  }

  void run() const {
    const int n_parts = parts_for((w.nnz() + kRowCost * (w.n_rows + x.width)) * x.lanes * x.count);
    const int64_t n_groups = w.groups.n_rows;
    const size_t cut_bytes = (n_parts + 1) * sizeof(int64_t);
    const size_t bytes = cut_bytes + 2 * n_parts * n_groups * sizeof(int32_t);
    int64_t* const cuts = static_cast<int64_t*>(allocate(bytes));
    int32_t* const scratch = reinterpret_cast<int32_t*>(cuts + n_parts + 1);
    cut(w.groups, x.width, n_parts, cuts);
    in_parts(n_parts, [&](int part, int) {
      int32_t* const first = scratch + 2 * part * n_groups;
      inputs(cuts[part], cuts[part + 1], first, first + n_groups);
    });
    release(cuts, bytes);
  }
};

template <int R, int L, class Finish>
inline void backward_blocks(const Blocks& w, const float* values, Panels<const float> dy, Panels<const float> x,
                            Panels<float> dx, float* dw, int64_t done, const Finish& finish, bool fresh = true) {
  BackwardPass<R, L, Finish>{w, values, dy, x, dx, dw, done, fresh, finish}.run();
}

}  // namespace
}  // namespace dsae::DSAE_LEVEL
