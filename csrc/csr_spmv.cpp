// One sparse sample: the sum of the columns of W at its live inputs, so that a dead input costs nothing.
#include "few.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

inline void add_dense(float* y, const float* values, int64_t size, float scale) {
  int64_t i = 0;
  for (; i + kWidth <= size; i += kWidth) store(y + i, load(y + i) + scale * load(values + i));
  for (; i < size; ++i) y[i] += scale * values[i];
}

inline void add_sparse(float* y, const int32_t* indices, const float* values, int64_t size, float scale) {
  constexpr int kGroup = 4;  // an index comes once, so loads need not wait for stores
  int64_t i = 0;
  for (; i + kGroup <= size; i += kGroup) {
    float sum[kGroup];
    for (int j = 0; j < kGroup; ++j) sum[j] = y[indices[i + j]] + scale * values[i + j];
    for (int j = 0; j < kGroup; ++j) y[indices[i + j]] = sum[j];
  }
  for (; i < size; ++i) y[indices[i]] += scale * values[i];
}

}  // namespace

Nonzeros count_nonzeros(const float* x, int64_t size) {
  int64_t count = 0;
  bool finite = true;
  constexpr int64_t kBlock = 1 << 20;  // 32-bit counters vectorise; a block fits them
  for (int64_t begin = 0; begin < size; begin += kBlock) {
    const int64_t end = begin + kBlock < size ? begin + kBlock : size;
    int32_t nonzero = 0, special = 0;
    for (int64_t i = begin; i < end; ++i) {
      const int32_t bits = bits_of(x[i]);
      nonzero += (bits & 0x7fffffff) != 0;
      special |= (bits & 0x7f800000) == 0x7f800000;
    }
    count += nonzero;
    finite &= !special;
  }
  return {count, finite};
}

int64_t compress(const float* x, int64_t size, int32_t* indices, float* values) {
  constexpr int64_t kBlock = 16;  // numbers of a cache line, skipped at once where all are zero
  int64_t count = 0;
  for (int64_t begin = 0; begin < size; begin += kBlock) {
    const int64_t end = begin + kBlock < size ? begin + kBlock : size;
    int32_t any = 0;
    for (int64_t i = begin; i < end; ++i) any |= bits_of(x[i]);
    if (!any) continue;
    for (int64_t i = begin; i < end; ++i) {  // without a branch: zeros come at random
      indices[count] = static_cast<int32_t>(i);
      values[count] = x[i];
      count += x[i] != 0;
    }
  }
  return count;
}

void csr_spmv(const Csr& wt, const float* values, const float* bias, int64_t n_out, SparseSample x, float* y,
              int block_size) {
  constexpr int64_t kAhead = 8, kLine = 16;  // columns, numbers
  for (int64_t row = 0; row < n_out; ++row) y[row] = bias[row];
  for (int64_t i = 0; i < x.count; ++i) {
    if (i + kAhead < x.count) {
      const int64_t next = wt.indptr[x.indices[i + kAhead]];
      for (int64_t line = 0; line < 2; ++line) {
        __builtin_prefetch(wt.indices + next + line * kLine);
        __builtin_prefetch(values + next + line * kLine);
      }
    }
    const int64_t first = wt.indptr[x.indices[i]], size = wt.indptr[x.indices[i] + 1] - first;
    const int32_t* indices = wt.indices + first;
    if (size && indices[size - 1] - indices[0] == size - 1)
      add_dense(y + indices[0], values + first, size, x.values[i]);
    else if (block_size == 4) add_blocks<4>(y, indices, values + first, size, x.values[i]);
    else if (block_size == 8) add_blocks<8>(y, indices, values + first, size, x.values[i]);
    else add_sparse(y, indices, values + first, size, x.values[i]);
  }
}

}  // namespace dsae::DSAE_LEVEL
