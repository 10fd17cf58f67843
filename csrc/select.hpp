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

// The k-th largest of the maxima of disjoint groups, which is at most the k-th largest of all; hardly more than k
// numbers reach it. 0 where that says nothing. `best` has room for all groups.
inline int32_t lower_bound(const float* x, int64_t size, int64_t k, float* best) {
  const int64_t groups = kGroupsPerK * k;
  if (size < 4 * groups) return 0;
  for (int64_t j = 0; j < groups; ++j) best[j] = x[j];
  for (int64_t begin = groups; begin < size; begin += groups) {
    const int64_t count = size - begin < groups ? size - begin : groups;
    for (int64_t j = 0; j < count; ++j) best[j] = x[begin + j] > best[j] ? x[begin + j] : best[j];
  }
  return kth_of_few(best, groups, k);
}

// The numbers that reach `bits`, and where they are (may be null); -1 where these are more than `room`.
inline int64_t reaching(const float* x, int64_t size, int32_t bits, int64_t room, float* values, int32_t* places) {
  constexpr int64_t kBlock = 16;
  int64_t count = 0;
  for (int64_t begin = 0; begin < size; begin += kBlock) {
    const int64_t end = begin + kBlock < size ? begin + kBlock : size;
    if (!at_least(x + begin, end - begin, bits)) continue;
    if (count + end - begin > room) return -1;
    for (int64_t i = begin; i < end; ++i) {  // without a branch: they come at random
      values[count] = x[i];
      if (places) places[count] = static_cast<int32_t>(i);
      count += bits_of(x[i]) >= bits;
    }
  }
  return count;
}

// What kth_largest needs to be fast: places for the maxima and for the candidates.
inline int64_t kth_scratch(int64_t k) { return 3 * kGroupsPerK * k; }

// The bits of the k-th largest of many, in three passes instead of 31; 0 where fewer than k are positive.
inline int32_t kth_largest(const float* x, int64_t size, int64_t k, float* scratch, int64_t scratch_size) {
  const int64_t groups = kGroupsPerK * k, room = scratch_size - groups;
  const int32_t bound = room < groups ? 0 : lower_bound(x, size, k, scratch);
  const int64_t count = bound ? reaching(x, size, bound, room, scratch + groups, nullptr) : -1;
  return count < 0 ? kth_of_few(x, size, k) : kth_of_few(scratch + groups, count, k);
}

}  // namespace
}  // namespace dsae::DSAE_LEVEL
