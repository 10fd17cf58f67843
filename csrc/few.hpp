// The numbers of one block, 4 or 8 side by side, whatever the width of a vector is.
#pragma once

#include "level.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr int kFour = 4;
typedef float Four __attribute__((vector_size(4 * kFour), aligned(4), may_alias));

template <int R>
struct Few {
  static constexpr int N = R / kFour;
  Four part[N];

  static Few at(const float* p) {
    Few found;
    for (int n = 0; n < N; ++n) found.part[n] = *reinterpret_cast<const Four*>(p + n * kFour);
    return found;
  }
  void put(float* p) const {
    for (int n = 0; n < N; ++n) *reinterpret_cast<Four*>(p + n * kFour) = part[n];
  }
  void add(float by, const Few& other) {
    for (int n = 0; n < N; ++n) part[n] += by * other.part[n];
  }
};

template <int R>
inline Few<R> times(float by, const Few<R>& a) {
  Few<R> found;
  for (int n = 0; n < Few<R>::N; ++n) found.part[n] = by * a.part[n];
  return found;
}

// Products of two blocks, added up in four lanes.
template <int R>
inline Four products(const Few<R>& a, const Few<R>& b) {
  Four sum = a.part[0] * b.part[0];
  for (int n = 1; n < Few<R>::N; ++n) sum += a.part[n] * b.part[n];
  return sum;
}

// Lane i is the sum over the lanes of v[i].
inline Four sums_of_four(const Four* v) {
  const Four a = __builtin_shufflevector(v[0], v[1], 0, 1, 4, 5) + __builtin_shufflevector(v[0], v[1], 2, 3, 6, 7);
  const Four b = __builtin_shufflevector(v[2], v[3], 0, 1, 4, 5) + __builtin_shufflevector(v[2], v[3], 2, 3, 6, 7);
  return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
}

// y[indices] += by * values of a column whose edges come in blocks of R neighbouring outputs; what is left over at its
// end is of a narrower group.
template <int R>
inline void add_blocks(float* y, const int32_t* indices, const float* values, int64_t size, float by) {
  int64_t i = 0;
  for (; i + R <= size; i += R) {
    float* const to = y + indices[i];
    Few<R> sum = Few<R>::at(to);
    sum.add(by, Few<R>::at(values + i));
    sum.put(to);
  }
  for (; i < size; ++i) y[indices[i]] += by * values[i];
}

}  // namespace
}  // namespace dsae::DSAE_LEVEL
