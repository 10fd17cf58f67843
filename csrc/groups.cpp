#include "groups.hpp"

#include <algorithm>
#include <array>

namespace dsae {
namespace {

int64_t class_of(int64_t length) { return std::min<int64_t>(length, kGroupedLength + 1); }

int64_t length_of(const Csr& w, int64_t row) { return int64_t{w.indptr[row + 1]} - w.indptr[row]; }

// Rows begin to end by length, those of one length in order.
void sort_by_length(const Csr& w, int64_t begin, int64_t end, std::vector<int32_t>& order) {
  std::array<int32_t, kGroupedLength + 3> starts = {};
  order.resize(end - begin);
  for (int64_t row = begin; row < end; ++row) ++starts[class_of(length_of(w, row)) + 1];
  for (size_t i = 1; i < starts.size(); ++i) starts[i] += starts[i - 1];
  for (int64_t row = begin; row < end; ++row) order[starts[class_of(length_of(w, row))]++] = static_cast<int32_t>(row);
}

}  // namespace

Groups group_rows(const Csr& w, int64_t n_cols, int64_t most, int32_t* rows, int32_t* slots) {
  Groups found = {{0}, {}};
  std::vector<int32_t> order, next(n_cols);
  for (int64_t begin = 0, end = 0; begin < w.n_rows; begin = end) {
    while (end < w.n_rows && (end == begin || w.indptr[end + 1] - w.indptr[begin] <= most)) ++end;
    sort_by_length(w, begin, end, order);
    for (size_t first = 0, last = 0; first < order.size(); first = last) {
      const int64_t length = class_of(length_of(w, order[first]));
      while (last < order.size() && class_of(length_of(w, order[last])) == length) ++last;
      if (!length) continue;
      const auto for_edges = [&](const auto& body) {
        for (size_t at = first; at < last; ++at)
          for (int32_t slot = w.indptr[order[at]]; slot < w.indptr[order[at] + 1]; ++slot) body(order[at], slot);
      };
      std::fill(next.begin(), next.end(), 0);
      for_edges([&](int32_t, int32_t slot) { ++next[w.indices[slot]]; });
      for (int32_t& column : next) {
        const int32_t start = found.cuts.back(), stop = start + column;
        found.cuts.push_back(stop);
        column = start;
      }
      found.lengths.push_back(static_cast<int32_t>(length > kGroupedLength ? 0 : length));
      for_edges([&](int32_t row, int32_t slot) {
        const int32_t to = next[w.indices[slot]]++;
        rows[to] = row;
        slots[to] = slot;
      });
    }
  }
  return found;
}

}  // namespace dsae
