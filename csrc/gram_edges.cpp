// Gradients of the squared error at edges that are not active, and their norms, by the sums of gram.hpp.
#include "gram.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

struct GramEdges : Gram {
  // The gradient of an output at any of its edges, those of `edges`, and its norm over the samples.
  void inactive(const Csr& edges, int64_t row, float* dw, float* norms) const {
    const Csr& w = layer.w.groups;
    const Weights weights = weights_of<1>(layer.w, row);
    const auto pull = [&](int64_t k) {
      float sum = constants[row] * sums[k];
      for (int64_t i = w.indptr[row]; i < w.indptr[row + 1]; ++i)
        sum += layer.values[i] * c[w.indices[i] * x.width + k];
      return sum;
    };
    const double constant = constants[row];
    double square = x.count * constant * constant;
    if (norms)
      for (int64_t i = w.indptr[row]; i < w.indptr[row + 1]; ++i)
        square += double{layer.values[i]} * (pull(w.indices[i]) + constant * sums[w.indices[i]]);
    const int64_t first = edges.indptr ? edges.indptr[row] : 0, last = edges.indptr ? edges.indptr[row + 1] : 0;
    for (int64_t edge = first; edge < last; ++edge) dw[edge] = factor * pull(edges.indices[edge]);
    numbers_of(row, [&](int64_t b, Number t) {
      const float* const h = sample(b);
      if (norms) square += t.value * (t.value - 2 * (dot(weights, h) + constant));
      for (int64_t edge = first; edge < last; ++edge) dw[edge] -= factor * t.value * h[edges.indices[edge]];
    });
    if (norms) norms[row] = factor * static_cast<float>(__builtin_sqrt(square > 0 ? square : 0));
  }

  void inactive(const Csr& edges, float* dw, float* norms) const {
    const Csr& w = layer.w.groups;
    const int64_t mean = w.indptr[w.n_rows] / (w.n_rows + 1) + 1;
    parallel_range(w.n_rows, ((edges.indptr ? edges.indptr[w.n_rows] : w.indptr[w.n_rows]) + w.n_rows) * mean,
                   [&](int64_t begin, int64_t end) {
                     for (int64_t row = begin; row < end; ++row) inactive(edges, row, dw, norms);
                   });
  }
};

}  // namespace

void gram_edges(const GramLayer& layer, Rows<const float> x, const GramTarget& target, const Csr& edges, float factor,
                float* dw, float* norms) {
  with_gram(layer, x, target, 1, factor, 1, 0, {}, [&](const Gram& gram) {
    gram.mirror(gram.c, x.width, gram.c);
    GramEdges{gram}.inactive(edges, dw, norms);
  });
}

}  // namespace dsae::DSAE_LEVEL
