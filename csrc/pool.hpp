// Memory for activations and gradients: aligned to cache lines, in huge pages where large, kept for the next step when
// given back. A training step asks for the same sizes again and again; fresh pages cost as much as the kernels.
#pragma once

#include <cstddef>

namespace dsae {

void* allocate(size_t bytes);
void release(void* block, size_t bytes) noexcept;
// Frees what is kept for the next step.
void clear_cache() noexcept;

}  // namespace dsae
