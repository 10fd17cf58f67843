// The last layer, its loss and both gradients, tile by tile of outputs: a tile of W x + b becomes the loss' gradient in
// place, gives dW at once and dX through the transpose, and is overwritten by the next. Every sum has one order,
// whatever the number of threads: rows of outputs are shared out for the first half of a tile, rows of inputs for the
// second. Lines of target and weights are written out for `compare`, which knows every loss; where nothing has a
// weight, the squared error, the cross entropy and rates have loops of their own over what the target holds.
//
// Of blocks the rows of a group are made at once, and both gradients of a tile in one pass over it, which needs no
// transpose.
#include "block_backward.hpp"
#include "compare.hpp"
#include "edges.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr int64_t kLossCost = 8;  // of an output on a panel, in edges

// Numbers of the target within one panel.
struct PanelTarget {
  const int32_t* samples;
  const float *values, *known;
  int64_t count, first_sample;
};

// In place: outputs become half the gradient of the squared error. Lanes from `used` on are no samples.
template <int L>
inline float squared(float* line, const PanelTarget& target, float shift, int64_t used) {
  for (int64_t i = 0; i < target.count; ++i) line[target.samples[i] - target.first_sample] -= target.values[i];
  for (int64_t lane = used; lane < L; ++lane) line[lane] = -shift;
  Vec sum = {};
  for (int n = 0; n < L; n += kWidth) {
    const Vec residual = load(line + n) + shift;
    sum += residual * residual;
    store(line + n, residual);
  }
  return total(sum);
}

// In place: logits become the gradient of the cross entropy.
template <int L>
inline float entropy(float* line, const PanelTarget& target, int64_t used) {
  float loss[L], chosen = 0;
  for (int64_t i = 0; i < target.count; ++i) chosen += target.values[i] * line[target.samples[i] - target.first_sample];
  for (int lane = 0; lane < L; ++lane) {
    const float z = line[lane], e = exponential(z < 0 ? z : -z), positive = z < 0 ? 0.0f : z;
    loss[lane] = positive + log_of_one_plus(e);
    line[lane] = (z < 0 ? e : 1.0f) / (1 + e);
  }
  for (int64_t lane = used; lane < L; ++lane) loss[lane] = line[lane] = 0;
  for (int64_t i = 0; i < target.count; ++i) line[target.samples[i] - target.first_sample] -= target.values[i];
  Vec sum = {};
  for (int n = 0; n < L; n += kWidth) sum += load(loss + n);
  return total(sum) - chosen;
}

// In place: what the layer gives becomes the loss' derivative over the record's `factor`; their sum over the lanes.
template <int L>
inline float line_loss(int loss, float* line, const PanelTarget& target, float shift, int64_t used) {
  switch (loss) {
    case kSquared: return squared<L>(line, target, shift, used);
    case kEntropy: return entropy<L>(line, target, used);
  }
  __builtin_unreachable();
}

// In place: logarithms of rates become the gradient of half their Poisson deviance. Weights are 0 for lanes that are no
// samples, which may hold anything.
template <int L>
inline float rates(float largest, float* line, const PanelTarget& target, const float* weights, const float* offset) {
  float loss[L], chosen = 0;
  for (int64_t i = 0; i < target.count; ++i) {
    const int64_t lane = target.samples[i] - target.first_sample;
    const float x = target.values[i];
    if (x > 0) chosen += weights[lane] * (x * (logarithm(x) - line[lane] - offset[lane]) - x);
  }
  for (int n = 0; n < L; ++n) {
    const float z = line[n], bounded = z < largest ? z : z >= largest ? largest : z;
    const float rate = exponential(bounded + offset[n]);
    loss[n] = line[n] = weights[n] != 0 ? rate * weights[n] : 0.0f;
  }
  for (int64_t i = 0; i < target.count; ++i) {
    const int64_t lane = target.samples[i] - target.first_sample;
    line[lane] -= target.values[i] * weights[lane];
  }
  return sum_line<L>(loss) + chosen;
}

// The same with weights of the samples, 0 for lanes that are none, and of the numbers that the target holds.
template <int L>
inline float weighted(int loss, float* line, const PanelTarget& target, float shift, const float* weights,
                      const LineBeside& beside) {
  float aim[L], known[L];
  for (int lane = 0; lane < L; ++lane) aim[lane] = -shift, known[lane] = 1;
  for (int64_t i = 0; i < target.count; ++i) {
    const int64_t lane = target.samples[i] - target.first_sample;
    aim[lane] += target.values[i];
    if (target.known) known[lane] = target.known[i];
  }
  return compare<L>(loss, line, aim, known, weights, beside);
}

template <int R, int L>
struct Tiles {
  const OutputLayer& layer;
  const Panels<const float> x;
  const Target& target;
  const int kind;
  const int64_t n_rows;
  const float factor;
  const OutputGradients& to;
  int64_t begin = 0, end = 0;  // of the tile
  double* losses;
  int32_t *sample, *edge, *next;

  const Csr& groups() const { return layer.w.groups; }
  float* line(int64_t panel, int64_t row) const { return to.tile.data + (panel * to.tile.width + row - begin) * L; }

  PanelTarget target_of(int64_t panel, int64_t row) {
    int32_t& at = sample[row - begin];
    const int32_t first = at, last = target.columns.indptr[row + 1];
    while (at < last && target.columns.indices[at] < (panel + 1) * L) ++at;
    const float* const known = target.known ? target.known + first : nullptr;
    return {target.columns.indices + first, target.values + first, known, at - first, panel * L};
  }

  // Of one output's samples in a panel, `left` in this and the panels after it; adds to `by_dispersion`.
  float loss_of(float* y, const PanelTarget& numbers, int64_t row, int64_t left, float* by_dispersion) const {
    const float shift = target.shift ? target.shift[row] : 0;
    const int64_t used = left < L ? left : L;
    if (kind <= kEntropy && !target.known && !target.weights) return line_loss<L>(kind, y, numbers, shift, used);
    float weights[L] = {}, offset[L] = {};
    for (int64_t lane = 0; lane < used; ++lane) {
      weights[lane] = target.weights ? target.weights[numbers.first_sample + lane] : 1.0f;
      offset[lane] = target.offset ? target.offset[numbers.first_sample + lane] : 0.0f;
    }
    if ((kind == kPoisson || kind == kMultinomial) && !target.known)
      return rates<L>(largest_log_rate(kind), y, numbers, weights, offset);
    const float log_dispersion = layer.log_dispersion ? layer.log_dispersion[row] : 0.0f;
    return weighted<L>(kind, y, numbers, shift, weights, {offset, log_dispersion, by_dispersion});
  }

  // The line of an output becomes its gradient.
  void compared(int64_t panel, int64_t row) {
    float *const y = line(panel, row), by_dispersion = 0;
    const PanelTarget numbers = target_of(panel, row);
    losses[row - begin] += loss_of(y, numbers, row, n_rows - panel * L, &by_dispersion);
    if (!to.dbias) return;
    if (to.by_dispersion) to.by_dispersion[row] = by_dispersion * factor + (panel ? to.by_dispersion[row] : 0);
    Vec sum = {};
    for (int n = 0; n < L; n += kWidth) {
      const Vec dy = load(y + n) * factor;
      sum += dy;
      store(y + n, dy);
    }
    to.dbias[row] = total(sum) + (panel ? to.dbias[row] : 0);
  }

  void output(int64_t panel, int64_t group) {
    const Visit at = {panel, group, groups().indptr[group], groups().indptr[group + 1], true};
    const float* const from = x.data + panel * x.width * L;
    float* const y = line(panel, group * R);
    if constexpr (R == 1) {
      spmm_row<L>(groups(), layer.values, layer.bias, from, y, at);
      compared(panel, group);
      if (to.dbias) dot_row<L, false>(groups(), nullptr, y, from, nullptr, to.dw, at);
    } else {
      block_row<R, L>(layer.w, layer.values, layer.bias, from, y, at);
      for (int64_t r = 0; r < layer.w.width(group); ++r) compared(panel, group * R + r);
    }
  }

  void outputs() {
    const int64_t before = begin / R;
    const Csr part = layer.w.part(before, (end + R - 1) / R).groups;
    const int64_t base = part.indptr[0], all = cost(part) - base;
    parallel((all + kLossCost * part.n_rows) * R * L * x.count, [&](int thread, int n) {
      const int64_t first = before + row_at_cost(part, base + all * thread / n);
      const int64_t last = before + (thread + 1 == n ? part.n_rows : row_at_cost(part, base + all * (thread + 1) / n));
      for (int64_t row = first * R; row < last * R && row < end; ++row) {
        losses[row - begin] = 0;
        sample[row - begin] = target.columns.indptr[row];
      }
      for (int64_t panel = 0; panel < x.count; ++panel)
        for (int64_t group = first; group < last; ++group) output(panel, group);
    });
  }

  void inputs() {
    const Csr& wt = layer.wt;
    const int64_t all = cost(wt), edges = groups().indptr[end] - groups().indptr[begin];
    parallel((edges + wt.n_rows) * L * x.count, [&](int thread, int n) {
      const int64_t first = row_at_cost(wt, all * thread / n);
      const int64_t last = thread + 1 == n ? wt.n_rows : row_at_cost(wt, all * (thread + 1) / n);
      for (int64_t row = first; row < last; ++row) {
        if (!begin) edge[row] = wt.indptr[row];
        next[row] = edge_at_column(wt, edge[row], wt.indptr[row + 1], end);
      }
      for (int64_t panel = 0; panel < x.count; ++panel) {
        // the transpose counts outputs from 0, the tile from `begin`
        const float* const from = line(panel, 0);
        for (int64_t row = first; row < last; ++row)
          if (!begin || edge[row] < next[row])
            spmm_row<L>(wt, layer.wt_values, nullptr, from, to.dx.data + (panel * to.dx.width + row) * L,
                        {panel, row, edge[row], next[row], !begin});
      }
      for (int64_t row = first; row < last; ++row) edge[row] = next[row];
    });
  }

  // The gradients of the tile's groups, and what they add to dx.
  void back() const {
    const Panels<const float> dy = {to.tile.data, to.tile.count, to.tile.width, L};
    const Blocks part = layer.w.part(begin / R, (end + R - 1) / R);
    backward_blocks<R, L>(part, layer.values, dy, x, to.dx, to.dw, 0, [](int64_t, int64_t) {}, !begin);
  }

  double run() {
    double loss = 0;
    for (; begin < layer.w.n_rows; begin = end) {
      end = begin + to.tile.width < layer.w.n_rows ? begin + to.tile.width : layer.w.n_rows;
      outputs();
      for (int64_t row = 0; row < end - begin; ++row) loss += losses[row];
      if constexpr (R > 1) {
        if (to.dbias) back();
      } else if (to.dx.data) {
        inputs();
      }
    }
    return loss;
  }
};

}  // namespace

const int n_losses = kLosses;

double tiled_loss(const OutputLayer& layer, Panels<const float> x, const Target& target, int kind, int64_t n_rows,
                  float factor, const OutputGradients& to) {
  const int64_t height = to.tile.width, n_in = to.dx.data ? x.width : 0;
  const size_t scratch_bytes = height * sizeof(double) + (height + 2 * n_in) * sizeof(int32_t);
  double* const losses = static_cast<double*>(allocate(scratch_bytes));
  int32_t* const places = reinterpret_cast<int32_t*>(losses + height);
  double loss = 0;
  if (!layer.w.n_rows)
    for (int64_t i = 0; i < x.count * n_in * x.lanes; ++i) to.dx.data[i] = 0;
  const auto with = [&](auto rows) {
    with_lanes(x.lanes, [&](auto lanes) {
      loss =
          Tiles<rows, lanes>{
              layer, x, target, kind, n_rows, factor, to, 0, 0, losses, places, places + height, places + height + n_in}
              .run();
    });
  };
  if (layer.w.size == 1) with(std::integral_constant<int, 1>());
  else with_block_size(layer.w.size, with);
  release(losses, scratch_bytes);
  return loss;
}

}  // namespace dsae::DSAE_LEVEL
