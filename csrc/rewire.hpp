// Changes of topology, each O(nnz), on integers only.
#pragma once

#include "csr.hpp"

namespace dsae {

struct Edges {
  const int32_t* rows;
  const int32_t* cols;
  int64_t count;
};

// CSR of the transpose and, for each of its slots, the slot it comes from (counting sort).
void transpose(const Csr& w, int64_t n_cols, int32_t* indptr, int32_t* indices, int32_t* slots);

// Kept slots merged with the grown edges (sorted by row, then column). `source` is the old slot, -1 where grown.
void rewire(const Csr& w, const bool* keep, const Edges& grown, int32_t* indptr, int32_t* indices, int32_t* source);

// Slot map of a patched transpose; `source` is the rewiring of the matrix, `patch` that of its transpose, `order` sorts
// the grown edges by column. `moved` [old_nnz] and `grown` [n_grown] are scratch.
void patch_slots(const int32_t* old_slots, const int32_t* source, const int32_t* patch, const int32_t* order, int64_t nnz,
                 int32_t* moved, int32_t* grown, int32_t* slots);

}  // namespace dsae
