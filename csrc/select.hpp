// The k-th largest of many numbers, by counting alone: positive floats are ordered as their bits are.
#pragma once

#include "level.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

inline int64_t at_least(const float* x, int64_t size, int32_t bits) {
  int32_t count = 0;
  for (int64_t i = 0; i < size; ++i) count += bits_of(x[i]) >= bits;
  return count;
}

// The bits of the k-th largest, found bit by bit; 0 where fewer than k are positive.
inline int32_t kth_of_few(const float* x, int64_t size, int64_t k) {
  int32_t kth = 0;
  for (int bit = 30; bit >= 0; --bit)
    if (at_least(x, size, kth | 1 << bit) >= k) kth |= 1 << bit;
  return kth;
}

constexpr int64_t kGroupsPerK = 4;  // 2: twice the candidates, 8: twice the maxima; both slower

// What kth_largest needs to be fast: places for the maxima and for the candidates.
inline int64_t kth_scratch(int64_t k) { return 3 * kGroupsPerK * k; }

// The same of many in three passes instead of 31. The k-th largest of the maxima of disjoint groups is at most the k-th
// largest of all; what reaches it, hardly more than k numbers, is counted bit by bit.
inline int32_t kth_largest(const float* x, int64_t size, int64_t k, float* scratch, int64_t scratch_size) {
  const int64_t groups = kGroupsPerK * k, room = scratch_size - groups;
  if (room < groups || size < 4 * groups) return kth_of_few(x, size, k);
  float *const best = scratch, *const candidates = scratch + groups;
  for (int64_t j = 0; j < groups; ++j) best[j] = x[j];
  for (int64_t begin = groups; begin < size; begin += groups) {
    const int64_t count = size - begin < groups ? size - begin : groups;
    for (int64_t j = 0; j < count; ++j) best[j] = x[begin + j] > best[j] ? x[begin + j] : best[j];
  }
  const int32_t bound = kth_of_few(best, groups, k);
  if (!bound) return kth_of_few(x, size, k);
  constexpr int64_t kBlock = 16;
  int64_t count = 0;
  for (int64_t begin = 0; begin < size; begin += kBlock) {
    const int64_t end = begin + kBlock < size ? begin + kBlock : size;
    if (!at_least(x + begin, end - begin, bound)) continue;
    if (count + kBlock > room) return kth_of_few(x, size, k);
    for (int64_t i = begin; i < end; ++i) {
      candidates[count] = x[i];
      count += bits_of(x[i]) >= bound;
    }
  }
  return kth_of_few(candidates, count, k);
}

}  // namespace
}  // namespace dsae::DSAE_LEVEL
