// The squared error and its gradients by Gram matrices; gram.hpp has the sums.
//
// A hidden unit owns its row of G, so that it has one order, whatever the number of threads. Outputs come in windows
// that are made dense matrices: the row of a unit then is a sum of such rows, vector by vector. Where outputs have so
// few weights that this is more work than their pairs, it is a sum over these.
#include "gram.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr int64_t kSumEdges = 1024;
constexpr int64_t kAhead = 6;  // numbers of a sample whose outputs are asked for early
constexpr int64_t kLine = 16;  // numbers
constexpr int kVectors = 8;    // of a row of G, held in registers

struct GramLoss : Gram {
  // The lower triangle of G, and sum c_i w_i. Row j has j + 1 columns: threads share the square root of the rows.
  void hidden() const {
    const int64_t h = x.width, nnz = layer.w.indptr[layer.w.n_rows], mean = nnz / (layer.w.n_rows + 1) + 1;
    parallel(nnz * (layer.dense ? h / kWidth + 1 : mean), [&](int thread, int n) {
      const int64_t first = share(thread, n), last = share(thread + 1, n);
      float* const window = windows + thread * layer.height * stride;
      for (int64_t i = 0; layer.dense && i < layer.height * stride; ++i) window[i] = 0;
      for (int64_t j = first; j < last; ++j) {
        pulled[j] = 0;
        for (int64_t k = 0; k < stride; ++k) lower[j * stride + k] = 0;
      }
      for (int64_t i = 0; i < layer.n_windows(); ++i) {
        const int64_t begin = i * layer.height;
        if (layer.dense) fill(window, begin, true);
        for (int64_t j = first; j < last; ++j) {
          const int32_t* const cut = layer.cuts + i * h + j;
          if (layer.dense) unit_of_window(j, cut, window - begin * stride);
          else unit_of_pairs(j, cut);
        }
        if (layer.dense) fill(window, begin, false);
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
      for (int64_t i = layer.w.indptr[row]; i < layer.w.indptr[row + 1]; ++i)
        window[(row - begin) * stride + layer.w.indices[i]] = weights ? layer.values[i] : 0;
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

  void unit_of_pairs(int64_t j, const int32_t* cut) const {
    float* const row = lower + j * stride;
    float pull = pulled[j], own = 0;
    for (int64_t edge = cut[0]; edge < cut[1]; ++edge) {
      const int64_t output = layer.rows[edge], slot = layer.slots[edge];
      const float value = layer.values[slot];
      for (int64_t i = layer.w.indptr[output]; i < slot; ++i) row[layer.w.indices[i]] += value * layer.values[i];
      own += value * value;
      pull += value * constants[output];
    }
    pulled[j] = pull;
    row[j] += own;
  }

  // C w + c s of an output, at its edges.
  void pull(int64_t row) const {
    const int64_t first = layer.w.indptr[row], count = layer.w.indptr[row + 1] - first;
    const int32_t* __restrict indices = layer.w.indices + first;
    const float* __restrict values = layer.values + first;
    float* __restrict dw = to.dw + first;
    for (int64_t q = 0; q < count; ++q) {
      const float* const own = c + indices[q] * x.width;
      const float value = values[q];
      float sum = constants[row] * sums[indices[q]] + own[indices[q]] * value;
      for (int64_t p = 0; p < q; ++p) {
        const float both = own[indices[p]];
        sum += both * values[p];
        dw[p] += both * value;
      }
      dw[q] = sum;
    }
    for (int64_t q = 0; q < count; ++q) dw[q] *= unseen * factor;
  }

  // An output's bias, and its part of the loss; `linear` is w_i s.
  double output(int64_t row, double linear) const {
    const Csr& w = layer.w;
    const int64_t first = w.indptr[row], last = w.indptr[row + 1];
    const double constant = constants[row];
    double loss = unseen * constant * (2 * linear + x.count * constant);
    double dbias = unseen * (linear + x.count * constant);
    pull(row);
    numbers_of(row, [&](int64_t b, Number t) {
      const float* const h = sample(b);
      const double z = dot(row, h) + constant, rest = t.weight - unseen;
      const float residual = taken(t, static_cast<float>(z));
      loss += (rest * z - 2.0 * t.weight * t.value) * z + double{t.weight} * t.value * t.value;
      dbias -= residual;
      for (int64_t i = first; i < last; ++i) to.dw[i] -= factor * residual * h[w.indices[i]];
    });
    to.dbias[row] = static_cast<float>(factor * dbias);
    return loss;
  }

  // Outputs begin to end. Rows of one or two weights are too short for loops of their own: one sum runs over the edges
  // of all, in double, and a row is the difference of two places.
  double sum_of(int64_t begin, int64_t end) const {
    const Csr& w = layer.w;
    double places[kSumEdges + 1], loss = 0;
    for (int64_t row = begin; row < end;) {
      const int64_t start = w.indptr[row], stop = w.indptr[end];
      const int64_t last = start + kSumEdges < stop ? start + kSumEdges : stop;
      places[0] = 0;
      for (int64_t i = start; i < last; ++i)
        places[i - start + 1] = places[i - start] + double{layer.values[i]} * sums[w.indices[i]];
      if (w.indptr[row + 1] > last) {
        double linear = places[kSumEdges];
        for (int64_t i = last; i < w.indptr[row + 1]; ++i) linear += double{layer.values[i]} * sums[w.indices[i]];
        loss += output(row++, linear);
        continue;
      }
      for (; row < end && w.indptr[row + 1] <= last; ++row)
        loss += output(row, places[w.indptr[row + 1] - start] - places[w.indptr[row] - start]);
    }
    return loss;
  }

  double outputs() const {
    const Csr &w = layer.w, &t = target.columns;
    const int64_t mean = w.indptr[w.n_rows] / (w.n_rows + 1) + 1, chunks = (w.n_rows + kSumRows - 1) / kSumRows;
    const auto work = [&](int64_t chunk) {
      const int64_t row = chunk * kSumRows < w.n_rows ? chunk * kSumRows : w.n_rows;
      return w.indptr[row] * mean + 3 * mean * t.indptr[row] + kRowCost * row;
    };
    const auto chunk_at = [&](int64_t wanted) {
      int64_t low = 0, high = chunks;
      while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (work(middle) < wanted) low = middle + 1;
        else high = middle;
      }
      return low;
    };
    const int64_t all = work(chunks);
    parallel(all, [&](int thread, int n) {
      const int64_t end = thread + 1 == n ? chunks : chunk_at(all * (thread + 1) / n);
      for (int64_t chunk = chunk_at(all * thread / n); chunk < end; ++chunk) {
        const int64_t begin = chunk * kSumRows, stop = begin + kSumRows;
        losses[chunk] = sum_of(begin, stop < w.n_rows ? stop : w.n_rows);
      }
    });
    double loss = 0;
    for (int64_t row = 0; row < x.width; ++row) {
      const float *const own = c + row * x.width, *const other = lower + row * stride;
      for (int64_t k = 0; k < row; ++k) loss += 2 * double{own[k]} * other[k];
      loss += double{own[row]} * other[row];
    }
    loss *= unseen;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) loss += losses[chunk];
    return loss;
  }

  void fetch(int64_t row) const {
    for (int64_t at = layer.w.indptr[row]; at < layer.w.indptr[row + 1]; at += kLine) {
      __builtin_prefetch(layer.w.indices + at);
      __builtin_prefetch(layer.values + at);
    }
    __builtin_prefetch(constants + row);
  }

  // Adds what a number takes from a sample's gradient.
  void take(int64_t row, Number t, const float* h, float* dx) const {
    const float z = t.weight == unseen ? 0 : dot(row, h) + constants[row], residual = factor * taken(t, z);
    for (int64_t i = layer.w.indptr[row]; i < layer.w.indptr[row + 1]; ++i)
      dx[layer.w.indices[i]] -= residual * layer.values[i];
  }

  void samples() const {
    const Csr& rows = target.rows;
    const int64_t mean = layer.w.indptr[layer.w.n_rows] / (layer.w.n_rows + 1) + 1;
    const int64_t each = x.width / mean + n_crowded + 1, all = rows.indptr[x.count] + each * x.count;
    product_of({x.data, x.width, 1}, {g, x.width, x.width}, {product, x.count, x.width});
    parallel(all * mean, [&](int thread, int n) {
      for (int64_t b = 0; b < x.count; ++b) {
        const int64_t middle = rows.indptr[b] + each * b;
        if (middle < all * thread / n || middle >= all * (thread + 1) / n) continue;
        const float *const from = product + b * x.width, *const h = sample(b);
        float* const dx = to.dx.data + b * x.width;
        for (int64_t k = 0; k < x.width; ++k) dx[k] = unseen * factor * (from[k] + pulled[k]);
        int64_t other = 0;
        const auto skipped_before = [&](int64_t row) {
          for (; other < n_crowded && crowded[other] < row; ++other)
            take(crowded[other], {-target.shift[crowded[other]], unseen}, h, dx);
        };
        for (int64_t at = rows.indptr[b]; at < rows.indptr[b + 1]; ++at) {
          const int64_t row = rows.indices[at];
          if (at + kAhead < rows.indptr[b + 1]) fetch(rows.indices[at + kAhead]);
          skipped_before(row);
          const bool each_sample = other < n_crowded && crowded[other] == row;
          other += each_sample;
          const float value = target.by_row[at] - (each_sample ? target.shift[row] : 0);
          take(row, {value, weight_of(target.known_by_row, at)}, h, dx);
        }
        skipped_before(layer.w.n_rows);
      }
    });
  }
};

}  // namespace

double gram_loss(const GramLayer& layer, Rows<const float> x, const GramTarget& target, float unseen, float factor,
                 const GramGradients& to) {
  double loss = 0;
  with_gram(layer, x, target, unseen, factor, to, [&](const Gram& gram) {
    const GramLoss of{gram};
    of.hidden();
    loss = of.outputs();
    if (to.dx.data) of.samples();
  });
  return loss;
}

}  // namespace dsae::DSAE_LEVEL
