// Activations, in place, in one table: a new one is a function and a line at its end, whose place is the `kernel` of
// its record in Python. Those of a unit by itself take panels of any width, one lane included; those by row take rows.
#include "exponential.hpp"
#include "select.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

// f(number) for each; how many are not zero afterwards.
template <class F>
inline int64_t each(float* x, int64_t size, const F& f) {
  int32_t live = 0;
  for (int64_t i = 0; i < size; ++i) {
    x[i] = f(x[i]);
    live += x[i] != 0;
  }
  return live;
}

inline float keep_above(float x, float threshold) { return x > threshold ? x : 0.0f; }

inline int64_t size_of(Panels<float> z) { return z.count * z.width * z.lanes; }

int64_t identity(const Activation&, Panels<float> z) { return size_of(z); }

int64_t relu(const Activation&, Panels<float> z) {
  return each(z.data, size_of(z), [](float x) { return x < 0 ? 0.0f : x; });
}

int64_t sigmoid(const Activation&, Panels<float> z) {
  return each(z.data, size_of(z), [](float x) { return 1 / (1 + exponential(-x)); });
}

// Bounded as LARGEST_LOG_RATE of config/_activations.py has it.
int64_t exp(const Activation&, Panels<float> z) {
  return each(z.data, size_of(z), [](float x) { return exponential(x > 15.0f ? 15.0f : x); });
}

int64_t above_threshold(const Activation& activation, Panels<float> z) {
  const float* const thresholds = activation.thresholds;
  int64_t live = 0;
  for (int64_t p = 0; p < z.count; ++p) {
    float* x = z.data + p * z.width * z.lanes;
    if (z.lanes == 1) {
      for (int64_t f = 0; f < z.width; ++f) live += (x[f] = keep_above(x[f], thresholds[f])) != 0;
      continue;
    }
    for (int64_t f = 0; f < z.width; ++f)
      live += each(x + f * z.lanes, z.lanes, [&](float number) { return keep_above(number, thresholds[f]); });
  }
  return live;
}

void softmax_row(float* x, int64_t size) {
  if (!size) return;
  constexpr int kChains = 16;  // numbers of an AVX-512 register: maximum and sum are taken side by side
  float best[kChains], sum[kChains] = {};
  for (float& b : best) b = x[0];
  const auto over = [&](auto f) {
    int64_t i = 0;
    for (; i + kChains <= size; i += kChains)
      for (int j = 0; j < kChains; ++j) f(j, x[i + j]);
    for (int j = 0; i < size; ++i, ++j) f(j, x[i]);
  };
  over([&](int j, float& number) { best[j] = number < best[j] ? best[j] : number; });
  for (int j = 1; j < kChains; ++j) best[0] = best[j] < best[0] ? best[0] : best[j];
  over([&](int j, float& number) { sum[j] += number = exponential(number - best[0]); });
  for (int j = 1; j < kChains; ++j) sum[0] += sum[j];
  const float scale = 1 / sum[0];
  for (int64_t i = 0; i < size; ++i) x[i] *= scale;
}

int64_t softmax(const Activation&, Panels<float> z) {
  for (int64_t row = 0; row < z.count; ++row) softmax_row(z.data + row * z.width, z.width);
  return size_of(z);
}

int64_t topk_row(float* x, int64_t size, int64_t k) {
  float scratch[1536];  // k up to 128 in few passes
  const int32_t kth = kth_largest(x, size, k, scratch, 1536);
  int64_t ties = kth ? k - at_least(x, size, kth + 1) : 0;
  if (kth && at_least(x, size, kth) > k)  // ties go to the lower index
    for (int64_t i = 0; i < size; ++i)
      if (bits_of(x[i]) == kth && ties-- <= 0) x[i] = 0;
  return each(x, size, [&](float number) { return bits_of(number) >= kth ? number : 0.0f; });
}

int64_t topk(const Activation& activation, Panels<float> z) {
  int64_t live = 0;
  for (int64_t row = 0; row < z.count; ++row) live += topk_row(z.data + row * z.width, z.width, activation.k);
  return live;
}

}  // namespace

const ActivationKind activations[] = {
    {identity, false, false, false}, {relu, false, false, false},
    {sigmoid, false, false, false},  {above_threshold, false, false, true},
    {softmax, true, false, false},   {topk, true, true, false},
    {exp, false, false, false},
};
const int n_activations = sizeof(activations) / sizeof(activations[0]);

}  // namespace dsae::DSAE_LEVEL
