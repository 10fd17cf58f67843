// Changes of topology, each O(nnz).
#pragma once

#include "csr.hpp"

namespace dsae {

enum class Fault { none, indptr, outside, order };

// What keeps arrays of n_rows + 1 and nnz integers from being a topology. Reads nothing that lies elsewhere.
Fault find_fault(const Csr& w, int64_t nnz, int64_t n_cols);

// CSR of the transpose, edges one by one, and for each of its slots the slot it comes from (counting sort).
void transpose(const Blocks& w, int64_t n_cols, int32_t* indptr, int32_t* indices, int32_t* slots);

// Kept slots merged with the grown edges: first how many and where rows begin, then the rest. `source` is the old slot,
// -1 where grown.
int64_t count_rewired(const Csr& w, const bool* keep, const Csr& grown, int32_t* indptr);
void rewire(const Csr& w, const bool* keep, const Csr& grown, const int32_t* indptr, int32_t* indices, int32_t* source);

// out[slot] = values[source[slot]], or 0 where that is no slot of the old topology.
void move(const float* values, int64_t old_nnz, const int32_t* source, int64_t nnz, float* out);

}  // namespace dsae
