// What a loss makes of one output's samples: its sum, and its derivative in place.
//
// A new loss is a function and a case of `compare`, whose number is the `kernel` of its record in Python; the tiles of
// tiled_loss.cpp and the steps of training come here.
#pragma once

#include "counts.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

inline float total(Vec v) { return sums<1>(&v)[0]; }

template <int L>
inline float sum_line(const float* line) {
  Vec sum = {};
  for (int n = 0; n < L; n += kWidth) sum += load(line + n);
  return total(sum);
}

constexpr int kLosses = 5;
enum PlainLoss { kSquared, kEntropy };

// One output's samples: `z` becomes the loss' derivative by what the last layer gave, less the record's factor, where
// a loss takes that (all but the squared error), else by the activated output. The summed loss.
template <int L>
inline float compare(int loss, float* z, const float* target, const float* known, const float* weights,
                     const LineBeside& beside) {
  float found[L], by_size[L];
  if (loss == kSquared) {
    for (int n = 0; n < L; ++n) {
      const float residual = z[n] - target[n];
      found[n] = residual * residual;
      z[n] = residual;
    }
  } else if (loss == kPoisson || loss == kMultinomial) {
    compare_rates<L>(largest_log_rate(loss), z, target, beside.offset, found);
  } else if (loss == kNegativeBinomial) {
    compare_negative_binomial<L>(beside, z, target, found, by_size);
  } else {
    for (int n = 0; n < L; ++n) {
      const float e = exponential(z[n] < 0 ? z[n] : -z[n]), positive = z[n] < 0 ? 0.0f : z[n];
      found[n] = positive + log_of_one_plus(e) - target[n] * z[n];
      z[n] = (z[n] < 0 ? e : 1.0f) / (1 + e) - target[n];
    }
  }
  // Selected, not multiplied: what is unknown may be NaN, and lines end in lanes that are no samples.
  for (int n = 0; n < L; ++n) {
    const float weight = weights[n] * (known ? known[n] : 1.0f);
    found[n] = weight != 0 ? found[n] * weight : 0.0f;
    z[n] = weight != 0 ? z[n] * weight : 0.0f;
  }
  if (loss == kNegativeBinomial && beside.by_dispersion) {
    for (int n = 0; n < L; ++n) {
      const float weight = weights[n] * (known ? known[n] : 1.0f);
      by_size[n] = weight != 0 ? by_size[n] * weight : 0.0f;
    }
    *beside.by_dispersion += sum_line<L>(by_size);
  }
  return sum_line<L>(found);
}

inline bool takes_logits(int loss) { return loss > 0; }

}  // namespace
}  // namespace dsae::DSAE_LEVEL
