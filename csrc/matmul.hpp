// Dense products of a batch's small matrices. Each number is one sum in one order, whatever the threads.
#pragma once

#include "level.hpp"
#include "parallel.hpp"
#include "pool.hpp"

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

// Rows of the left side, a tile of them side by side: where they are long, the numbers of a column would all lie in a
// few sets of L1 and push each other out.
inline void pack_rows(Left a, int64_t rows, int64_t depth, float* to) {
  for (int64_t k = 0; k < depth; ++k)
    for (int64_t r = 0; r < kTileRows; ++r) to[k * kTileRows + r] = r < rows ? a.data[r * a.by_row + k * a.by_k] : 0;
}

inline void pack_columns(const float* from, int64_t width, int64_t columns, int64_t depth, float* to) {
  for (int64_t k = 0; k < depth; ++k, from += width, to += kTileWidth) {
    if (columns == kTileWidth)
      for (int n = 0; n < kTileVecs; ++n) store(to + n * kWidth, load(from + n * kWidth));
    else
      for (int64_t j = 0; j < kTileWidth; ++j) to[j] = j < columns ? from[j] : 0;
  }
}

// A tile of y, of which the first rows and columns exist.
inline void tile(const float* __restrict left, const float* __restrict right, int64_t depth, Rows<float> y,
                 int64_t columns, bool fresh) {
  Vec sum[kTileRows][kTileVecs] = {};
  for (int64_t k = 0; k < depth; ++k) {
    const Vec first = load(right + k * kTileWidth), second = load(right + k * kTileWidth + kWidth);
    for (int r = 0; r < kTileRows; ++r) {
      const float number = left[k * kTileRows + r];
      sum[r][0] += number * first;
      sum[r][1] += number * second;
    }
  }
  for (int r = 0; r < kTileRows; ++r) {
    if (r == y.count) return;
    float* const row = y.data + r * y.width;
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

// Of the tiles of rows, those of one thread, each packed in its place of `packed`; only columns up to the diagonal
// where `lower`.
inline void product_part(Left a, Rows<const float> b, Rows<float> y, float* packed, bool lower, int thread, int n) {
  alignas(64) float right[kDepth * kTileWidth];
  const auto each_tile = [&](const auto& body) {
    for (int64_t row = int64_t{thread} * kTileRows; row < y.count; row += int64_t{n} * kTileRows)
      body(row, y.count - row < kTileRows ? y.count - row : kTileRows, packed + row * kDepth);
  };
  for (int64_t k = 0; k < b.count; k += kDepth) {
    const int64_t depth = b.count - k < kDepth ? b.count - k : kDepth;
    each_tile([&](int64_t row, int64_t rows, float* left) {
      pack_rows({a.data + row * a.by_row + k * a.by_k, a.by_row, a.by_k}, rows, depth, left);
    });
    for (int64_t begin = 0; begin < b.width; begin += kTileWidth) {
      const int64_t columns = b.width - begin < kTileWidth ? b.width - begin : kTileWidth;
      pack_columns(b.data + k * b.width + begin, b.width, columns, depth, right);
      each_tile([&](int64_t row, int64_t rows, const float* left) {
        if (!lower || row + kTileRows > begin)
          tile(left, right, depth, {y.data + row * y.width + begin, rows, y.width}, columns, !k);
      });
    }
  }
}

inline void product_in_parts(Left a, Rows<const float> b, Rows<float> y, bool lower) {
  const size_t bytes = (y.count + kTileRows) * kDepth * sizeof(float);
  float* const packed = static_cast<float*>(allocate(bytes));
  parallel(y.count * b.count * b.width / ((lower ? 2 : 1) * kWidth),
           [&](int thread, int n) { product_part(a, b, y, packed, lower, thread, n); });
  release(packed, bytes);
}

// y = a b.
inline void product_of(Left a, Rows<const float> b, Rows<float> y) { product_in_parts(a, b, y, false); }

// The lower triangle of the symmetric y = a b, with numbers above it; y is as wide as b.
inline void lower_product(Left a, Rows<const float> b, float* y) {
  if (!b.count)
    for (int64_t i = 0; i < b.width * b.width; ++i) y[i] = 0;
  product_in_parts(a, b, {y, b.width, b.width}, true);
}

}  // namespace
}  // namespace dsae::DSAE_LEVEL
