// A sparse matrix's live edges, row by row. Owns nothing.
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

}  // namespace dsae
