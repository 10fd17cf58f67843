// A matrix's edges by groups of rows of one length, within a group by column: a kernel that walks the rows of a column
// knows how far each goes, and finds those of a group in L2. Depends on the topology alone.
#pragma once

#include <vector>

#include "kernels.hpp"

namespace dsae {

struct Groups {
  std::vector<int32_t> cuts;     // [lengths.size() * n_cols + 1]: where each column of each group begins
  std::vector<int32_t> lengths;  // edges of each row of a group; 0 where they differ
};

// Groups of at most `most` edges, unless a row has more. Writes each edge's row and slot, [nnz].
Groups group_rows(const Csr& w, int64_t n_cols, int64_t most, int32_t* rows, int32_t* slots);

}  // namespace dsae
