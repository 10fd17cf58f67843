// Rows of a matrix at random. They lie all over memory, where the hardware fetches ahead only within a page: what a row
// needs is asked for while those before it are copied.
#pragma once

#include "csr.hpp"
#include "panel.hpp"

namespace dsae {

// to[i] = from[chosen[i]].
void take_rows(Rows<const float> from, const int64_t* chosen, Rows<float> to);

// Where the rows of CSR that are chosen begin, [n + 1].
void count_taken(const Csr& from, const int64_t* chosen, int64_t n, int32_t* indptr);

// Their columns and numbers; `indptr` is theirs.
void take_csr(const Csr& from, const float* values, const int64_t* chosen, const Csr& to, int32_t* indices,
              float* taken);

}  // namespace dsae
