// Which edges go and which come.
#pragma once

#include "csr.hpp"

namespace dsae {

// Marks the n smallest scores; of equal ones the first, NaN last.
void smallest(const float* scores, int64_t size, int64_t n, bool* chosen);

// n distinct dead edges, every set of n equally likely, in two steps: how many fall to each row (indptr [n_rows + 1]),
// and which of its columns, in order (indices [n]). The same seed must go to both; threads do not change the outcome.
void draw_counts(const Csr& w, int64_t n_cols, int64_t n, uint64_t seed, int32_t* indptr);
void draw_columns(const Csr& w, int64_t n_cols, uint64_t seed, const int32_t* indptr, int32_t* indices);

// The dead edges among the first lengths[row] columns of `order`, a permutation: first how many and where rows begin,
// then their columns, sorted.
int64_t count_first(const Csr& w, int64_t n_cols, const int32_t* order, const int32_t* lengths, int32_t* indptr);
void first_columns(const Csr& w, int64_t n_cols, const int32_t* order, const int32_t* lengths, const int32_t* indptr,
                   int32_t* indices);

}  // namespace dsae
