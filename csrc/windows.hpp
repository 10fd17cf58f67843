// A matrix's edges by windows of rows, within a window by column: what a kernel that walks the columns finds of a
// window's rows is in L2. Depends on the topology alone.
#pragma once

#include <vector>

#include "kernels.hpp"

namespace dsae {

// Where each column of each window of `height` rows begins, [n_windows * n_cols + 1]. Writes each edge's row and slot,
// [nnz].
std::vector<int32_t> window_edges(const Csr& w, int64_t n_cols, int64_t height, int32_t* rows, int32_t* slots);

}  // namespace dsae
