// The cache that blocks of columns are sized for.
#pragma once

#include <cstdint>

namespace dsae {

// Bytes of a core's second-level cache: what the C library, /sys, the processor or the system say, in this order, kept
// within [256 KB, 2 MB]; 1 MB where nobody knows. Virtual machines claim up to 16 MB that their hosts do not have.
int64_t l2_bytes();
// Another size from now on, for all threads; 0 asks the machine again. Gives what it was. The bits of a product do not
// depend on it.
int64_t set_l2_bytes(int64_t bytes);

}  // namespace dsae
