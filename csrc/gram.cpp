// The squared error and its gradients by Gram matrices; gram.hpp has the sums.
//
// The pairs of an output's weights, which C w_i needs, make G as well: a pair adds to one number of it. Outputs are cut
// into parts with a G of their own, as many as the layer and not as there are threads, and these are added in order.
// Where outputs have many weights G comes from windows (gram_windows.hpp). Outputs of a block have their weights at the
// same hidden units: a pair of these needs one number of C and adds to one of G for all of them.
#include "few.hpp"
#include "gram_windows.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr int64_t kAhead = 6;  // numbers of a sample whose outputs are asked for early
constexpr int64_t kLine = 16;  // numbers
constexpr int kMostParts = 8;
constexpr int kLengths = 16;    // of outputs that are told apart
constexpr int64_t kSorted = 5;  // weights an output, on average, up to which outputs go by their lengths

// A G of its own: the lower triangle without its diagonal, this, and the sum c_i w_i; and what the numbers of the
// target take from dx, null where that is not asked for.
struct Part {
  float *lower, *diagonal, *pulled, *dx;
};

template <int R>
struct GramLoss : Gram {
  const Csr& groups() const { return layer.w.groups; }
  Part part(int i) const {
    float* const at = lower + i * part_size();
    float* const pulled = at + (x.width + 1) * stride;
    return {at, at + x.width * stride, pulled, to.dx.data ? pulled + stride : nullptr};
  }

  // C w + c s of an output, at its edges, and w s; all hold `scale`.
  template <bool Pairs>
  double pull(const Weights& w, float constant, const Part& g) const {
    const int64_t step = R == 1 ? 1 : w.step;
    const int32_t* __restrict indices = w.indices;
    const float* __restrict values = layer.values + w.first;
    float* __restrict dw = to.dw + w.first;
    double linear = 0;
    for (int64_t q = 0; q < w.count; ++q) {
      const int64_t k = indices[q];
      const float* __restrict own = c + k * x.width;
      float* __restrict grown = Pairs ? g.lower + k * stride : nullptr;
      const float value = values[q * step];
      float sum = constant * sums[k] + own[k] * value;
      for (int64_t p = 0; p < q; ++p) {
        const int64_t at = indices[p];
        const float both = own[at], other = values[p * step];
        sum += both * other;
        dw[p * step] += both * value;
        if constexpr (Pairs) grown[at] += other * value;
      }
      dw[q * step] = sum;
      linear += double{value} * sums[k];
      if constexpr (Pairs) {
        g.diagonal[k] += value * value;
        g.pulled[k] += value * constant;
      }
    }
    return linear;
  }

  // The same of all outputs of a block, with its pairs.
  void pull_group(int64_t group, const Part& g, double* linear) const {
    const int64_t first = groups().indptr[group], count = groups().indptr[group + 1] - first;
    const int32_t* __restrict indices = groups().indices + first;
    const float* __restrict values = layer.values + first * R;
    float* __restrict dw = to.dw + first * R;
    const float* const own_constants = constants + group * R;
    const Few<R> constant = Few<R>::at(own_constants);
    for (int r = 0; r < R; ++r) linear[r] = 0;
    for (int64_t q = 0; q < count; ++q) {
      const int64_t k = indices[q];
      const float* __restrict own = c + k * x.width;
      float* __restrict grown = g.lower + k * stride;
      const Few<R> value = Few<R>::at(values + q * R);
      Few<R> sum = times(sums[k], constant);
      sum.add(own[k], value);
      const auto pair = [&](int64_t p) {
        const float both = own[indices[p]];
        const Few<R> other = Few<R>::at(values + p * R);
        sum.add(both, other);
        Few<R> to_other = Few<R>::at(dw + p * R);
        to_other.add(both, value);
        to_other.put(dw + p * R);
        return products(other, value);
      };
      int64_t p = 0;
      for (; p + kFour <= q; p += kFour) {
        Four both[kFour];
        for (int i = 0; i < kFour; ++i) both[i] = pair(p + i);
        const Four added = sums_of_four(both);
        for (int i = 0; i < kFour; ++i) grown[indices[p + i]] += added[i];
      }
      for (; p < q; ++p) grown[indices[p]] += total_of(pair(p));
      sum.put(dw + q * R);
      g.diagonal[k] += total_of(products(value, value));
      g.pulled[k] += total_of(products(value, constant));
      for (int r = 0; r < R; ++r) linear[r] += double{values[q * R + r]} * sums[k];
    }
  }

  static float total_of(Four v) { return (v[0] + v[2]) + (v[1] + v[3]); }

  // An output's bias, and its part of the loss, from w s. What its numbers take from dx goes to `dx`, if that is given:
  // here the output's weights are at hand.
  double finish(int64_t row, const Weights& w, double linear, float* dx) const {
    const int64_t step = R == 1 ? 1 : w.step;
    const float* __restrict values = layer.values + w.first;
    float* __restrict dw = to.dw + w.first;
    const double constant = constants[row];
    double loss = constant * (2 * linear / factor + unseen * x.count * constant), taken_away = 0;
    const auto back = [&](int64_t b, float change) {
      float* __restrict own = dx + b * stride;
      for (int64_t i = 0; i < w.count; ++i) own[w.indices[i]] -= change * values[i * step];
    };
    numbers_of(row, [&](int64_t b, Number t) {
      const float* const h = sample(b);
      if (is_plain(t)) {
        const float taken = t.weight * t.value, change = factor * taken;
        float z = 0;
        for (int64_t i = 0; i < w.count; ++i) {
          const float number = h[w.indices[i]];
          z += values[i * step] * number;
          dw[i * step] -= change * number;
        }
        if (dx) back(b, change);
        loss += double{taken} * (t.value - 2 * (z + constant));
        taken_away += taken;
        return;
      }
      const double z = dot(w, h) + constant, rest = t.weight - unseen;
      const float residual = taken(t, static_cast<float>(z));
      loss += (rest * z - 2.0 * t.weight * t.value) * z + double{t.weight} * t.value * t.value;
      taken_away += residual;
      for (int64_t i = 0; i < w.count; ++i) dw[i * step] -= factor * residual * h[w.indices[i]];
      if (dx) back(b, factor * residual);
    });
    to.dbias[row] = static_cast<float>(linear + scale * (x.count * constant) - factor * taken_away);
    return loss;
  }

  template <bool Pairs>
  double group_of(int64_t group, const Part& g) const {
    const int64_t begin = group * R, width = R == 1 ? 1 : layer.w.width(group);
    double linear[R], loss = 0;
    if constexpr (R > 1) {
      if (width == R) pull_group(group, g, linear);
    }
    for (int64_t r = 0; r < width; ++r) {
      const Weights w = weights_of<R>(layer.w, begin + r);
      if (R == 1 || width < R) linear[r] = pull<Pairs>(w, constants[begin + r], g);
      loss += finish(begin + r, w, linear[r], g.dx);
    }
    return loss;
  }

  // Groups [begin, end) of a chunk by their lengths: a loop then ends where the last one did, and is not guessed wrong
  // for each of them. Long ones stay in their order, in which they are fetched from memory.
  void by_length(int64_t begin, int64_t end, int32_t* order) const {
    const auto length = [&](int64_t group) {
      const int64_t n = groups().indptr[group + 1] - groups().indptr[group];
      return n < kLengths ? n : kLengths - 1;
    };
    int32_t next[kLengths + 1] = {};
    for (int64_t group = begin; group < end; ++group) ++next[length(group) + 1];
    for (int i = 0; i < kLengths; ++i) next[i + 1] += next[i];
    for (int64_t group = begin; group < end; ++group) order[next[length(group)]++] = static_cast<int32_t>(group);
  }

  template <bool Pairs>
  void outputs_of(int64_t first, int64_t last, const Part& g) const {
    constexpr int64_t kGroups = kSumRows / R;
    if constexpr (Pairs)
      for (int64_t i = 0; i < part_size(); ++i) g.lower[i] = 0;
    const bool sorted = groups().indptr[groups().n_rows] < kSorted * groups().n_rows;
    int32_t order[kGroups];
    for (int64_t chunk = first; chunk < last; ++chunk) {
      const int64_t begin = chunk * kGroups, stop = begin + kGroups, all = groups().n_rows;
      const int64_t end = stop < all ? stop : all;
      if (sorted) by_length(begin, end, order);
      double loss = 0;
      for (int64_t i = 0; i < end - begin; ++i) loss += group_of<Pairs>(sorted ? order[i] : begin + i, g);
      losses[chunk] = loss;
    }
  }

  double outputs() const {
    const Blocks& w = layer.w;
    const int64_t mean = w.nnz() / (w.n_rows + 1) + 1, chunks = (w.n_rows + kSumRows - 1) / kSumRows;
    const auto work = [&](int64_t chunk) {
      const int64_t row = chunk * kSumRows < w.n_rows ? chunk * kSumRows : w.n_rows;
      const int64_t edges = int64_t{groups().indptr[(row + R - 1) / R]} * R;
      return edges * mean + 3 * mean * target.columns.indptr[row] + kRowCost * row;
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
    const auto cut = [&](int part, int n) { return part == n ? chunks : chunk_at(all * part / n); };
    const int useful = parts_for(all), n_threads = n_parts && n_parts < useful ? n_parts : useful;
    in_parts(n_threads, [&](int thread, int n) {
      if (!n_parts) return outputs_of<false>(cut(thread, n), cut(thread + 1, n), Part{});
      for (int i = n_parts * thread / n; i < n_parts * (thread + 1) / n; ++i)
        outputs_of<true>(cut(i, n_parts), cut(i + 1, n_parts), part(i));
    });
    if (n_parts) add_parts();
    double loss = 0;
    for (int64_t row = 0; row < x.width; ++row) {
      const float *const own = c + row * x.width, *const other = lower + row * stride;
      for (int64_t k = 0; k < row; ++k) loss += 2 * double{own[k]} * other[k];
      loss += double{own[row]} * other[row];
    }
    loss /= factor;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) loss += losses[chunk];
    return loss;
  }

  // Into the first, in their order.
  void add_parts() const {
    const int64_t size = (x.width + 2) * stride;
    parallel_range(size, size * n_parts, [&](int64_t begin, int64_t end) {
      for (int i = 1; i < n_parts; ++i) {
        const float* const from = lower + i * part_size();
        int64_t at = begin;
        for (; at + kWidth <= end; at += kWidth) store(lower + at, load(lower + at) + load(from + at));
        for (; at < end; ++at) lower[at] += from[at];
      }
    });
    const Part whole = part(0);
    for (int64_t k = 0; k < x.width; ++k) {
      whole.lower[k * stride + k] = whole.diagonal[k];
      pulled[k] = whole.pulled[k];
    }
    mirror(lower, stride, g);
  }

  void fetch(int64_t row) const {
    const int64_t group = row / R, first = groups().indptr[group], last = groups().indptr[group + 1];
    for (int64_t at = first; at < last; at += kLine) __builtin_prefetch(groups().indices + at);
    for (int64_t at = first * R; at < last * R; at += kLine) __builtin_prefetch(layer.values + at);
    __builtin_prefetch(constants + row);
  }

  // Adds what a number takes from a sample's gradient.
  void take(int64_t row, Number t, const float* h, float* dx) const {
    const Weights w = weights_of<R>(layer.w, row);
    const float z = is_plain(t) ? 0 : dot(w, h) + constants[row], residual = factor * taken(t, z);
    const float* const values = layer.values + w.first;
    for (int64_t i = 0; i < w.count; ++i) dx[w.indices[i]] -= residual * values[i * (R == 1 ? 1 : w.step)];
  }

  // The gradient of every sample: from G, and what the parts have found by the way.
  void samples() const {
    product_of({x.data, x.width, 1}, {g, x.width, x.width}, {product, x.count, x.width});
    if (!n_parts) return numbers_of_samples();
    parallel_range(x.count, x.count * x.width * n_parts, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        float* const dx = to.dx.data + b * x.width;
        for (int64_t k = 0; k < x.width; ++k) dx[k] = scale * (product[b * x.width + k] + pulled[k]);
        for (int i = 0; i < n_parts; ++i) {
          const float* const from = part(i).dx + b * stride;
          for (int64_t k = 0; k < x.width; ++k) dx[k] += from[k];
        }
      }
    });
  }

  void numbers_of_samples() const {
    const Csr& rows = target.rows;
    const int64_t mean = layer.w.nnz() / (layer.w.n_rows + 1) + 1;
    const int64_t each = x.width / mean + n_crowded + 1, all = rows.indptr[x.count] + each * x.count;
    parallel(all * mean, [&](int thread, int n) {
      for (int64_t b = 0; b < x.count; ++b) {
        const int64_t middle = rows.indptr[b] + each * b;
        if (middle < all * thread / n || middle >= all * (thread + 1) / n) continue;
        const float *const from = product + b * x.width, *const h = sample(b);
        float* const dx = to.dx.data + b * x.width;
        for (int64_t k = 0; k < x.width; ++k) dx[k] = scale * (from[k] + pulled[k]);
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

// How many parts of the outputs have a G of their own: as many as take a tenth of the time that they save two threads.
int parts_of(const GramLayer& layer, int64_t width) {
  if (layer.rows) return 0;
  const int64_t nnz = layer.w.nnz(), mean = nnz / (layer.w.n_rows + 1) + 1;
  const int64_t n = (2 * layer.w.n_rows + nnz * mean / (2 * layer.w.size)) / (width * width + 1) + 1;
  return n < kMostParts ? static_cast<int>(n) : kMostParts;
}

}  // namespace

double gram_loss(const GramLayer& layer, Rows<const float> x, const GramTarget& target, float unseen, float factor,
                 const GramGradients& to) {
  double loss = 0;
  const int n_parts = parts_of(layer, x.width);
  with_gram(layer, x, target, unseen, factor, unseen * factor, n_parts, to, [&](const Gram& gram) {
    if (!n_parts) GramWindows{gram}.make();
    const auto with = [&](auto sums) {
      loss = sums.outputs();
      if (to.dx.data) sums.samples();
    };
    if (layer.w.size == 4) with(GramLoss<4>{gram});
    else if (layer.w.size == 8) with(GramLoss<8>{gram});
    else with(GramLoss<1>{gram});
  });
  return loss;
}

}  // namespace dsae::DSAE_LEVEL
