// The gradients of a network in one call, or in two halves with something else between them.
#include "step.hpp"

#include <nanobind/stl/function.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "bindings/bindings.hpp"
#include "parallel.hpp"

namespace {

using Optional = std::optional<In>;
using Centring = std::optional<std::tuple<In, In>>;
using Finished = std::optional<std::function<void(int64_t)>>;  // takes the GIL when it is called

// Groups of panels have sums of their own while these fit in a last cache beside the activations. On one thread
// 784-1024-256-32 at batch 256 took, in 4, 2 and 1 groups, 3.5, 3.4 and 3.6 ms at density 0.05, 12.9, 12.3 and 12.0 at
// 0.2.
constexpr int64_t kMostGroups = 16, kPrivateBytes = 4 << 20;
// Panels that go through a layer together read its weights once; more of them would leave the cache.
constexpr int64_t kAtOnce = 2, kMostAtOnce = 16;

class Memory {
  const size_t bytes_;
  void* const data_;

 public:
  explicit Memory(int64_t floats) : bytes_(floats * sizeof(float)), data_(dsae::allocate(bytes_)) {}
  Memory(const Memory&) = delete;
  ~Memory() { dsae::release(data_, bytes_); }
  float* floats() const { return static_cast<float*>(data_); }
};

// All that a call writes to beside its arrays.
class Scratch {
  Memory panels_, gradients_, values_, losses_;

 public:
  const dsae::StepScratch use;
  Scratch(const dsae::StepPlan& plan, int64_t n_places)
      : panels_(n_places * plan.at_once * plan.panel_size()),
        gradients_(plan.n_groups * (plan.summed(plan.last) + plan.outputs())),
        values_(plan.turned(plan.last)),
        losses_(3 * plan.n_groups * plan.width(plan.last)),
        use{panels_.floats(),
            n_places,
            gradients_.floats(),
            values_.floats(),
            reinterpret_cast<double*>(losses_.floats()),
            losses_.floats() + 2 * plan.n_groups * plan.width(plan.last)} {}
};

// Kernels are compiled without exceptions: what a callback raises waits until they are done.
struct Teller {
  const Finished& finished;
  std::exception_ptr error;

  static void tell(void* context, int64_t layer) {
    Teller& self = *static_cast<Teller*>(context);
    if (self.error) return;
    try {
      (*self.finished)(layer);
    } catch (...) {
      self.error = std::current_exception();
    }
  }
  auto function() const { return finished ? &tell : nullptr; }
  void rethrow() const {
    if (error) std::rethrow_exception(error);
  }
};

class Step {
  std::vector<dsae::StepLayer> layers_;
  std::vector<nb::object> alive_;
  std::optional<Scratch> kept_;
  std::optional<In> entered_;
  dsae::StepPlan plan_ = {};
  const int64_t private_bytes_;

  dsae::StepPlan begin(const Call& call, int64_t first, int64_t last, const In& x, int64_t n_rows,
                       const Centring& centring, dsae::StepBatch& batch) const {
    if (first < 0 || first >= last || last > static_cast<int64_t>(layers_.size()))
      call.fail("layers within [0, " + std::to_string(layers_.size()) + ")",
                std::to_string(first) + ":" + std::to_string(last));
    dsae::StepPlan plan = {layers_.data(), first, last, 64, n_rows, 0, 1, 1};
    batch.loss = -1;
    const int64_t width = plan.width(first);
    if (x.ndim() == 3) {
      const auto panels = call.panels<const float>("x", x);
      call.equal("x.shape[1]", panels.width, "the width of the first layer", width);
      batch.x = panels.data, plan.n_panels = panels.count, plan.lanes = panels.lanes;
      call.fits(n_rows, panels);
    } else {
      batch.rows = {call.data<float>("x", x, 2), static_cast<int64_t>(x.shape(0)), width};
      call.equal("x.shape[1]", x.shape(1), "the width of the first layer", width);
      call.equal("x.shape[0]", x.shape(0), "n_rows", n_rows);
      plan.lanes = plan.n_rows <= 16 ? 16 : plan.n_rows <= 32 ? 32 : 64;
      plan.n_panels = (plan.n_rows + plan.lanes - 1) / plan.lanes;
      if (centring) {
        batch.mean = call.vector<const float>("mean", std::get<0>(*centring), "the width of x", width);
        batch.scale = call.vector<const float>("scale", std::get<1>(*centring), "the width of x", width);
      }
    }
    if (plan.n_rows < 1) call.fail("at least one row", "none");
    const int64_t affordable = private_bytes_ / (4 * (plan.edges() + 1));
    plan.n_groups = std::min<int64_t>({plan.n_panels, kMostGroups, affordable});
    if (plan.n_groups < 2) plan.n_groups = 1;
    plan.at_once = std::min(plan.most_of_a_group(), plan.n_groups == 1 ? kMostAtOnce : kAtOnce);
    return plan;
  }

  static const float* like_rows(const Call& call, const char* what, const In& a, int64_t n_rows, int64_t width) {
    const float* const data = call.data<float>(what, a, 2);
    call.equal((std::string(what) + ".shape[0]").c_str(), a.shape(0), "the number of rows", n_rows);
    call.equal((std::string(what) + ".shape[1]").c_str(), a.shape(1), "the last layer's width", width);
    return data;
  }

  template <class Array>
  static auto end_panels(const Call& call, const char* what, const Array& a, const dsae::StepPlan& plan,
                         int64_t width) {
    const auto panels = call.panels<std::conditional_t<std::is_same_v<Array, In>, const float, float>>(what, a);
    call.equal((std::string(what) + ".shape[0]").c_str(), panels.count, "the number of panels", plan.n_panels);
    call.equal((std::string(what) + ".shape[1]").c_str(), panels.width, "the layer's width", width);
    call.equal((std::string(what) + ".shape[2]").c_str(), panels.lanes, "the lanes", plan.lanes);
    return panels.data;
  }

 public:
  explicit Step(int64_t private_bytes) : private_bytes_(private_bytes) {}
  Step(const Step&) = delete;

  // A layer as (indptr, indices, values, bias), its transpose as (indptr, indices, slots) unless it has blocks, its
  // gradients as (dw, dbias).
  void add(const std::tuple<In, In, In, In>& layer, const std::optional<std::tuple<In, In, In>>& transpose,
           const std::tuple<Out, Out>& gradients, int64_t n_in, int activation, int block_size, int rounded) {
    const Call call{"Step"};
    const auto& [indptr, indices, values, bias] = layer;
    const auto& [dw, dbias] = gradients;
    const auto w = call.blocks(indptr, indices, block_size, bias.size());
    call.rising(w.groups);
    const int64_t nnz = w.nnz(), n = layers_.size();
    if (n == dsae::kMostStepLayers) call.fail("at most 256 layers", "one more");
    if (n) call.equal("n_in", n_in, "what the layer before gives", layers_.back().w.n_rows);
    if (activation < 0 || activation >= kernels->n_activations || kernels->activations[activation].needs_thresholds ||
        kernels->activations[activation].needs_k)
      call.fail("an activation without thresholds and without k", std::to_string(activation));
    call.inside("indices", w.groups.indices, indices.size(), n_in);
    dsae::Csr wt = {nullptr, nullptr, 0};
    const int32_t* at = nullptr;
    if (block_size == 1) {
      if (!transpose) call.fail("the transpose of single edges", "None");
      const auto& [t_indptr, t_indices, slots] = *transpose;
      wt = call.csr(t_indptr, t_indices, "transposed ");
      call.equal("transposed indptr.size - 1", wt.n_rows, "the inputs", n_in);
      call.rising(wt);
      call.inside("transposed indices", wt.indices, t_indices.size(), w.n_rows);
      at = call.vector<const int32_t>("slots", slots, "the size of indices", nnz);
      call.inside("slots", at, nnz, nnz);
      for (const In& array : {t_indptr, t_indices, slots}) alive_.push_back(nb::cast(array));
    }
    layers_.push_back({w, n_in, call.vector<const float>("values", values, "the number of weights", nnz),
                       call.vector<const float>("bias", bias, "the number of rows", w.n_rows), wt, at, activation,
                       call.vector<float>("dw", dw, "the number of weights", nnz),
                       call.vector<float>("dbias", dbias, "the number of rows", w.n_rows), rounded});
    for (const In& array : {indptr, indices, values, bias}) alive_.push_back(nb::cast(array));
    for (const Out& array : {dw, dbias}) alive_.push_back(nb::cast(array));
  }

  double gradients(int64_t first, int64_t last, const In& x, int64_t n_rows, const Centring& centring,
                   const Optional& target, bool as_given, const Optional& known, const Optional& weights, int loss,
                   float factor, const std::optional<Out>& dx, const Finished& finished, const Optional& offset,
                   const std::optional<std::tuple<In, Out>>& dispersion) {
    const Call call{"gradients"};
    dsae::StepBatch batch = {};
    dsae::StepPlan plan = begin(call, first, last, x, n_rows, centring, batch);
    if (loss < 0 || loss >= kernels->n_losses)
      call.fail("a loss below " + std::to_string(kernels->n_losses), std::to_string(loss));
    batch.loss = loss, batch.factor = factor, batch.as_given = as_given;
    const int64_t width = plan.width(last);
    if (target) batch.target = like_rows(call, "target", *target, plan.n_rows, width);
    else if (as_given && !batch.rows.data) call.fail("rows, where they are the target as given", "panels");
    else call.equal("the last layer's width", width, "that of its target", plan.width(first));
    if (known) batch.known = like_rows(call, "known", *known, plan.n_rows, width);
    if (weights) batch.weights = call.vector<const float>("weights", *weights, "the number of rows", plan.n_rows);
    if (offset) batch.offset = call.vector<const float>("offset", *offset, "the number of rows", plan.n_rows);
    if (dispersion) {
      const auto& [logarithm, gradient] = *dispersion;
      batch.log_dispersion = call.vector<const float>("log_dispersion", logarithm, "the last layer's width", width);
      batch.by_dispersion = call.vector<float>("its gradient", gradient, "the last layer's width", width);
    }
    float* const d_input = dx ? end_panels(call, "dx", *dx, plan, plan.width(first)) : nullptr;
    Teller teller{finished, {}};
    const dsae::StepEnds ends = {nullptr, nullptr, d_input, true, teller.function(), &teller};
    const int64_t places = std::min<int64_t>(plan.n_groups, dsae::max_threads());
    double found;
    {
      nb::gil_scoped_release release;
      const Scratch scratch(plan, places);
      found = kernels->step_gradients(plan, batch, ends, scratch.use);
    }
    teller.rethrow();
    return found;
  }

  void forward(int64_t first, int64_t last, const In& x, int64_t n_rows, const Centring& centring, const Out& y,
               bool activated) {
    const Call call{"forward"};
    dsae::StepBatch batch = {};
    plan_ = begin(call, first, last, x, n_rows, centring, batch);
    plan_.at_once = plan_.most_of_a_group();
    float* const to = end_panels(call, "y", y, plan_, plan_.width(last));
    const dsae::StepEnds ends = {to, nullptr, nullptr, activated, nullptr, nullptr};
    kept_.reset();
    kept_.emplace(plan_, plan_.n_groups);
    entered_ = x;
    nb::gil_scoped_release release;
    kernels->step_forward(plan_, batch, ends, kept_->use);
  }

  void backward(const Out& y, const In& dy, const std::optional<Out>& dx, bool activated, const Finished& finished) {
    const Call call{"backward"};
    if (!kept_) call.fail("a forward pass before", "none");
    dsae::StepBatch batch = {};
    batch.loss = -1;
    if (entered_->ndim() == 3) batch.x = static_cast<const float*>(entered_->data());
    const int64_t width = plan_.width(plan_.last);
    Teller teller{finished, {}};
    const dsae::StepEnds ends = {end_panels(call, "y", y, plan_, width),
                                 end_panels(call, "dy", dy, plan_, width),
                                 dx ? end_panels(call, "dx", *dx, plan_, plan_.width(plan_.first)) : nullptr,
                                 activated,
                                 teller.function(),
                                 &teller};
    {
      nb::gil_scoped_release release;
      kernels->step_backward(plan_, batch, ends, kept_->use);
    }
    kept_.reset();
    teller.rethrow();
  }
};

}  // namespace

void bind_step(nb::module_& m) {
  nb::class_<Step>(m, "Step", "Layers in a row that are trained: their gradients go into arrays given with each.")
      .def(nb::init<int64_t>(), "private_bytes"_a = kPrivateBytes,
           "At most so many bytes of gradients lie beside those given, so that panels can go through alone.")
      .def("add", &Step::add, "layer"_a, "transpose"_a.none(), "gradients"_a, "n_in"_a, "activation"_a,
           "block_size"_a = 1, "rounded"_a = 0,
           "Put a layer ``(indptr, indices, values, bias)`` behind the others, with its transpose ``(indptr, indices, "
           "slots)``, which blocks need not have, and the places of its gradients ``(dw, dbias)``; ``rounded`` sums 1, "
           "2 and 4 for the "
           "forward product, the backward one and that of a first layer, which then read lines of 16 bits.")
      .def("gradients", &Step::gradients, "first"_a, "last"_a, "x"_a.noconvert(), "n_rows"_a, "centring"_a.none(),
           "target"_a.noconvert().none(), "as_given"_a, "known"_a.noconvert().none(), "weights"_a.noconvert().none(),
           "loss"_a, "factor"_a, "dx"_a.noconvert().none(), "finished"_a.none(),
           "offset"_a.noconvert().none() = nb::none(), "dispersion"_a.none() = nb::none(),
           "The summed loss of layers ``first:last``, and all their gradients; ``x`` is rows, which are centred, or "
           "panels, whose gradient goes into ``dx``. ``finished(layer)`` is called when all of a layer's are there. "
           "Likelihoods of counts take the logarithm of each row's total as ``offset``, and ``(log_dispersion, its "
           "gradient)`` of the outputs.")
      .def("forward", &Step::forward, "first"_a, "last"_a, "x"_a.noconvert(), "n_rows"_a, "centring"_a.none(),
           "y"_a.noconvert(), "activated"_a, "What layers ``first:last`` give, as panels; kept for `backward`.")
      .def("backward", &Step::backward, "y"_a.noconvert(), "dy"_a.noconvert(), "dx"_a.noconvert().none(), "activated"_a,
           "finished"_a.none(), "The gradients of the layers that `forward` has gone through, from that of ``y``.");
}
