// What the blocks of a group of rows do on a panel: R outputs share each line that is loaded, so that the multiply-adds
// and not the loads are the bound. Rows are held in registers as far as these go; docs/design/blocks.md counts.
#pragma once

#include "level.hpp"
#include "tiles.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

// Rows of a group that are taken at once, where its size allows: eight would need more registers, or lines from more
// places at a time. The lines are in L1 when the other half comes.
constexpr int kProductRows = 4, kDotRows = kWidth == 16 ? 4 : 8, kScatterRows = 4;
constexpr int kSums = kWidth == 16 ? 16 : 8;  // vectors of running sums that leave registers for the operands

// A number in every lane. `Vec{} + f` would add: 0 + f is not f where f is -0.
inline Vec splat(float f) { return f - Vec{}; }

// Some blocks of one group, and `members` of their rows: numbers of one block after those of the last, `stride` apart.
struct Run {
  const int32_t* indices;
  const float* values;
  int64_t count, stride;
};

// y[r] += values * x of R rows, L lanes each; `fresh` ones begin at the bias, which may be null.
template <int R, int L>
inline void run_product(const Run& run, const float* bias, bool fresh, const float* x, float* y) {
  constexpr int N = L / kWidth < kSums / R ? L / kWidth : kSums / R < 1 ? 1 : kSums / R;
#pragma GCC unroll 1
  for (int lane = 0; lane < L; lane += N * kWidth) {
    Vec sum[R][N];
    for (int r = 0; r < R; ++r)
      for (int n = 0; n < N; ++n)
        sum[r][n] = !fresh ? load(y + r * L + lane + n * kWidth) : bias ? splat(bias[r]) : Vec{};
    const float* values = run.values;
    for (int64_t i = 0; i < run.count; ++i, values += run.stride) {
      const float* from = x + int64_t{run.indices[i]} * L + lane;
      Vec line[N];
      for (int n = 0; n < N; ++n) line[n] = load(from + n * kWidth);
      for (int r = 0; r < R; ++r) {
        const Vec value = splat(values[r]);
        for (int n = 0; n < N; ++n) sum[r][n] += value * line[n];
      }
    }
    for (int r = 0; r < R; ++r)
      for (int n = 0; n < N; ++n) store(y + r * L + lane + n * kWidth, sum[r][n]);
  }
}

// x[index] += values * y of R rows, the transposed product.
template <int R, int L>
inline void run_scatter(const Run& run, const float* y, float* x) {
  constexpr int N = L / kWidth < kSums / R ? L / kWidth : kSums / R < 1 ? 1 : kSums / R;
#pragma GCC unroll 1
  for (int lane = 0; lane < L; lane += N * kWidth) {
    Vec own[R][N];
    for (int r = 0; r < R; ++r)
      for (int n = 0; n < N; ++n) own[r][n] = load(y + r * L + lane + n * kWidth);
    const float* values = run.values;
    for (int64_t i = 0; i < run.count; ++i, values += run.stride) {
      float* const to = x + int64_t{run.indices[i]} * L + lane;
      Vec sum[N];
      for (int n = 0; n < N; ++n) sum[n] = load(to + n * kWidth);
      for (int r = 0; r < R; ++r) {
        const Vec value = splat(values[r]);
        for (int n = 0; n < N; ++n) sum[n] += value * own[r][n];
      }
      for (int n = 0; n < N; ++n) store(to + n * kWidth, sum[n]);
    }
  }
}

// A stack of panels: how many, and how far apart.
struct Stack {
  const float* data;
  int64_t stride;
};

// E blocks' dot products of R rows with their lines, over `panels` panels: sums[e * R + r]. The sum over the lanes has
// the same order wherever a product stands, so that it does not depend on which blocks are taken together.
template <int R, int E, int L>
inline void dots(const int32_t* indices, const Stack& own, const Stack& x, int64_t panels, Vec* out) {
  constexpr int A = R * E;
  Vec part[A] = {};
  const float* from[E];
  for (int e = 0; e < E; ++e) from[e] = x.data + int64_t{indices[e]} * L;
#pragma GCC unroll 1
  for (int64_t p = 0; p < panels; ++p)
    for (int n = 0; n < L; n += kWidth) {
      Vec line[E];
      for (int e = 0; e < E; ++e) line[e] = load(from[e] + p * x.stride + n);
      for (int r = 0; r < R; ++r) {
        const Vec d = load(own.data + p * own.stride + r * L + n);
        for (int e = 0; e < E; ++e) part[e * R + r] += d * line[e];
      }
    }
  for (int a = 0; a < A; a += kWidth) out[a / kWidth] = sums<kWidth>(part + a);
}

// dw[block][r] (+)= <own[r], x[index]> for R rows.
template <int R, int L>
inline void run_dots(const Run& run, const Stack& own, const Stack& x, int64_t panels, bool add, float* dw) {
  constexpr int E = kSums / R < 1 ? 1 : kSums / R;
  static_assert(R * E % kWidth == 0);
  for (int64_t i = 0; i < run.count; i += E) {
    const int64_t count = run.count - i < E ? run.count - i : E;
    int32_t index[E];
    for (int e = 0; e < E; ++e) index[e] = run.indices[i + (e < count ? e : count - 1)];
    Vec found[R * E / kWidth];
    dots<R, E, L>(index, own, x, panels, found);
    float* const to = dw + i * run.stride;
    if (count == E && run.stride == R) {
      for (int v = 0; v < R * E / kWidth; ++v)
        store(to + v * kWidth, add ? load(to + v * kWidth) + found[v] : found[v]);
      continue;
    }
    for (int64_t e = 0; e < count; ++e)
      for (int r = 0; r < R; ++r) {
        float& at = to[e * run.stride + r];
        const float sum = found[(e * R + r) / kWidth][(e * R + r) % kWidth];
        at = add ? at + sum : sum;
      }
  }
}

// body(rows, first member) for a group of any width: at most `Most` rows at once, one by one in a narrow last group.
template <int R, int Most, class Body>
inline void by_members(int64_t width, const Body& body) {
  constexpr int At = R < Most ? R : Most;
  int64_t r = 0;
  if (width == R)
    for (; r < R; r += At) body(std::integral_constant<int, At>(), r);
  for (; r < width; ++r) body(std::integral_constant<int, 1>(), r);
}

inline Run run_of(const Blocks& w, const float* values, const Visit& at) {
  return {w.groups.indices + at.first, values ? values + w.slot(at.row, at.first) : nullptr, at.last - at.first,
          w.width(at.row)};
}

// The visit's group of a panel; `y` is its first row there, `bias` that of the matrix.
template <int R, int L>
inline void block_row(const Blocks& w, const float* values, const float* bias, const float* x, float* y,
                      const Visit& at) {
  const Run run = run_of(w, values, at);
  by_members<R, kProductRows>(run.stride, [&](auto rows, int64_t r) {
    const Run part = {run.indices, run.values + r, run.count, run.stride};
    run_product<rows, L>(part, bias ? bias + at.row * R + r : nullptr, at.fresh, x, y + r * L);
  });
}

// Both halves of its backward pass, over `panels` panels from `at.panel` on: dx, which must have begun, and dw, where
// they are not null. `own` is dY from the group's first row, `x` and `dx` whole panels.
template <int R, int L>
inline void block_back(const Blocks& w, const float* values, const Stack& own, const Stack& x, float* dx,
                       int64_t dx_stride, int64_t panels, float* dw, const Visit& at) {
  const Run run = run_of(w, values, at);
  if (dw)
    by_members<R, kDotRows>(run.stride, [&](auto rows, int64_t r) {
      const Stack mine = {own.data + r * L, own.stride};
      run_dots<rows, L>(run, mine, x, panels, at.panel > 0, dw + w.slot(at.row, at.first) + r);
    });
  if (dx)
    by_members<R, kScatterRows>(run.stride, [&](auto rows, int64_t r) {
      const Run part = {run.indices, run.values + r, run.count, run.stride};
      for (int64_t p = 0; p < panels; ++p)
        run_scatter<rows, L>(part, own.data + p * own.stride + r * L, dx + p * dx_stride);
    });
}

// Calls body with the rows of a block as a constant.
template <class Body>
inline void with_block_size(int size, const Body& body) {
  if (size == 4) body(std::integral_constant<int, 4>());
  else body(std::integral_constant<int, 8>());
}

}  // namespace
}  // namespace dsae::DSAE_LEVEL
