// What a training step does with lines of 64 samples or fewer beside products: activations and their derivatives.
#pragma once

#include "counts.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

// Places in the table of activate.cpp.
enum Kind { kIdentity, kRelu, kSigmoid, kSoftmax = 4, kExp = 6 };

template <int L>
inline void activate(int kind, float* line) {
  if (kind == kRelu) {
    for (int n = 0; n < L; ++n) line[n] = line[n] < 0 ? 0.0f : line[n];
  } else if (kind == kSigmoid) {
    for (int n = 0; n < L; ++n) line[n] = 1 / (1 + exponential(-line[n]));
  } else if (kind == kExp) {
    for (int n = 0; n < L; ++n) line[n] = exponential(line[n] > kLargestLogRate ? kLargestLogRate : line[n]);
  }
}

// d of what an activation gave becomes d of what it took; of softmax, `shared` is <h, d> over the units.
template <int L>
inline void differentiate(int kind, const float* h, float* d, const float* shared = nullptr) {
  switch (kind) {
    case kRelu:
      for (int n = 0; n < L; ++n) d[n] = h[n] > 0 ? d[n] : 0.0f;
      break;
    case kSigmoid:
      for (int n = 0; n < L; ++n) d[n] *= h[n] * (1 - h[n]);
      break;
    case kExp:
      for (int n = 0; n < L; ++n) d[n] *= h[n];
      break;
    case kSoftmax:
      for (int n = 0; n < L; ++n) d[n] = h[n] * (d[n] - shared[n]);
      break;
  }
}

// Of all units of a panel; a unit depends on the others of its sample.
template <int L>
inline void softmax(float* y, int64_t width) {
  float best[L], sum[L] = {};
  for (int n = 0; n < L; ++n) best[n] = y[n];
  for (int64_t i = 0; i < width * L; i += L)
    for (int n = 0; n < L; ++n) best[n] = y[i + n] < best[n] ? best[n] : y[i + n];
  for (int64_t i = 0; i < width * L; i += L)
    for (int n = 0; n < L; ++n) sum[n] += y[i + n] = exponential(y[i + n] - best[n]);
  for (int n = 0; n < L; ++n) sum[n] = 1 / sum[n];
  for (int64_t i = 0; i < width * L; i += L)
    for (int n = 0; n < L; ++n) y[i + n] *= sum[n];
}

// From every lane of `offset`, the logarithm of the sum of exp(y) over the units, by their weights where these are
// given; a lane in which nothing weighs stays as it is.
template <int L>
inline void less_log_sums(const float* y, const float* known, int64_t width, float* offset) {
  float best[L], sum[L] = {};
  for (int n = 0; n < L; ++n) best[n] = -3e38f;
  for (int64_t i = 0; i < width * L; i += L)
    for (int n = 0; n < L; ++n) best[n] = best[n] < y[i + n] && (!known || known[i + n] > 0) ? y[i + n] : best[n];
  for (int64_t i = 0; i < width * L; i += L)
    for (int n = 0; n < L; ++n) {
      const float term = exponential(y[i + n] < best[n] ? y[i + n] - best[n] : 0.0f);
      sum[n] += known ? known[i + n] * term : term;
    }
  for (int n = 0; n < L; ++n)
    if (sum[n] > 0) offset[n] -= best[n] + logarithm(sum[n]);
}

}  // namespace
}  // namespace dsae::DSAE_LEVEL
