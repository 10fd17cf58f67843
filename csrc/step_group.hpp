// Panels of a training step on their way through all layers and back, those of one group after another.
#pragma once

#include "bf16.hpp"
#include "block_backward.hpp"
#include "cache.hpp"
#include "compare.hpp"
#include "edges.hpp"
#include "step.hpp"
#include "step_lines.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

// The sums of layer i over all groups, in their order, to where they are wanted; says that they are there.
void collect(const StepPlan& plan, const StepEnds& ends, const float* gradients, int64_t i);

// The panels of one group on their way.
template <int L>
class Group {
  const StepPlan& plan_;
  const StepBatch& batch_;
  const StepEnds& ends_;
  const int64_t group_;
  float** at_;  // what enters layer `first + i`; the last is what the last layer gives
  float *d_[2], *target_, *known_;
  uint16_t* lines_;
  float weights_[L];
  float* const gradients_;
  const float* const wt_values_;
  double* const losses_;
  float* const sizes_;
  int64_t panel_ = 0, count_ = 0, done_ = 0;  // the first of the panels at work, how many, and those before them

  const StepLayer& layer(int64_t i) const { return plan_.layers[i]; }
  float* at(int64_t i) const { return at_[i - plan_.first]; }
  int64_t n_out(int64_t i) const { return layer(i).w.n_rows; }
  int kind(int64_t i) const { return layer(i).activation; }
  bool whole(int64_t i) const { return kind(i) == kSoftmax; }
  float* dw(int64_t i) const { return plan_.direct(i) ? layer(i).dw : gradients_ + plan_.summed(i); }
  float* dbias(int64_t i) const {
    return gradients_ + plan_.summed(plan_.last) + StepPlan{plan_.layers, plan_.first, i, 0, 0, 0, 0, 0}.outputs();
  }

 public:
  Group(const StepPlan& plan, const StepBatch& batch, const StepEnds& ends, const StepScratch& scratch, int64_t group,
        int64_t place, float** boundaries)
      : plan_(plan),
        batch_(batch),
        ends_(ends),
        group_(group),
        at_(boundaries),
        gradients_(scratch.gradients ? scratch.gradients + group * (plan.summed(plan.last) + plan.outputs()) : nullptr),
        wt_values_(scratch.wt_values),
        losses_(scratch.losses ? scratch.losses + group * plan.width(plan.last) : nullptr),
        sizes_(scratch.sizes && batch.by_dispersion ? scratch.sizes + group * plan.width(plan.last) : nullptr) {
    float* next = scratch.panels + place * plan.at_once * plan.panel_size();
    int64_t widest = 0;
    for (int64_t i = plan.first; i <= plan.last; ++i) {
      at_[i - plan.first] = next;
      next += plan.at_once * plan.width(i) * L;
      widest = widest < plan.width(i) ? plan.width(i) : widest;
    }
    for (float*& d : d_) d = next, next += plan.at_once * widest * L;
    target_ = next, known_ = next + plan.at_once * plan.width(plan.last) * L;
    lines_ = reinterpret_cast<uint16_t*>(known_ + plan.at_once * plan.width(plan.last) * L);
    if (losses_)
      for (int64_t row = 0; row < plan.width(plan.last); ++row) losses_[row] = 0;
    if (sizes_)
      for (int64_t row = 0; row < plan.width(plan.last); ++row) sizes_[row] = 0;
  }

  // Everything, a few panels at a time.
  void gradients() {
    const int64_t end = plan_.begin(group_ + 1);
    for (take(plan_.begin(group_)); panel_ < end; done_ += count_, take(panel_ + count_)) {
      forward();
      back(output_gradient(), plan_.last);
    }
  }

  // Forward, and backward later from what is kept.
  void go() {
    take(plan_.begin(group_));
    forward();
  }

  void come_back() {
    take(plan_.begin(group_));
    for_each_line(plan_.last, [&](int64_t p, int64_t row, int64_t i) {
      const float* const from = ends_.dy + panel_ * plan_.width(plan_.last) * L + i;
      for (int n = 0; n < L; ++n) d_[1][i + n] = from[n];
      (void)p, (void)row;
    });
    if (ends_.activated) differentiate_all(plan_.last, d_[1]);
    sum_bias(plan_.last - 1, d_[1]);
    back(d_[1], plan_.last);
  }

 private:
  void take(int64_t panel) {
    const int64_t end = plan_.begin(group_ + 1), left = end - panel;
    panel_ = panel, count_ = left < plan_.at_once ? left : plan_.at_once;
    if (batch_.x) at_[0] = const_cast<float*>(batch_.x) + panel_ * plan_.width(plan_.first) * L;
    if (ends_.y) at_[plan_.last - plan_.first] = ends_.y + panel_ * plan_.width(plan_.last) * L;
  }

  // body(panel, row, where its line begins) for the lines of boundary i.
  template <class Body>
  void for_each_line(int64_t i, const Body& body) {
    const int64_t width = plan_.width(i);
    parallel_range(width, width * count_ * L, [&](int64_t begin, int64_t end) {
      for (int64_t p = 0; p < count_; ++p)
        for (int64_t row = begin; row < end; ++row) body(p, row, (p * width + row) * L);
    });
  }

  Rows<const float> rows_at(const float* rows, int64_t width) const {
    const int64_t first = panel_ * L, left = plan_.n_rows - first, room = count_ * L;
    return {rows + first * width, left < room ? left : room, width};
  }

  void enter() {
    const int64_t width = plan_.width(plan_.first);
    float* const x = at(plan_.first);
    if (batch_.rows.data) {
      pack(rows_at(batch_.rows.data, width), {x, count_, width, L});
      const bool keep = batch_.loss >= 0 && batch_.as_given;
      if (batch_.mean || keep)
        for_each_line(plan_.first, [&](int64_t, int64_t row, int64_t i) {
          if (keep)
            for (int n = 0; n < L; ++n) target_[i + n] = x[i + n];
          if (batch_.mean)
            for (int n = 0; n < L; ++n) x[i + n] = (x[i + n] - batch_.mean[row]) / batch_.scale[row];
        });
      if (batch_.mean) clear_rest(x, width);
    }
    if (batch_.loss < 0) return;
    const int64_t last = plan_.width(plan_.last);
    if (batch_.target) pack(rows_at(batch_.target, last), {target_, count_, last, L});
    if (batch_.known) pack(rows_at(batch_.known, last), {known_, count_, last, L});
  }

  // Lanes after the last sample, which packing had left at zero.
  void clear_rest(float* x, int64_t width) {
    const int64_t used = plan_.n_rows - (panel_ + count_ - 1) * L;
    for (int64_t f = 0; used < L && f < width; ++f)
      for (int64_t n = used; n < L; ++n) x[((count_ - 1) * width + f) * L + n] = 0;
  }

  // Ones for samples, or their weights; zeros after the last sample, whose lines may hold anything.
  void weigh(int64_t panel) {
    const int64_t first = (panel_ + panel) * L;
    for (int64_t n = 0; n < L; ++n)
      weights_[n] = first + n >= plan_.n_rows ? 0.0f : batch_.weights ? batch_.weights[first + n] : 1.0f;
  }

  void forward() {
    enter();
    for (int64_t i = plan_.first; i < plan_.last; ++i) forward(i);
  }

  void forward(int64_t i) {
    const StepLayer& l = layer(i);
    const Panels<const float> x = {at(i), count_, l.n_in, L};
    float* const y = at(i + 1);
    const bool by_line = !(i + 1 == plan_.last && (!ends_.activated || takes_logits(batch_.loss)));
    if (l.w.size > 1) with_block_size(l.w.size, [&](auto rows) { forward_blocks<rows>(l, x, y, by_line); });
    else
      by_lines(l, kForward, x, spmm_block_bytes(L), [&](auto lines, int64_t block_bytes, auto rounded) {
        for_each_visit(l.w.groups, lines, block_bytes, [&](const Visit& visit) {
          float* const line = y + (visit.panel * l.w.n_rows + visit.row) * L;
          const auto* const from = lines.data + visit.panel * lines.width * L;
          if constexpr (rounded) bf16_spmm_row<L>(l.w.groups, l.values, l.bias, from, line, visit);
          else spmm_row<L>(l.w.groups, l.values, l.bias, from, line, visit);
          if (visit.final && by_line) activate<L>(l.activation, line);
        });
      });
    for (int64_t p = 0; by_line && whole(i) && p < count_; ++p) softmax<L>(y + p * l.w.n_rows * L, l.w.n_rows);
  }

  // Panels at work in lines of 16 bits, until others are rounded.
  Panels<const uint16_t> rounded_lines(Panels<const float> from) {
    parallel_range(from.count * from.width, from.count * from.width * L, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * L; i < end * L; i += L) narrow_line<L>(from.data + i, lines_ + i);
    });
    return {lines_, from.count, from.width, L};
  }

  // Calls body with lines of 16 bits, how many bytes of them make a block and true, where `product` of the layer reads
  // such, else with `from`, that of float32 and false.
  template <class Body>
  void by_lines(const StepLayer& l, int product, Panels<const float> from, int64_t block_bytes, const Body& body) {
    if constexpr (L >= 32)
      if (l.rounded & product) return body(rounded_lines(from), bf16_block_bytes(), std::true_type());
    body(from, block_bytes, std::false_type());
  }

  template <int R>
  void forward_blocks(const StepLayer& l, const Panels<const float>& x, float* y, bool by_line) {
    const auto body = [&](const Visit& visit) {
      float* const lines = y + (visit.panel * l.w.n_rows + visit.row * R) * L;
      block_row<R, L>(l.w, l.values, l.bias, x.data + visit.panel * x.width * L, lines, visit);
      if (visit.final && by_line)
        for (int64_t r = 0; r < l.w.width(visit.row); ++r) activate<L>(l.activation, lines + r * L);
    };
    for_each_visit(l.w.groups, x, l2_bytes() / 2, body, R);
  }

  // Totals of the lanes of a panel as likelihoods of counts take them; 0 after the last sample.
  void offsets(int64_t panel, const float* y, const float* known, int64_t width, float* offset) const {
    const int64_t first = (panel_ + panel) * L;
    for (int64_t n = 0; n < L; ++n)
      offset[n] = batch_.offset && first + n < plan_.n_rows ? batch_.offset[first + n] : 0.0f;
    if (batch_.loss == kMultinomial) less_log_sums<L>(y, known, width, offset);
  }

  // The loss and its gradient by what the last layer gave, with the sums that are its bias' gradient.
  const float* output_gradient() {
    const int64_t last = plan_.last, width = plan_.width(last);
    const bool linear = takes_logits(batch_.loss) || kind(last - 1) == kIdentity;
    const float* const target = batch_.target || batch_.as_given ? target_ : at(plan_.first);
    const float* const y = at(last);
    float* const dy = d_[1];
    float weights[L], offset[L];
    for (int64_t p = 0; p < count_; ++p) {
      weigh(p);
      for (int n = 0; n < L; ++n) weights[n] = weights_[n];
      if (batch_.loss >= kPoisson)
        offsets(p, y + p * width * L, batch_.known ? known_ + p * width * L : nullptr, width, offset);
      parallel_range(width, width * L * 8, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
          const int64_t i = (p * width + row) * L;
          float* const line = dy + i;
          for (int n = 0; n < L; ++n) line[n] = y[i + n];
          const LineBeside beside = {offset, batch_.log_dispersion ? batch_.log_dispersion[row] : 0.0f,
                                     sizes_ ? sizes_ + row : nullptr};
          losses_[row] +=
              compare<L>(batch_.loss, line, target + i, batch_.known ? known_ + i : nullptr, weights, beside);
          for (int n = 0; n < L; ++n) line[n] *= batch_.factor;
          if (!linear && !whole(last - 1)) differentiate<L>(kind(last - 1), y + i, line);
        }
      });
    }
    if (!linear && whole(last - 1)) differentiate_all(last, dy);
    sum_bias(last - 1, dy);
    return dy;
  }

  // Through the activation before boundary i.
  void differentiate_all(int64_t i, float* d) {
    const int64_t width = plan_.width(i);
    float shared[L];
    for (int64_t p = 0; p < count_; ++p) {
      const float* const h = at(i) + p * width * L;
      float* const dh = d + p * width * L;
      for (float& sum : shared) sum = 0;
      if (kind(i - 1) == kSoftmax)
        for (int64_t at = 0; at < width * L; at += L)
          for (int n = 0; n < L; ++n) shared[n] += h[at + n] * dh[at + n];
      for (int64_t at = 0; at < width * L; at += L) differentiate<L>(kind(i - 1), h + at, dh + at, shared);
    }
  }

  void sum_bias(int64_t i, const float* d) {
    float* const to = dbias(i);
    for_each_line(i + 1, [&](int64_t p, int64_t row, int64_t at) {
      const float sum = sum_line<L>(d + at);
      to[row] = p + done_ ? to[row] + sum : sum;
    });
  }

  // From the gradient of what layer `last - 1` gives to all weights before it.
  void back(const float* dy, int64_t last) {
    for (int64_t i = last - 1; i >= plan_.first; --i) {
      const bool end = i == plan_.first;
      float* const dx = !end ? d_[dy == d_[0]] : ends_.dx ? ends_.dx + panel_ * layer(i).n_in * L : nullptr;
      if (dx) backward(i, dy, dx);
      else sampled(i, dy);
      if (plan_.n_groups == 1 && panel_ + count_ == plan_.n_panels) collect(plan_, ends_, gradients_, i);
      dy = dx;
    }
  }

  void sampled(int64_t i, const float* dy) {
    const StepLayer& l = layer(i);
    const Panels<const float> x = {at(i), count_, l.n_in, L};
    float* const to = dw(i);
    if (l.w.size > 1) return by_blocks(l, dy, x, {nullptr, count_, l.n_in, L}, to, [](int64_t, int64_t) {});
    by_lines(l, kSampled, x, dot_block_bytes(), [&](auto lines, int64_t block_bytes, auto rounded) {
      for_each_visit(l.w.groups, lines, block_bytes, [&](Visit visit) {
        const float* const own = dy + (visit.panel * l.w.n_rows + visit.row) * L;
        const auto* const other = lines.data + visit.panel * lines.width * L;
        visit.panel += done_;
        if constexpr (rounded) bf16_dot_row<L, false>(l.w.groups, nullptr, own, other, nullptr, to, visit);
        else dot_row<L, false>(l.w.groups, nullptr, own, other, nullptr, to, visit);
      });
    });
  }

  template <class Finish>
  void by_blocks(const StepLayer& l, const float* dy, Panels<const float> x, Panels<float> dx, float* to,
                 const Finish& finish) {
    const Panels<const float> from = {dy, count_, l.w.n_rows, L};
    with_block_size(l.w.size,
                    [&](auto rows) { backward_blocks<rows, L>(l.w, l.values, from, x, dx, to, done_, finish); });
  }

  void backward(int64_t i, const float* dy, float* dx) {
    const StepLayer& l = layer(i);
    const Panels<const float> from = {dy, count_, l.w.n_rows, L};
    const float* const x = at(i);
    const bool inner = i > plan_.first, by_line = inner && !whole(i - 1);
    float *const to = dw(i), *const sum = inner ? dbias(i - 1) : nullptr;
    const float* const values = wt_values_ + plan_.turned(i);
    const auto finish = [&](int64_t panel, int64_t input) {
      if (!by_line) return;
      const int64_t at = (panel * l.n_in + input) * L;
      differentiate<L>(kind(i - 1), x + at, dx + at);
      const float found = sum_line<L>(dx + at);
      sum[input] = panel + done_ ? sum[input] + found : found;
    };
    if (l.w.size > 1) by_blocks(l, dy, {x, count_, l.n_in, L}, {dx, count_, l.n_in, L}, to, finish);
    else
      by_lines(l, kBackward, from, dot_block_bytes(), [&](auto lines, int64_t block_bytes, auto rounded) {
        for_each_visit(l.wt, lines, block_bytes, [&](Visit visit) {
          const int64_t panel = visit.panel, at = (panel * l.n_in + visit.row) * L;
          const auto* const other = lines.data + panel * lines.width * L;
          visit.panel += done_;
          if constexpr (rounded) bf16_dot_row<L, true>(l.wt, values, x + at, other, dx + at, to, visit);
          else dot_row<L, true>(l.wt, values, x + at, other, dx + at, to, visit);
          if (visit.final) finish(panel, visit.row);
        });
      });
    if (inner && !by_line) {
      differentiate_all(i, dx);
      sum_bias(i - 1, dx);
    }
  }
};

}  // namespace
}  // namespace dsae::DSAE_LEVEL
