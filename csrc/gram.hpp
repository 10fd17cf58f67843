// The squared error of W x + bias over all outputs, and its gradients, without a look at the target's zeros (Vincent,
// de Brebisson & Bouthillier 2015). With C = X^T X and s the sum of the rows of X, every output i with its weights w_i,
// one number c_i for all samples and t where the target is not zero gives
//   loss   w_i C w_i + 2 c_i w_i s + n c_i^2, less 2 t (w_i x + c_i) - t^2 for each number of the target,
//   dw_i   C w_i + c_i s less t x,     dx   G x + sum c_i w_i less t w_i,     G = sum w_i w_i^T:
// e^2 multiply-adds for e weights, and e for each number of the target, instead of e for each sample. Where numbers
// that the target does not hold weigh `unseen` instead of 1, all sums over samples do, and a seen number adds the rest.
//
// A column that lives in most samples takes each of them less its shift: c_i and t would be two large numbers whose
// difference is the residual.
#pragma once

#include "matmul.hpp"
#include "pool.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr int64_t kSumRows = 256;  // outputs whose losses are summed together
constexpr int64_t kMirror = 32;    // squares of a symmetric matrix that stay in L1

// The weights of one output: the i-th at number `first + i * step` and at the input `indices[i]`.
struct Weights {
  const int32_t* indices;
  int64_t first, count, step;
};

template <int R>
inline Weights weights_of(const Blocks& w, int64_t row) {
  const int64_t group = row / R, first = w.groups.indptr[group];
  return {w.groups.indices + first, first * R + row % R, w.groups.indptr[group + 1] - first,
          R == 1 ? 1 : w.width(group)};
}

// What all sums are made of: C and s, the constants c, and the numbers of the target.
struct Gram {
  const GramLayer& layer;
  const Rows<const float> x;
  const GramTarget& target;
  const float unseen, factor;
  const float scale;  // of C and s, which hold it
  const GramGradients& to;
  float *const c, *const g, *const product, *const sums, *const pulled, *const constants;
  // The lower triangle of G, rows of whole vectors, and for every thread a window. Without windows, the triangles of
  // all parts of the outputs one after another, each with its diagonal, its sum c_i w_i and, where dx is asked for,
  // what numbers of the target take from that.
  float *const lower, *const windows;
  const int64_t stride;
  int32_t* const crowded;
  double* const losses;
  const int n_parts;
  int64_t n_crowded = 0;

  const float* sample(int64_t b) const { return x.data + b * x.width; }
  int64_t part_size() const { return (x.width + 2 + (to.dx.data ? x.count : 0)) * stride; }
  bool is_crowded(int64_t row) const {
    const int32_t* const at = target.columns.indptr + row;
    return target.shift && 2 * int64_t{at[1] - at[0]} > x.count;
  }

  void start() {
    for (int64_t row = 0; row < layer.w.n_rows; ++row) {
      const bool each = is_crowded(row);
      if (each) crowded[n_crowded++] = static_cast<int32_t>(row);
      constants[row] = layer.bias[row] + (target.shift && !each ? target.shift[row] : 0);
    }
    for (int64_t k = 0; k < x.width; ++k) sums[k] = 0;
    for (int64_t b = 0; b < x.count; ++b)
      for (int64_t k = 0; k < x.width; ++k) sums[k] += sample(b)[k];
    lower_product({x.data, 1, x.width}, x, c);
    for (int64_t k = 0; k < x.width; ++k) {
      sums[k] *= scale;
      for (int64_t i = 0; i <= k; ++i) c[k * x.width + i] *= scale;
    }
  }

  // The symmetric matrix of a lower triangle, which may be its own.
  void mirror(const float* from, int64_t from_stride, float* square) const {
    const int64_t h = x.width;
    parallel_range((h + kMirror - 1) / kMirror, h * h, [&](int64_t begin, int64_t end) {
      for (int64_t top = begin * kMirror; top < end * kMirror && top < h; top += kMirror)
        for (int64_t left = 0; left < h; left += kMirror)
          for (int64_t row = top; row < top + kMirror && row < h; ++row)
            for (int64_t at = left; at < left + kMirror && at < h; ++at)
              square[row * h + at] = from[row < at ? at * from_stride + row : row * from_stride + at];
    });
  }

  // One number of the target, `seen` or not, and what its output is without it.
  struct Number {
    float value, weight;
  };

  // Of a target that holds it with the weight of all others, so that what it takes does not depend on the output.
  bool is_plain(Number t) const { return t.weight == unseen; }

  float dot(const Weights& w, const float* h) const {
    float sum = 0;
    for (int64_t i = 0; i < w.count; ++i) sum += layer.values[w.first + i * w.step] * h[w.indices[i]];
    return sum;
  }

  // What the number takes from the output's gradient. All samples have the weight `unseen` already.
  float taken(Number t, float z) const { return t.weight * t.value - (t.weight - unseen) * z; }

  static float weight_of(const float* known, int64_t at) { return known ? known[at] : 1.0f; }

  // body(sample, number) for what column `row` holds, all samples of a crowded one.
  template <class Body>
  void numbers_of(int64_t row, const Body& body) const {
    const Csr& t = target.columns;
    const int64_t stop = t.indptr[row + 1];
    int64_t at = t.indptr[row];
    if (!is_crowded(row)) {
      for (; at < stop; ++at) body(t.indices[at], Number{target.by_column[at], weight_of(target.known_by_column, at)});
      return;
    }
    const float shift = target.shift[row];
    for (int64_t b = 0; b < x.count; ++b) {
      const bool seen = at < stop && t.indices[at] == b;
      body(b,
           seen ? Number{target.by_column[at] - shift, weight_of(target.known_by_column, at)} : Number{-shift, unseen});
      at += seen;
    }
  }
};

template <class Body>
void with_gram(const GramLayer& layer, Rows<const float> x, const GramTarget& target, float unseen, float factor,
               float scale, int n_parts, const GramGradients& to, const Body& body) {
  const int64_t h = x.width, m = layer.w.n_rows, chunks = (m + kSumRows - 1) / kSumRows;
  const int64_t stride = (h + kWidth - 1) / kWidth * kWidth;
  const int64_t window = layer.rows ? max_threads() * layer.height * stride : 0;
  const int64_t triangles = n_parts ? n_parts * (h + 2 + (to.dx.data ? x.count : 0)) * stride : h * stride;
  const size_t vectors = (triangles + window) * sizeof(float);
  const size_t bytes = vectors + chunks * sizeof(double) + (2 * h * h + x.count * h + 2 * h + 2 * m) * sizeof(float);
  float* const lower = static_cast<float*>(allocate(bytes));
  double* const losses = reinterpret_cast<double*>(lower + triangles + window);
  float* const c = reinterpret_cast<float*>(losses + chunks);
  float *const g = c + h * h, *const product = g + h * h, *const sums = product + x.count * h;
  float *const pulled = sums + h, *const constants = pulled + h;
  int32_t* const crowded = reinterpret_cast<int32_t*>(constants + m);
  Gram gram = {layer,  x,       target,    unseen, factor,
               scale,  to,      c,         g,      product,
               sums,   pulled,  constants, lower,  lower + triangles,
               stride, crowded, losses,    n_parts};
  gram.start();
  body(gram);
  release(lower, bytes);
}

}  // namespace
}  // namespace dsae::DSAE_LEVEL
