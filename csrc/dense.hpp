// Edges within a dense matrix [n_rows, n_cols], for what is quicker by a matrix product.
#pragma once

#include "csr.hpp"

namespace dsae {

// The matrix, zero but at the edges.
void to_dense(const Blocks& w, const float* values, int64_t n_cols, float* matrix);

// What the matrix has at the edges.
void from_dense(const Blocks& w, const float* matrix, int64_t n_cols, float* values);

}  // namespace dsae
