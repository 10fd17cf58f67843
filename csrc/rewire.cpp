#include "rewire.hpp"

namespace dsae {

void transpose(const Csr& w, int64_t n_cols, int32_t* indptr, int32_t* indices, int32_t* slots) {
  const int64_t nnz = w.indptr[w.n_rows];
  for (int64_t col = 0; col <= n_cols; ++col) indptr[col] = 0;
  for (int64_t slot = 0; slot < nnz; ++slot) ++indptr[w.indices[slot] + 1];
  for (int64_t col = 0; col < n_cols; ++col) indptr[col + 1] += indptr[col];
  for (int64_t row = 0; row < w.n_rows; ++row)
    for (int32_t slot = w.indptr[row]; slot < w.indptr[row + 1]; ++slot) {
      const int32_t to = indptr[w.indices[slot]]++;
      indices[to] = static_cast<int32_t>(row);
      slots[to] = slot;
    }
  for (int64_t col = n_cols; col > 0; --col) indptr[col] = indptr[col - 1];  // the cursors ran one row ahead
  indptr[0] = 0;
}

void rewire(const Csr& w, const bool* keep, const Edges& grown, int32_t* indptr, int32_t* indices, int32_t* source) {
  int32_t to = 0;
  int64_t next = 0;
  const auto put = [&](int32_t col, int32_t from) {
    indices[to] = col;
    source[to++] = from;
  };
  indptr[0] = 0;
  for (int64_t row = 0; row < w.n_rows; ++row) {
    for (int32_t slot = w.indptr[row]; slot < w.indptr[row + 1]; ++slot) {
      if (!keep[slot]) continue;
      for (; next < grown.count && grown.rows[next] == row && grown.cols[next] < w.indices[slot]; ++next)
        put(grown.cols[next], -1);
      put(w.indices[slot], slot);
    }
    for (; next < grown.count && grown.rows[next] == row; ++next) put(grown.cols[next], -1);
    indptr[row + 1] = to;
  }
}

void patch_slots(const int32_t* old_slots, const int32_t* source, const int32_t* patch, const int32_t* order, int64_t nnz,
                 int32_t* moved, int32_t* grown, int32_t* slots) {
  int64_t n_grown = 0;
  for (int32_t slot = 0; slot < nnz; ++slot) {
    if (source[slot] < 0) grown[n_grown++] = slot;
    else moved[source[slot]] = slot;
  }
  int64_t next = 0;
  for (int64_t slot = 0; slot < nnz; ++slot)
    slots[slot] = patch[slot] < 0 ? grown[order[next++]] : moved[old_slots[patch[slot]]];
}

}  // namespace dsae
