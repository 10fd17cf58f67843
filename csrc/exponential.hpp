// Functions of one number that the compiler vectorises.
#pragma once

#include "level.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

// exp within 2 units in the last place: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2] (Cephes). Vectorises.
inline float exponential(float number) {
  const float x = number > 88.0f ? 88.0f : number >= -87.0f ? number : -87.0f;  // a bound for NaN: no integer is NaN
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  const float n = (x * 1.44269504088896341f + kRound) - kRound;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  __builtin_memcpy(&power, &bits, 4);
  return number == number ? (p * r * r + r + 1.0f) * power : number;
}

// log(1 + x) for x in [0, 1]: 2 artanh(x / (2 + x)), whose argument is at most 1/3.
inline float log_of_one_plus(float x) {
  const float s = x / (2 + x), q = s * s;
  float p = 1.0f / 13;
  for (const float c : {1.0f / 11, 1.0f / 9, 1.0f / 7, 1.0f / 5, 1.0f / 3, 1.0f}) p = p * q + c;
  return 2 * s * p;
}

// log(x) for positive x: the exponent, and 2 artanh of what is left of the number, between sqrt(1/2) and sqrt(2).
inline float logarithm(float x) {
  constexpr int32_t kRootOfHalf = 0x3f3504f3;
  const int32_t bits = bits_of(x) - kRootOfHalf, rest = (bits & 0x007fffff) + kRootOfHalf;
  float m;
  __builtin_memcpy(&m, &rest, 4);
  const float exponent = static_cast<float>(bits >> 23), s = (m - 1) / (m + 1), q = s * s;
  float p = 1.0f / 9;
  for (const float c : {1.0f / 7, 1.0f / 5, 1.0f / 3, 1.0f}) p = p * q + c;
  return exponent * 0.693359375f + (2 * s * p - exponent * 2.12194440e-4f);
}

}  // namespace
}  // namespace dsae::DSAE_LEVEL
