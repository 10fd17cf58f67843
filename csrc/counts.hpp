// Likelihoods of counts, on one output's samples: a loss for every lane, and its derivative in place of z.
#pragma once

#include "exponential.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

// Numbers of their records' `kernel`.
enum CountLoss { kPoisson = 2, kNegativeBinomial, kMultinomial };

constexpr float kLargestLogRate = 15, kLargestLogDispersion = 7;  // as config/_activations.py and _losses.py have them

// Rates of a multinomial sum to a total, and need no bound.
inline float largest_log_rate(int loss) { return loss == kPoisson ? kLargestLogRate : __builtin_inff(); }

// What a likelihood takes beside an output and its target.
struct LineBeside {
  const float* offset;   // of every lane: the logarithm of its sample's total, less that of the sum of coupled outputs
  float log_dispersion;  // of the output, where it has one
  float* by_dispersion;  // to which the gradient by that is added; may be null
};

// Half the Poisson deviance of rates exp(z + offset).
template <int L>
inline void compare_rates(float largest, float* z, const float* target, const float* offset, float* found) {
  for (int n = 0; n < L; ++n) {
    const float x = target[n], bounded = z[n] < largest ? z[n] : z[n] >= largest ? largest : z[n];
    const float rate = exponential(bounded + offset[n]);
    found[n] = rate - x + x * (logarithm(x > 0 ? x : 1.0f) - z[n] - offset[n]);
    z[n] = rate - x;
  }
}

// lgamma(size) - lgamma(x + size) + lgamma(x + 1), and its derivative by size.
struct Ways {
  double logarithm, derivative;
};

// By Stirling's series from 8 on, before that by the recurrence.
inline Ways log_gamma(double y) {
  double product = 1, shift = 0;
  for (; y < 8; ++y) product *= y, shift += 1 / y;
  const double i = 1 / y, square = i * i, log_y = __builtin_log(y);
  return {(y - 0.5) * log_y - y + 0.91893853320467274178 + i * (1.0 / 12 - square * (1.0 / 360 - square / 1260)) -
              __builtin_log(product),
          log_y - i / 2 - square * (1.0 / 12 - square * (1.0 / 120 - square / 252)) - shift};
}

inline Ways ways(float x, double size) {
  const int whole = x < 32 ? static_cast<int>(x) : 0;
  if (whole != x) {
    const Ways of_size = log_gamma(size), of_both = log_gamma(x + size);
    return {of_size.logarithm - of_both.logarithm + log_gamma(x + 1.0).logarithm,
            of_size.derivative - of_both.derivative};
  }
  double product = 1, sum = 0;
  for (int i = 0; i < whole; ++i) product *= (i + 1) / (size + i), sum -= 1 / (size + i);
  return {__builtin_log(product), sum};
}

inline float log_one_plus(float u) { return u < 1 ? log_of_one_plus(u) : logarithm(1 + u); }

// Minus the log probability of a negative binomial; `by_size` is its derivative by the logarithm of the dispersion.
template <int L>
inline void compare_negative_binomial(const LineBeside& beside, float* z, const float* target, float* found,
                                      float* by_size) {
  const float b = kLargestLogDispersion, given = beside.log_dispersion;
  const float log_size = given < -b ? -b : given > b ? b : given, size = exponential(log_size);
  float moved[L];
  for (int n = 0; n < L; ++n) {
    const float x = target[n], bounded = z[n] < kLargestLogRate    ? z[n]
                                         : z[n] >= kLargestLogRate ? kLargestLogRate
                                                                   : z[n];
    const float mean = exponential(bounded + beside.offset[n]), both = 1 / (size + mean);
    const float grown = log_one_plus(mean / size);
    found[n] = (x + size) * grown + x * (log_size - z[n] - beside.offset[n]);
    by_size[n] = size * (grown + (x - mean) * both);
    moved[n] = size * (mean - x) * both;
  }
  for (int n = 0; n < L; ++n) {
    z[n] = moved[n];
    if (!(target[n] > 0)) continue;
    const Ways w = ways(target[n], size);
    found[n] += static_cast<float>(w.logarithm);
    by_size[n] += static_cast<float>(size * w.derivative);
  }
  if (log_size != given)
    for (int n = 0; n < L; ++n) by_size[n] = 0;
}

}  // namespace
}  // namespace dsae::DSAE_LEVEL
