// A sparse matrix's live edges, row by row, alone or in blocks. Owns nothing.
#pragma once

#include <cstdint>

namespace dsae {

struct Csr {
  const int32_t* indptr;   // [n_rows + 1]
  const int32_t* indices;  // [indptr[n_rows]]
  int64_t n_rows;
};

// What one row costs beside its edges, in edges: start-up, bias and the store.
constexpr int64_t kRowCost = 8;

static inline int64_t cost(const Csr& w) { return w.indptr[w.n_rows] + kRowCost * w.n_rows; }

// The first row such that all rows before it cost at least `target`.
static inline int64_t row_at_cost(const Csr& w, int64_t target) {
  int64_t low = 0, high = w.n_rows;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (w.indptr[middle] + kRowCost * middle < target) low = middle + 1;
    else high = middle;
  }
  return low;
}

// The row that owns `slot`.
static inline int64_t row_of(const Csr& w, int64_t slot) {
  int64_t low = 0, high = w.n_rows;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (w.indptr[middle + 1] <= slot) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Edges in blocks: groups of `size` neighbouring rows share their inputs. `groups` has a row for each group and an
// index for each block, whose numbers lie side by side. The last group is narrower where `size` does not divide n_rows.
struct Blocks {
  Csr groups;
  int64_t n_rows;
  int size;

  int64_t width(int64_t group) const {
    const int64_t left = n_rows - group * size;
    return left < size ? left : size;
  }
  // Where the numbers of `block`, one of the group's, begin.
  int64_t slot(int64_t group, int64_t block) const {
    const int64_t first = groups.indptr[group];
    return first * size + (block - first) * width(group);
  }
  // One past the last slot of the group.
  int64_t end(int64_t group) const { return slot(group, groups.indptr[group + 1]); }
  int64_t nnz() const { return groups.n_rows ? end(groups.n_rows - 1) - groups.indptr[0] * size : 0; }
  // Groups [first, last): slots stay those of the whole.
  Blocks part(int64_t first, int64_t last) const {
    const int64_t until = last * size < n_rows ? last * size : n_rows;
    return {{groups.indptr + first, groups.indices, last - first}, until - first * size, size};
  }
};

// Every edge by itself: a block of one.
static inline Blocks single(const Csr& w) { return {w, w.n_rows, 1}; }

}  // namespace dsae
