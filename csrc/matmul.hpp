// Dense products of a batch's small matrices. Each number is one sum in one order, whatever the threads.
#pragma once

#include "level.hpp"
#include "parallel.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr int kTileRows = 6, kTileVecs = 2;  // of registers; with two of the right side and one of the left that is 15
constexpr int kTileWidth = kTileVecs * kWidth;
constexpr int64_t kDepth = 128;  // rows of the right side held in L1 at once

// A left side in either order: number (row, k) is data[row * by_row + k * by_k].
struct Left {
  const float* data;
  int64_t by_row, by_k;
};

template <int R>
inline void tile(Left a, const float* right, int64_t depth, float* y, int64_t width, int64_t columns, bool fresh) {
  Vec sum[R][kTileVecs] = {};
  for (int64_t k = 0; k < depth; ++k) {
    const Vec first = load(right + k * kTileWidth), second = load(right + k * kTileWidth + kWidth);
    for (int r = 0; r < R; ++r) {
      const float number = a.data[r * a.by_row + k * a.by_k];
      sum[r][0] += number * first;
      sum[r][1] += number * second;
    }
  }
  for (int r = 0; r < R; ++r) {
    float* const row = y + r * width;
    if (columns == kTileWidth) {
      for (int n = 0; n < kTileVecs; ++n)
        store(row + n * kWidth, fresh ? sum[r][n] : load(row + n * kWidth) + sum[r][n]);
      continue;
    }
    float from[kTileWidth];
    for (int n = 0; n < kTileVecs; ++n) store(from + n * kWidth, sum[r][n]);
    for (int64_t i = 0; i < columns; ++i) row[i] = from[i] + (fresh ? 0 : row[i]);
  }
}

// Of the tiles of rows, those of one thread; only columns up to the diagonal where `lower`.
inline void product_part(Left a, Rows<const float> b, Rows<float> y, bool lower, int thread, int n) {
  alignas(64) float right[kDepth * kTileWidth];
  for (int64_t k = 0; k < b.count; k += kDepth) {
    const int64_t depth = b.count - k < kDepth ? b.count - k : kDepth;
    for (int64_t left = 0; left < b.width; left += kTileWidth) {
      const int64_t columns = b.width - left < kTileWidth ? b.width - left : kTileWidth;
      for (int64_t i = 0; i < depth; ++i)
        for (int64_t j = 0; j < kTileWidth; ++j)
          right[i * kTileWidth + j] = j < columns ? b.data[(k + i) * b.width + left + j] : 0;
      for (int64_t row = int64_t{thread} * kTileRows; row < y.count; row += int64_t{n} * kTileRows) {
        if (lower && row + kTileRows <= left) continue;
        const Left from = {a.data + row * a.by_row + k * a.by_k, a.by_row, a.by_k};
        float* const to = y.data + row * y.width + left;
        if (y.count - row >= kTileRows) {
          tile<kTileRows>(from, right, depth, to, y.width, columns, !k);
          continue;
        }
        for (int64_t r = 0; r < y.count - row; ++r)
          tile<1>({from.data + r * a.by_row, a.by_row, a.by_k}, right, depth, to + r * y.width, y.width, columns, !k);
      }
    }
  }
}

// y = a b.
inline void product_of(Left a, Rows<const float> b, Rows<float> y) {
  parallel(y.count * b.count * b.width / kWidth, [&](int thread, int n) { product_part(a, b, y, false, thread, n); });
}

// The lower triangle of the symmetric y = a b, with numbers above it; y is as wide as b.
inline void lower_product(Left a, Rows<const float> b, float* y) {
  if (!b.count)
    for (int64_t i = 0; i < b.width * b.width; ++i) y[i] = 0;
  parallel(b.width * b.count * b.width / (2 * kWidth),
           [&](int thread, int n) { product_part(a, b, {y, b.width, b.width}, true, thread, n); });
}

}  // namespace
}  // namespace dsae::DSAE_LEVEL
