// The cache that blocks of columns are sized for.
#pragma once

#include <cstdint>

namespace dsae {

// Bytes of a core's second-level cache: what the C library, /sys, the processor or the system say, in this order, kept
// within [256 KB, 2 MB]; 1 MB if none of them does. Virtual machines claim up to 16 MB that their hosts do not have.
int64_t l2_bytes();
// Another size from now on, for all threads; 0 asks the machine again. Gives what it was. The bits of a product do not
// depend on it.
int64_t set_l2_bytes(int64_t bytes);

// Bytes of a panel's lines in one block of columns. Narrow panels are summed in several chains (spmm_row), whose order
// other blocks would change: for them the size is fixed.
static inline int64_t spmm_block_bytes(int lanes) { return lanes == 64 ? l2_bytes() / 2 : 512 << 10; }
// A visit costs more in a backward pass: 256 KB, half of an L2 of 512 KB, took 5 to 15 % longer than 512 KB.
static inline int64_t dot_block_bytes() { return l2_bytes() / 2 < 512 << 10 ? 512 << 10 : l2_bytes() / 2; }

}  // namespace dsae
