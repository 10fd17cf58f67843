// A training step, panel by panel through all layers: forward, loss, and backward while the panel's activations are in
// cache. Activations, masks, losses and sums over samples are done on each line as its last edge leaves the registers.
//
// A group of panels has its own sums of gradients, added up in the order of groups, so that no result depends on how
// many threads there are. Networks too large for such copies have one group, whose layers are shared out by rows.
#include "step_group.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

void collect(const StepPlan& plan, const StepEnds& ends, const float* gradients, int64_t i) {
  const StepLayer& l = plan.layers[i];
  const StepPlan before = {plan.layers, plan.first, i, 0, 0, 0, 0, 0};
  const int64_t edges = plan.summed(plan.last), size = plan.direct(i) ? 0 : l.w.nnz();
  const float *const from = gradients + plan.summed(i), *const bias = gradients + edges + before.outputs();
  const int64_t stride = edges + plan.outputs(), n = plan.n_groups;
  const bool transposed = l.w.size == 1 && (i > plan.first || ends.dx);
  parallel_range(size, size * n, [&](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; ++e) {
      float sum = from[e];
      for (int64_t g = 1; g < n; ++g) sum += from[g * stride + e];
      l.dw[transposed ? l.slots[e] : e] = sum;
    }
  });
  for (int64_t row = 0; row < l.w.n_rows; ++row) {
    float sum = bias[row];
    for (int64_t g = 1; g < n; ++g) sum += bias[g * stride + row];
    l.dbias[row] = sum;
  }
  if (ends.finished) ends.finished(ends.context, i);
}

// body(group) for all of them; each in one place of the scratch at a time.
template <int L, class Body>
void for_each_group(const StepPlan& plan, const StepBatch& batch, const StepEnds& ends, const StepScratch& scratch,
                    const Body& body) {
  const bool kept = scratch.n_places == plan.n_groups;
  const auto one = [&](int64_t group, int64_t place) {
    float* boundaries[kMostStepLayers + 1];
    Group<L> g(plan, batch, ends, scratch, group, place, boundaries);
    body(g);
  };
  if (plan.n_groups == 1) {
    const FlushSubnormals flush;
    return one(0, 0);
  }
  const int64_t work = parts_for(plan.edges() * plan.lanes * plan.n_panels), most = scratch.n_places;
  in_parts(static_cast<int>(work < most ? work : most), [&](int part, int n) {
    for (int64_t g = plan.n_groups * part / n; g < plan.n_groups * (part + 1) / n; ++g) one(g, kept ? g : part);
  });
}

void gather_transposes(const StepPlan& plan, float* wt_values, bool first_too) {
  for (int64_t i = plan.first; i < plan.last; ++i) {
    const StepLayer& l = plan.layers[i];
    if (l.w.size > 1) continue;
    const int64_t size = l.w.nnz();
    if (i > plan.first || first_too) gather(l.values, l.slots, wt_values, size);
    wt_values += size;
  }
}

void collect_all(const StepPlan& plan, const StepEnds& ends, const float* gradients) {
  if (plan.n_groups > 1)
    for (int64_t i = plan.last - 1; i >= plan.first; --i) collect(plan, ends, gradients, i);
}

}  // namespace

double step_gradients(const StepPlan& plan, const StepBatch& batch, const StepEnds& ends, const StepScratch& scratch) {
  gather_transposes(plan, scratch.wt_values, ends.dx != nullptr);
  with_lanes(plan.lanes, [&](auto lanes) {
    for_each_group<lanes>(plan, batch, ends, scratch, [](auto& group) { group.gradients(); });
  });
  collect_all(plan, ends, scratch.gradients);
  const int64_t width = plan.width(plan.last);
  double loss = 0;
  for (int64_t i = 0; i < plan.n_groups * width; ++i) loss += scratch.losses[i];
  for (int64_t row = 0; batch.by_dispersion && row < width; ++row) {
    float sum = 0;
    for (int64_t g = 0; g < plan.n_groups; ++g) sum += scratch.sizes[g * width + row];
    batch.by_dispersion[row] = sum * batch.factor;
  }
  return loss;
}

void step_forward(const StepPlan& plan, const StepBatch& batch, const StepEnds& ends, const StepScratch& scratch) {
  with_lanes(plan.lanes,
             [&](auto lanes) { for_each_group<lanes>(plan, batch, ends, scratch, [](auto& group) { group.go(); }); });
}

void step_backward(const StepPlan& plan, const StepBatch& batch, const StepEnds& ends, const StepScratch& scratch) {
  gather_transposes(plan, scratch.wt_values, ends.dx != nullptr);
  with_lanes(plan.lanes, [&](auto lanes) {
    for_each_group<lanes>(plan, batch, ends, scratch, [](auto& group) { group.come_back(); });
  });
  collect_all(plan, ends, scratch.gradients);
}

}  // namespace dsae::DSAE_LEVEL
