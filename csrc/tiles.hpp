// The order in which a kernel visits a matrix that multiplies a stack of panels, so that what it reads again is near:
//
//   rows, a share of the edges for each thread
//     block of columns: its lines of a panel stay in L2 however wide the panel is
//       panel: the block's edges, read once for each, stay in the last cache however large the matrix is
//         row
#pragma once

#include "csr.hpp"
#include "panel.hpp"
#include "parallel.hpp"
#include "pool.hpp"

namespace dsae {
namespace {

constexpr int64_t kChunkEdges = 1 << 17;  // of a block of columns
constexpr int64_t kEdgesPerVisit = 16;    // fewer, and finding a row's next block costs more than the cache gives

// What a kernel does with a row's edges [first, last) on one panel; `fresh` on the row's first visit there, `final` on
// its last.
struct Visit {
  int64_t panel, row;
  int32_t first, last;
  bool fresh;
  bool final = true;
};

template <class T>
inline int64_t count_blocks(const Csr& w, const Panels<T>& x, int64_t block_bytes) {
  const int64_t wanted = x.width * x.lanes * static_cast<int64_t>(sizeof(T)) / block_bytes;
  const int64_t useful = w.indptr[w.n_rows] / (w.n_rows * kEdgesPerVisit + 1);
  const int64_t n = wanted < useful ? wanted : useful;
  return n < 1 ? 1 : n;
}

// The first edge of [first, last) whose column is not below `column`.
inline int32_t edge_at_column(const Csr& w, int32_t first, int32_t last, int64_t column) {
  if (first == last || w.indices[last - 1] < column) return last;
  while (first < last) {
    const int32_t middle = first + (last - first) / 2;
    if (w.indices[middle] < column) first = middle + 1;
    else last = middle;
  }
  return first;
}

// The block's lines of one panel. Rows touch them in no order that a hardware prefetcher would know.
template <class T>
inline void prefetch(const Panels<T>& x, int64_t panel, int64_t first_column, int64_t last_column) {
  const T* const from = x.data + panel * x.width * x.lanes;
  for (int64_t i = first_column * x.lanes; i < last_column * x.lanes; i += 64 / sizeof(T))
    __builtin_prefetch(from + i, 0, 2);
}

// Rows [begin, end); `first` and `last` are scratch for as many.
template <class T, class Body>
inline void visit_rows(const Csr& w, const Panels<T>& x, int64_t begin, int64_t end, int64_t n_blocks, int32_t* first,
                       int32_t* last, const Body& body) {
  for (int64_t row = begin; row < end; ++row) first[row - begin] = w.indptr[row];
  for (int64_t block = 0; block < n_blocks; ++block) {
    const int64_t column = x.width * block / n_blocks, next_column = x.width * (block + 1) / n_blocks;
    for (int64_t row = begin; row < end; ++row)
      last[row - begin] = edge_at_column(w, first[row - begin], w.indptr[row + 1], next_column);
    for (int64_t panel = 0; panel < x.count; ++panel) {
      if (n_blocks > 1) prefetch(x, panel, column, next_column);
      for (int64_t row = begin; row < end; ++row)
        body(Visit{panel, row, first[row - begin], last[row - begin], block == 0, block + 1 == n_blocks});
    }
    int32_t* const passed = first;
    first = last;
    last = passed;
  }
}

// body(visit) for every row of `w` on every panel of `x`, what its columns point into, in blocks of about
// `block_bytes` of a panel. An edge is `rows` multiply-adds.
template <class T, class Body>
inline void for_each_visit(const Csr& w, const Panels<T>& x, int64_t block_bytes, const Body& body, int rows = 1) {
  const int64_t total = cost(w), n_blocks = count_blocks(w, x, block_bytes);
  const size_t scratch_bytes = 2 * w.n_rows * sizeof(int32_t);
  int32_t* const all_scratch = static_cast<int32_t*>(allocate(scratch_bytes));
  parallel(total * rows * x.lanes * x.count, [&](int thread, int n) {
    const int64_t end = row_at_cost(w, total * (thread + 1) / n);
    int64_t begin = row_at_cost(w, total * thread / n);
    int32_t* const scratch = all_scratch + 2 * begin;
    while (begin < end) {
      const int64_t full = row_of(w, w.indptr[begin] + kChunkEdges * n_blocks);
      const int64_t stop = full <= begin ? begin + 1 : full < end ? full : end;
      visit_rows(w, x, begin, stop, n_blocks, scratch, scratch + (stop - begin), body);
      begin = stop;
    }
  });
  release(all_scratch, scratch_bytes);
}

}  // namespace
}  // namespace dsae
