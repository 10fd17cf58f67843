// G from windows of outputs that are made dense matrices, where outputs have many weights: the row of a hidden unit,
// which one thread owns, is a sum of such rows, vector by vector.
#pragma once

#include <utility>

#include "gram.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr int kVectors = 8;  // of a row of G, held in registers

struct GramWindows : Gram {
  const Csr& groups() const { return layer.w.groups; }

  // The lower triangle of G, and sum c_i w_i. Row j has j + 1 columns: threads share the square root of the rows.
  void make() const {
    const int64_t h = x.width;
    parallel(layer.w.nnz() * (h / kWidth + 1), [&](int thread, int n) {
      const int64_t first = share(thread, n), last = share(thread + 1, n);
      float* const window = windows + thread * layer.height * stride;
      for (int64_t i = 0; i < layer.height * stride; ++i) window[i] = 0;
      for (int64_t j = first; j < last; ++j) {
        pulled[j] = 0;
        for (int64_t k = 0; k < stride; ++k) lower[j * stride + k] = 0;
      }
      for (int64_t i = 0; i < layer.n_windows(); ++i) {
        const int64_t begin = i * layer.height;
        fill(window, begin, true);
        for (int64_t j = first; j < last; ++j) unit_of_window(j, layer.cuts + i * h + j, window - begin * stride);
        fill(window, begin, false);
      }
    });
    mirror(lower, stride, g);
  }

  int64_t share(int thread, int n) const {
    return thread == n ? x.width : static_cast<int64_t>(x.width * __builtin_sqrt(double(thread) / n));
  }

  // Weights of the outputs from `begin` on, or zeros in their place.
  void fill(float* window, int64_t begin, bool weights) const {
    const int64_t left = layer.w.n_rows - begin, end = begin + (left < layer.height ? left : layer.height);
    for (int64_t row = begin; row < end; ++row)
      for (int64_t i = groups().indptr[row]; i < groups().indptr[row + 1]; ++i)
        window[(row - begin) * stride + groups().indices[i]] = weights ? layer.values[i] : 0;
  }

  // The edges of hidden unit j in a window, whose rows lie at row * stride.
  void unit_of_window(int64_t j, const int32_t* cut, const float* window) const {
    float pull = pulled[j];
    for (int64_t edge = cut[0]; edge < cut[1]; ++edge)
      pull += layer.values[layer.slots[edge]] * constants[layer.rows[edge]];
    pulled[j] = pull;
    for (int64_t left = 0, vectors = j / kWidth + 1; vectors > 0; left += kVectors * kWidth, vectors -= kVectors)
      with_vectors(vectors, [&](auto n) { add_rows<n>(cut, window + left, lower + j * stride + left); });
  }

  template <class Body>
  static void with_vectors(int64_t n, const Body& body) {
    const auto one_of = [&]<int... V>(std::integer_sequence<int, V...>) {
      (void)(((n == V + 1 || (V + 1 == kVectors && n > V)) && (body(Lanes<V + 1>()), true)) || ...);
    };
    one_of(std::make_integer_sequence<int, kVectors>());
  }

  template <int V>
  void add_rows(const int32_t* cut, const float* window, float* to) const {
    Vec sum[V];
    for (int n = 0; n < V; ++n) sum[n] = load(to + n * kWidth);
    for (int64_t edge = cut[0]; edge < cut[1]; ++edge) {
      const float value = layer.values[layer.slots[edge]];
      const float* const from = window + layer.rows[edge] * stride;
      for (int n = 0; n < V; ++n) sum[n] += value * load(from + n * kWidth);
    }
    for (int n = 0; n < V; ++n) store(to + n * kWidth, sum[n]);
  }
};

}  // namespace
}  // namespace dsae::DSAE_LEVEL
