// Layers beside a code that is mostly zero: which latents live, and products that cost these alone.
//
// Both layers are taken latent by latent: row l of a matrix M is the input weights of latent l, or its atom. A code of
// n rows has entries (row, latent). Three products, each the adjoint of the others, are all that training needs:
//
//   csr_spmm     y[row] = sum over its entries of c M[latent]        what the code decodes to, what its gradient means
//   code_dots    c[entry] = <M[latent], y[row]>                      the gradient of the code
//   code_outer   dM[latent] = sum over its entries of c y[row]       the gradient of either layer
#include "level.hpp"
#include "parallel.hpp"
#include "pool.hpp"
#include "select.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr int64_t kVectors = 8;  // sums in flight
constexpr int64_t kBlock = kVectors * kWidth;

// Edges to neighbours, as all are in a full layer.
inline bool dense(const int32_t* indices, int64_t size) {
  return size > 0 && indices[size - 1] - indices[0] == size - 1;
}

inline float dot_dense(const float* a, const float* b, int64_t size) {
  constexpr int kParts = 4;
  Vec sum[kParts] = {};
  int64_t i = 0;
  for (; i + kParts * kWidth <= size; i += kParts * kWidth)
    for (int p = 0; p < kParts; ++p) sum[p] += load(a + i + p * kWidth) * load(b + i + p * kWidth);
  for (; i + kWidth <= size; i += kWidth) sum[0] += load(a + i) * load(b + i);
  Vec all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  float total = sums<1>(&all)[0];
  for (; i < size; ++i) total += a[i] * b[i];
  return total;
}

inline float dot_sparse(const int32_t* indices, const float* values, int64_t size, const float* y) {
  constexpr int kParts = 4;
  float sum[kParts] = {};
  int64_t i = 0;
  for (; i + kParts <= size; i += kParts)
    for (int p = 0; p < kParts; ++p) sum[p] += values[i + p] * y[indices[i + p]];
  for (; i < size; ++i) sum[0] += values[i] * y[indices[i]];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// The entries of one latent.
struct Entries {
  const int32_t* rows;
  const float* values;
  int64_t count;
};

// out[j] = the sum over the entries of value * y[row, first + j].
inline void sum_rows(const Entries& c, Rows<const float> y, int64_t first, int64_t size, float* out) {
  const float* const from = y.data + first;
  int64_t j = 0;
  for (; j + kBlock <= size; j += kBlock) {
    Vec sum[kVectors] = {};
    for (int64_t i = 0; i < c.count; ++i) {
      const float* const row = from + c.rows[i] * y.width + j;
      for (int v = 0; v < kVectors; ++v) sum[v] += c.values[i] * load(row + v * kWidth);
    }
    for (int v = 0; v < kVectors; ++v) store(out + j + v * kWidth, sum[v]);
  }
  for (; j + kWidth <= size; j += kWidth) {
    Vec sum = {};
    for (int64_t i = 0; i < c.count; ++i) sum += c.values[i] * load(from + c.rows[i] * y.width + j);
    store(out + j, sum);
  }
  for (; j < size; ++j) {
    float sum = 0;
    for (int64_t i = 0; i < c.count; ++i) sum += c.values[i] * from[c.rows[i] * y.width + j];
    out[j] = sum;
  }
}

inline void sum_places(const Entries& c, Rows<const float> y, const int32_t* places, int64_t size, float* out) {
  for (int64_t j = 0; j < size; ++j) out[j] = 0;
  for (int64_t i = 0; i < c.count; ++i) {
    const float* const row = y.data + c.rows[i] * y.width;
    for (int64_t j = 0; j < size; ++j) out[j] += c.values[i] * row[places[j]];
  }
}

// Whole rows by vectors, or single places: a place read alone costs about as much as a vector.
inline bool by_vectors(int64_t width, int64_t size) { return width < size * kWidth; }

// A row of pre-activations that is not finite gives one entry, so that the loss is not finite either.
inline int32_t first_special(const float* x, int64_t size) {
  for (int64_t i = 0; i < size; ++i)
    if ((bits_of(x[i]) & 0x7f800000) == 0x7f800000) return static_cast<int32_t>(i);
  return -1;
}

inline bool finite(const float* x, int64_t size) {
  int32_t special = 0;
  for (int64_t i = 0; i < size; ++i) special |= (bits_of(x[i]) & 0x7f800000) == 0x7f800000;
  return !special;
}

// For rows of up to `width`: maxima, candidates and where these are.
inline int64_t topk_scratch(int64_t width, int64_t k) { return kGroupsPerK * k + 2 * width; }

inline int32_t topk_of(const float* x, int64_t size, int64_t k, float* scratch, int32_t* indices) {
  if (!finite(x, size)) {
    indices[0] = first_special(x, size);
    return 1;
  }
  const int32_t bound = lower_bound(x, size, k, scratch);
  float* const candidates = scratch + kGroupsPerK * k;
  int32_t* const places = reinterpret_cast<int32_t*>(candidates + size);
  const int64_t found = reaching(x, size, bound ? bound : 1, size, candidates, places);
  const int32_t kth = kth_of_few(candidates, found, k);
  int64_t ties = kth ? k - at_least(candidates, found, kth + 1) : 0;  // those of the lowest latents
  int32_t count = 0;
  for (int64_t i = 0; i < found; ++i) {
    const int32_t bits = bits_of(candidates[i]);
    if (bits > kth || (bits == kth && ties-- > 0)) indices[count++] = places[i];
  }
  return count;
}

// Written so that NaN counts as above.
inline bool above(float x, float threshold, float margin) {
  return margin != 0 ? !(x - threshold <= -margin) : !(x <= threshold);
}

}  // namespace

void code_topk(Rows<const float> z, int64_t k, int32_t* counts, int32_t* indices) {
  const int64_t size = topk_scratch(z.width, k);
  const int n = parts_for(z.count * z.width);
  const size_t bytes = n * size * sizeof(float);
  float* const scratch = static_cast<float*>(allocate(bytes));
  in_parts(n, [&](int part, int n_parts) {
    for (int64_t row = z.count * part / n_parts; row < z.count * (part + 1) / n_parts; ++row)
      counts[row] = topk_of(z.data + row * z.width, z.width, k, scratch + part * size, indices + row * k);
  });
  release(scratch, bytes);
}

float kth_of_all(const float* x, int64_t size, int64_t k) {
  const FlushSubnormals flush;
  const int64_t room = kth_scratch(k);
  const size_t bytes = room * sizeof(float);
  float* const scratch = static_cast<float*>(allocate(bytes));
  const int32_t bits = kth_largest(x, size, k, scratch, room);
  release(scratch, bytes);
  float kth;
  __builtin_memcpy(&kth, &bits, 4);
  return kth;
}

void code_above(Rows<const float> z, const float* thresholds, float margin, const int32_t* indptr, int32_t* counts,
                int32_t* indices) {
  parallel_range(z.count, z.count * z.width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* const x = z.data + row * z.width;
      if (counts) {
        int32_t count = 0;
        for (int64_t i = 0; i < z.width; ++i) count += above(x[i], thresholds[i], margin);
        counts[row] = count;
        continue;
      }
      constexpr int64_t kSome = 16;
      int32_t* to = indices + indptr[row];
      for (int64_t i = 0; i < z.width; i += kSome) {
        const int64_t last = i + kSome < z.width ? i + kSome : z.width;
        int32_t any = 0;
        for (int64_t j = i; j < last; ++j) any += above(x[j], thresholds[j], margin);
        for (int64_t j = i; any && j < last; ++j)
          if (above(x[j], thresholds[j], margin)) *to++ = static_cast<int32_t>(j);
      }
    }
  });
}

void code_dots(const Csr& m, const float* values, const Csr& code, Rows<const float> y, float* out) {
  const int64_t edges = m.indptr[m.n_rows] / (m.n_rows + 1) + kRowCost;
  parallel_range(code.n_rows, code.indptr[code.n_rows] * edges, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* const own = y.data + row * y.width;
      for (int64_t e = code.indptr[row]; e < code.indptr[row + 1]; ++e) {
        const int64_t first = m.indptr[code.indices[e]], size = m.indptr[code.indices[e] + 1] - first;
        const int32_t* const places = m.indices + first;
        out[e] = dense(places, size) ? dot_dense(values + first, own + places[0], size)
                                     : dot_sparse(places, values + first, size, own);
      }
    }
  });
}

void code_outer(const Csr& m, const Csr& by_latent, const float* c, Rows<const float> y, float* dm, float* sums) {
  const int64_t total = cost(by_latent), edges = m.indptr[m.n_rows] / (m.n_rows + 1) + kRowCost;
  const int n = parts_for(total * edges);
  const size_t bytes = n * y.width * sizeof(float);
  float* const scratch = static_cast<float*>(allocate(bytes));
  in_parts(n, [&](int part, int n_parts) {
    float* const whole = scratch + part * y.width;
    const int64_t end = row_at_cost(by_latent, total * (part + 1) / n_parts);
    for (int64_t l = row_at_cost(by_latent, total * part / n_parts); l < end; ++l) {
      const int64_t at = by_latent.indptr[l], first = m.indptr[l], size = m.indptr[l + 1] - first;
      const Entries own = {by_latent.indices + at, c + at, by_latent.indptr[l + 1] - at};
      const int32_t* const places = m.indices + first;
      float* const to = dm + first;
      if (sums) {
        sums[l] = 0;
        for (int64_t i = 0; i < own.count; ++i) sums[l] += own.values[i];
      }
      if (dense(places, size)) sum_rows(own, y, places[0], size, to);
      else if (!own.count || !by_vectors(y.width, size)) sum_places(own, y, places, size, to);
      else {
        sum_rows(own, y, 0, y.width, whole);
        for (int64_t j = 0; j < size; ++j) to[j] = whole[places[j]];
      }
    }
  });
  release(scratch, bytes);
}

}  // namespace dsae::DSAE_LEVEL
