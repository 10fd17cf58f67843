#include "windows.hpp"

#include <algorithm>

namespace dsae {

std::vector<int32_t> window_edges(const Csr& w, int64_t n_cols, int64_t height, int32_t* rows, int32_t* slots) {
  std::vector<int32_t> cuts = {0}, next(n_cols);
  cuts.reserve((w.n_rows + height - 1) / height * n_cols + 1);
  for (int64_t begin = 0; begin < w.n_rows; begin += height) {
    const int64_t end = std::min(begin + height, w.n_rows);
    std::fill(next.begin(), next.end(), 0);
    for (int32_t slot = w.indptr[begin]; slot < w.indptr[end]; ++slot) ++next[w.indices[slot]];
    for (int32_t& column : next) {
      const int32_t start = cuts.back();
      cuts.push_back(start + column);
      column = start;
    }
    for (int64_t row = begin; row < end; ++row)
      for (int32_t slot = w.indptr[row]; slot < w.indptr[row + 1]; ++slot) {
        const int32_t to = next[w.indices[slot]]++;
        rows[to] = static_cast<int32_t>(row);
        slots[to] = slot;
      }
  }
  return cuts;
}

}  // namespace dsae
