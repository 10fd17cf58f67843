// What a softmax over very many outputs divides by, without holding them: outputs in blocks whose size depends on their
// number alone, each with the largest and the sum of its exponentials, put together in order. So the result does not
// depend on the number of threads.
#include "blocks.hpp"
#include "edges.hpp"
#include "exponential.hpp"
#include "parallel.hpp"
#include "pool.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr int64_t kMostBlocks = 1024, kLeastRows = 64;
constexpr int kLines = 16;  // outputs at once, whole groups of them: their lines stay in L1

// The samples of one panel over some outputs.
template <int R, int L>
void sum_block(const OutputLayer& layer, const float* x, int64_t panel, int64_t begin, int64_t end, float* best,
               float* sum) {
  float lines[kLines * L];
  for (int n = 0; n < L; ++n) best[n] = -3e38f, sum[n] = 0;
  for (int64_t row = begin; row < end; row += kLines) {
    const int64_t count = end - row < kLines ? end - row : kLines;
    const Csr& groups = layer.w.groups;
    for (int64_t i = 0; i < count; i += R) {
      const int64_t group = (row + i) / R;
      const Visit at = {panel, group, groups.indptr[group], groups.indptr[group + 1], true};
      if constexpr (R == 1) spmm_row<L>(groups, layer.values, layer.bias, x, lines + i * L, at);
      else block_row<R, L>(layer.w, layer.values, layer.bias, x, lines + i * L, at);
    }
    float before[L];
    for (int n = 0; n < L; ++n) before[n] = best[n];
    for (int64_t i = 0; i < count; ++i)
      for (int n = 0; n < L; ++n) best[n] = best[n] < lines[i * L + n] ? lines[i * L + n] : best[n];
    for (int n = 0; n < L; ++n) sum[n] *= exponential(before[n] - best[n]);
    for (int64_t i = 0; i < count; ++i)
      for (int n = 0; n < L; ++n) sum[n] += exponential(lines[i * L + n] - best[n]);
  }
}

template <int R, int L>
void sum_all(const OutputLayer& layer, Panels<const float> x, int64_t n_rows, float* sums) {
  const int64_t n_out = layer.w.n_rows, least = (n_out + kMostBlocks - 1) / kMostBlocks;
  const int64_t height = ((least < kLeastRows ? kLeastRows : least) + R - 1) / R * R,
                n_blocks = (n_out + height - 1) / height;
  const int64_t stride = x.count * L;
  const size_t bytes = 2 * n_blocks * stride * sizeof(float);
  float* const best = static_cast<float*>(allocate(bytes));
  float* const sum = best + n_blocks * stride;
  parallel(cost(layer.w.groups) * R * stride, [&](int thread, int n) {
    for (int64_t block = n_blocks * thread / n; block < n_blocks * (thread + 1) / n; ++block)
      for (int64_t panel = 0; panel < x.count; ++panel) {
        const int64_t begin = block * height, end = begin + height < n_out ? begin + height : n_out;
        const int64_t at = block * stride + panel * L;
        sum_block<R, L>(layer, x.data + panel * x.width * L, panel, begin, end, best + at, sum + at);
      }
  });
  for (int64_t row = 0; row < n_rows; ++row) {
    float largest = -3e38f, all = 0;
    for (int64_t block = 0; block < n_blocks; ++block) {
      const float other = best[block * stride + row];
      largest = largest < other ? other : largest;
    }
    for (int64_t block = 0; block < n_blocks; ++block)
      all += sum[block * stride + row] * exponential(best[block * stride + row] - largest);
    sums[row] = largest + logarithm(all);
  }
  release(best, bytes);
}

}  // namespace

void log_sums(const OutputLayer& layer, Panels<const float> x, int64_t n_rows, float* sums) {
  const auto with = [&](auto rows) {
    with_lanes(x.lanes, [&](auto lanes) { sum_all<rows, lanes>(layer, x, n_rows, sums); });
  };
  if (layer.w.size == 1) with(std::integral_constant<int, 1>());
  else with_block_size(layer.w.size, with);
}

}  // namespace dsae::DSAE_LEVEL
