// The refresh of transposed values, and the way back for their gradient. Slots of one column lie a row apart, those of
// the next beside them: the lines in use stay in L2.
#include "level.hpp"
#include "parallel.hpp"

namespace dsae::DSAE_LEVEL {

constexpr int64_t kMoved = 2 * sizeof(float) + sizeof(int32_t);  // bytes a number

void gather(const float* values, const int32_t* slots, float* out, int64_t size) {
  parallel_range(size, size * kMoved, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = values[slots[i]];
  });
}

void scatter(const float* values, const int32_t* slots, float* out, int64_t size) {
  parallel_range(size, size * kMoved, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[slots[i]] = values[i];
  });
}

}  // namespace dsae::DSAE_LEVEL
