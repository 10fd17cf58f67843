// The door to Python: checks every argument once, lets go of the GIL, calls a kernel.
#include "arrays.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <cstdlib>
#include <tuple>
#include <vector>

#include "grow.hpp"
#include "kernels.hpp"
#include "network.hpp"
#include "parallel.hpp"
#include "rewire.hpp"

using namespace nb::literals;

namespace {

const dsae::Kernels* kernels;

void pack(const In& rows, const Out& panels) {
  const Call call{"pack"};
  const auto to = call.panels<float>("panels", panels);
  const auto from = call.rows<const float>(rows, to);
  nb::gil_scoped_release release;
  kernels->pack(from, to);
}

void unpack(const In& panels, const Out& rows) {
  const Call call{"unpack"};
  const auto from = call.panels<const float>("panels", panels);
  const auto to = call.rows<float>(rows, from);
  nb::gil_scoped_release release;
  kernels->unpack(from, to);
}

void spmm(const In& indptr, const In& indices, const In& values, const std::optional<In>& bias, const In& x, const Out& y) {
  const Call call{"spmm"};
  const auto w = call.csr(indptr, indices);
  const auto data = call.vector<const float>("values", values, "the size of indices", indices.size());
  const auto b = bias ? call.vector<const float>("bias", *bias, "the number of rows", w.n_rows) : nullptr;
  const auto from = call.panels<const float>("x", x);
  const auto to = call.panels<float>("y", y);
  call.same_batch(from, to, "y");
  call.equal("y.shape[1]", to.width, "the number of rows", w.n_rows);
  nb::gil_scoped_release release;
  kernels->spmm(w, data, b, from, to);
}

void sddmm(const In& indptr, const In& indices, const In& dy, const In& x, const Out& dw) {
  const Call call{"sddmm"};
  const auto w = call.csr(indptr, indices);
  const auto to = call.vector<float>("dw", dw, "the size of indices", indices.size());
  const auto left = call.panels<const float>("dy", dy);
  const auto right = call.panels<const float>("x", x);
  call.same_batch(right, left, "dy");
  call.equal("dy.shape[1]", left.width, "the number of rows", w.n_rows);
  nb::gil_scoped_release release;
  kernels->sddmm(w, left, right, to);
}

void backward(const In& indptr, const In& indices, const In& values, const In& dy, const In& x, const Out& dx, const Out& dw) {
  const Call call{"backward"};
  const auto w = call.csr(indptr, indices);
  const auto data = call.vector<const float>("values", values, "the size of indices", indices.size());
  const auto to = call.vector<float>("dw", dw, "the size of indices", indices.size());
  const auto left = call.panels<const float>("dy", dy);
  const auto right = call.panels<const float>("x", x);
  const auto product = call.panels<float>("dx", dx);
  call.same_batch(right, left, "dy");
  call.same_batch(right, product, "dx");
  call.equal("x.shape[1]", right.width, "the number of rows", w.n_rows);
  call.equal("dx.shape[1]", product.width, "the number of rows", w.n_rows);
  nb::gil_scoped_release release;
  kernels->backward(w, data, left, right, product, to);
}

void sum_samples(const In& panels, const Out& sums) {
  const Call call{"sum_samples"};
  const auto from = call.panels<const float>("panels", panels);
  const auto to = call.vector<float>("sums", sums, "the width of the panels", from.width);
  nb::gil_scoped_release release;
  kernels->sum_samples(from, to);
}

void gather(const In& values, const In& slots, const Out& out) {
  const Call call{"gather"};
  const auto from = call.data<float>("values", values, 1);
  const auto index = call.data<int32_t>("slots", slots, 1);
  const auto to = call.vector<float>("out", out, "the size of slots", slots.size());
  nb::gil_scoped_release release;
  kernels->gather(from, index, to, slots.size());
}

void scatter(const In& values, const In& slots, const Out& out) {
  const Call call{"scatter"};
  const auto from = call.data<float>("values", values, 1);
  const auto index = call.vector<const int32_t>("slots", slots, "the size of values", values.size());
  const auto to = call.vector<float>("out", out, "the size of values", values.size());
  nb::gil_scoped_release release;
  kernels->scatter(from, index, to, slots.size());
}

void adam(const In& indptr, const In& indices, const In& grad, const Out& values, const Out& mean, const Out& square,
          float rate, float beta1, float beta2, float epsilon, float root) {
  const Call call{"adam"};
  const auto w = call.csr(indptr, indices);
  call.rising(w);
  const int64_t nnz = indices.size();
  const auto g = call.vector<const float>("grad", grad, "the size of indices", nnz);
  const auto data = call.vector<float>("values", values, "the size of indices", nnz);
  const auto m = call.vector<float>("mean", mean, "the size of indices", nnz);
  const auto v = call.vector<float>("square", square, "the size of indices", nnz);
  nb::gil_scoped_release release;
  kernels->adam(w, nnz, {rate, beta1, beta2, epsilon, root}, g, data, m, v);
}

void spmv(const In& indptr, const In& indices, const In& values, const In& x, const Out& y) {
  const Call call{"spmv"};
  const auto w = call.csr(indptr, indices);
  const auto data = call.vector<const float>("values", values, "the size of indices", indices.size());
  const auto from = call.data<float>("x", x, 1);
  const auto to = call.vector<float>("y", y, "the number of rows", w.n_rows);
  nb::gil_scoped_release release;
  kernels->spmv(w, data, nullptr, from, to);
}

void outer(const In& indptr, const In& indices, const In& left, const In& right, const Out& dw) {
  const Call call{"outer"};
  const auto w = call.csr(indptr, indices);
  const auto rows = call.vector<const float>("left", left, "the number of rows", w.n_rows);
  const auto columns = call.data<float>("right", right, 1);
  const auto to = call.vector<float>("dw", dw, "the size of indices", indices.size());
  nb::gil_scoped_release release;
  kernels->outer(w, rows, columns, to);
}

// A batch by samples or by columns.
dsae::Csr batch(const Call& call, const std::string& of, const In& indptr, const In& indices, int64_t size) {
  const auto x = call.csr(indptr, indices, of);
  call.rising(x);
  call.inside((of + "indices").c_str(), x.indices, indices.size(), size);
  return x;
}

void gather_live(const In& indptr, const In& values, const In& slots, const In& x_indptr, const Out& out) {
  const Call call{"gather_live"};
  const dsae::Csr wt = {call.data<int32_t>("indptr", indptr, 1), nullptr, static_cast<int64_t>(indptr.size()) - 1};
  const auto from = call.data<float>("values", values, 1);
  const auto index = call.vector<const int32_t>("slots", slots, "the size of values", values.size());
  const dsae::Csr xt = {call.vector<const int32_t>("x_indptr", x_indptr, "the size of indptr", indptr.size()), nullptr,
                        wt.n_rows};
  const auto to = call.vector<float>("out", out, "the size of values", values.size());
  if (wt.n_rows < 0) call.fail("indptr to have n_rows + 1 entries", "none");
  call.equal("indptr[-1]", wt.indptr[wt.n_rows], "the size of values", values.size());
  nb::gil_scoped_release release;
  kernels->gather_live(wt, from, index, xt, to);
}

void columns(const In& indptr, const In& indices, const In& values, const In& bias, const In& x_indptr,
             const In& x_indices, const In& x_values, const Out& rows) {
  const Call call{"columns"};
  const dsae::Rows<float> y = {call.data<float>("rows", rows, 2), static_cast<int64_t>(rows.shape(0)),
                               static_cast<int64_t>(rows.shape(1))};
  const auto wt = call.csr(indptr, indices);
  const auto x = batch(call, "x_", x_indptr, x_indices, wt.n_rows);
  call.equal("rows.shape[0]", y.count, "the number of samples", x.n_rows);
  const auto data = call.vector<const float>("values", values, "the size of indices", indices.size());
  const auto start = call.vector<const float>("bias", bias, "the width of rows", y.width);
  const auto numbers = call.vector<const float>("x_values", x_values, "the size of x_indices", x_indices.size());
  nb::gil_scoped_release release;
  kernels->columns_of_rows(wt, data, start, x, numbers, y);
}

void columns_gradient(const In& indptr, const In& indices, const In& slots, const In& x_indptr, const In& x_indices,
                      const In& x_values, const In& dy, const Out& dw) {
  const Call call{"columns_gradient"};
  const dsae::Rows<const float> from = {call.data<float>("dy", dy, 2), static_cast<int64_t>(dy.shape(0)),
                                        static_cast<int64_t>(dy.shape(1))};
  const auto wt = call.csr(indptr, indices);
  const auto xt = batch(call, "x_", x_indptr, x_indices, from.count);
  call.equal("x_indptr.size", x_indptr.size(), "the size of indptr", indptr.size());
  const auto to = call.vector<float>("dw", dw, "the size of indices", indices.size());
  const auto index = call.vector<const int32_t>("slots", slots, "the size of indices", indices.size());
  const auto numbers = call.vector<const float>("x_values", x_values, "the size of x_indices", x_indices.size());
  nb::gil_scoped_release release;
  kernels->columns_gradient(wt, index, xt, numbers, from, to);
}

// The layer as (indptr, indices, values, bias), its transpose as (indptr, indices, values), the target by column as
// (indptr, samples, values, shift or None), the gradients as (dw, dbias, dx); what is None is not computed.
double tiled_loss(const std::tuple<In, In, In, In>& layer, const std::optional<std::tuple<In, In, In>>& transpose,
                  const In& x, const std::tuple<In, In, In, std::optional<In>>& target, const std::string& loss,
                  int64_t n_rows, float factor, const Out& tile,
                  const std::optional<std::tuple<Out, Out, std::optional<Out>>>& gradients) {
  const Call call{"tiled_loss"};
  const auto& [indptr, indices, values, bias] = layer;
  const auto from = call.panels<const float>("x", x);
  call.fits(n_rows, from);
  dsae::OutputLayer to = {call.csr(indptr, indices), nullptr, nullptr, {nullptr, nullptr, 0}, nullptr};
  to.values = call.vector<const float>("values", values, "the size of indices", indices.size());
  to.bias = call.vector<const float>("bias", bias, "the number of rows", to.w.n_rows);
  const auto& [t_indptr, t_samples, t_values, t_shift] = target;
  const dsae::Target aim = {batch(call, "target ", t_indptr, t_samples, n_rows),
                            call.vector<const float>("target values", t_values, "the size of target indices", t_samples.size()),
                            t_shift ? call.vector<const float>("shift", *t_shift, "the number of rows", to.w.n_rows) : nullptr};
  call.equal("target indptr.size - 1", aim.columns.n_rows, "the number of rows", to.w.n_rows);
  if (loss != "mse" && loss != "bce") call.fail("loss to be mse or bce", loss);
  dsae::OutputGradients out = {nullptr, nullptr, {nullptr, 0, 0, from.lanes}, call.panels<float>("tile", tile)};
  call.same_batch(from, out.tile, "tile");
  if (out.tile.width < 1) call.fail("a tile of at least one output", "none");
  if (gradients) {
    const auto& [dw, dbias, dx] = *gradients;
    out.dw = call.vector<float>("dw", dw, "the size of indices", indices.size());
    out.dbias = call.vector<float>("dbias", dbias, "the number of rows", to.w.n_rows);
    if (dx) {
      if (!transpose) call.fail("the transpose, from which dx comes", "None");
      const auto& [wt_indptr, wt_indices, wt_values] = *transpose;
      to.wt = call.csr(wt_indptr, wt_indices, "transposed ");
      to.wt_values = call.vector<const float>("transposed values", wt_values, "the size of indices", indices.size());
      call.equal("transposed indptr.size - 1", to.wt.n_rows, "the width of x", from.width);
      out.dx = call.panels<float>("dx", *dx);
      call.same_batch(from, out.dx, "dx");
      call.equal("dx.shape[1]", out.dx.width, "the width of x", from.width);
    }
  }
  nb::gil_scoped_release release;
  return kernels->tiled_loss(to, from, aim, loss == "mse" ? dsae::Loss::squared : dsae::Loss::entropy, n_rows, factor, out);
}

nb::tuple transpose(const In& indptr, const In& indices, int64_t n_cols) {
  const Call call{"transpose"};
  const auto w = call.csr(indptr, indices);
  const int64_t nnz = indices.size();
  if (n_cols < 0) call.fail("n_cols >= 0", std::to_string(n_cols));
  call.inside("indices", w.indices, nnz, n_cols);
  auto new_indptr = integers(n_cols + 1), new_indices = integers(nnz), slots = integers(nnz);
  {
    nb::gil_scoped_release release;
    dsae::transpose(w, n_cols, new_indptr->data, new_indices->data, slots->data);
  }
  return nb::make_tuple(array(std::move(new_indptr)), array(std::move(new_indices)), array(std::move(slots)));
}

int fault(const In& indptr, const In& indices, int64_t n_cols) {
  const Call call{"fault"};
  const dsae::Csr w = {call.data<int32_t>("indptr", indptr, 1), call.data<int32_t>("indices", indices, 1),
                       static_cast<int64_t>(indptr.size()) - 1};
  if (w.n_rows < 0) call.fail("indptr to have n_rows + 1 entries", "none");
  return static_cast<int>(dsae::find_fault(w, indices.size(), n_cols));
}

nb::tuple rewire(const In& indptr, const In& indices, const In& keep, const In& grown_indptr, const In& grown_indices) {
  const Call call{"rewire"};
  const auto w = call.csr(indptr, indices);
  const auto kept = call.vector<const bool>("keep", keep, "the size of indices", indices.size());
  const dsae::Csr grown = {
      call.vector<const int32_t>("grown_indptr", grown_indptr, "the size of indptr", indptr.size()),
      call.data<int32_t>("grown_indices", grown_indices, 1), w.n_rows};
  call.equal("grown_indptr[-1]", grown.indptr[w.n_rows], "the size of grown_indices", grown_indices.size());
  auto new_indptr = integers(w.n_rows + 1);
  const int64_t nnz = dsae::count_rewired(w, kept, grown, new_indptr->data);
  if (nnz > INT32_MAX) call.fail("at most 2**31 - 1 edges", std::to_string(nnz));
  auto new_indices = integers(nnz), source = integers(nnz);
  {
    nb::gil_scoped_release release;
    dsae::rewire(w, kept, grown, new_indptr->data, new_indices->data, source->data);
  }
  return nb::make_tuple(array(std::move(new_indptr)), array(std::move(new_indices)), array(std::move(source)));
}

void move(const In& values, const In& source, const Out& out) {
  const Call call{"move"};
  const auto from = call.data<float>("values", values, 1);
  const auto slots = call.data<int32_t>("source", source, 1);
  const auto to = call.vector<float>("out", out, "the size of source", source.size());
  nb::gil_scoped_release release;
  dsae::move(from, values.size(), slots, source.size(), to);
}

void smallest(const In& scores, int64_t n, const Out& chosen) {
  const Call call{"smallest"};
  const auto from = call.data<float>("scores", scores, 1);
  const auto to = call.vector<bool>("chosen", chosen, "the size of scores", scores.size());
  const int64_t size = scores.size();
  if (n < 0 || n > size) call.fail("n in [0, " + std::to_string(size) + "]", std::to_string(n));
  nb::gil_scoped_release release;
  dsae::smallest(from, size, n, to);
}

// Edges that can be looked for among dead ones.
dsae::Csr sound(const Call& call, const In& indptr, const In& indices, int64_t n_cols) {
  const auto w = call.csr(indptr, indices);
  if (n_cols < 0 || dsae::find_fault(w, indices.size(), n_cols) != dsae::Fault::none)
    call.fail("sorted, distinct edges within " + std::to_string(n_cols) + " columns", "others");
  return w;
}

nb::tuple draw_dead(const In& indptr, const In& indices, int64_t n_cols, int64_t n, uint64_t seed) {
  const Call call{"draw_dead"};
  const auto w = sound(call, indptr, indices, n_cols);
  const int64_t most = std::min<int64_t>(w.n_rows * n_cols - indices.size(), INT32_MAX);
  if (n < 0 || n > most) call.fail("n in [0, " + std::to_string(most) + "]", std::to_string(n));
  auto new_indptr = integers(w.n_rows + 1), new_indices = integers(n);
  {
    nb::gil_scoped_release release;
    dsae::draw_counts(w, n_cols, n, seed, new_indptr->data);
    dsae::draw_columns(w, n_cols, seed, new_indptr->data, new_indices->data);
  }
  return nb::make_tuple(array(std::move(new_indptr)), array(std::move(new_indices)));
}

auto empty(size_t size) { return array(std::make_unique<Owned<float>>(size)); }

nb::tuple first_dead(const In& indptr, const In& indices, const In& order, const In& lengths) {
  const Call call{"first_dead"};
  const int64_t n_cols = order.size();
  const auto cols = call.data<int32_t>("order", order, 1);
  const auto w = sound(call, indptr, indices, n_cols);
  const auto first = call.vector<const int32_t>("lengths", lengths, "the number of rows", w.n_rows);
  std::vector<bool> seen(n_cols);
  call.inside("order", cols, n_cols, n_cols);
  for (int64_t i = 0; i < n_cols; ++i) seen[cols[i]] = true;
  if (std::find(seen.begin(), seen.end(), false) != seen.end()) call.fail("order to name every column", "one missing");
  call.inside("lengths", first, w.n_rows, n_cols + 1);
  auto new_indptr = integers(w.n_rows + 1);
  const int64_t n = dsae::count_first(w, n_cols, cols, first, new_indptr->data);
  if (n > INT32_MAX) call.fail("at most 2**31 - 1 edges", std::to_string(n));
  auto new_indices = integers(n);
  {
    nb::gil_scoped_release release;
    dsae::first_columns(w, n_cols, cols, first, new_indptr->data, new_indices->data);
  }
  return nb::make_tuple(array(std::move(new_indptr)), array(std::move(new_indices)));
}

dsae::Activation activation(const Call& call, const std::string& name, int64_t k, const std::optional<In>& thresholds,
                            int64_t width) {
  using A = dsae::Activation;
  const auto with = [&](A::Kind kind) { return A{kind, k, nullptr}; };
  if (name == "identity") return with(A::identity);
  if (name == "relu") return with(A::relu);
  if (name == "sigmoid") return with(A::sigmoid);
  if (name == "softmax") return with(A::softmax);
  if (name == "topk" && k > 0) return with(A::topk);
  if ((name == "batchtopk" || name == "jumprelu") && thresholds)
    return {A::threshold, k, call.vector<const float>("thresholds", *thresholds, "the number of units", width)};
  call.fail("an activation, with its k or thresholds", name);
}

void activate(const Out& rows, const std::string& name, int64_t k, const std::optional<In>& thresholds) {
  const Call call{"activate"};
  float* data = call.data<float>("rows", rows, 2);
  const dsae::Panels<float> z = {data, static_cast<int64_t>(rows.shape(0)), static_cast<int64_t>(rows.shape(1)), 1};
  const auto chosen = activation(call, name, k, thresholds, z.width);
  nb::gil_scoped_release release;
  const dsae::FlushSubnormals flush;
  kernels->activate(chosen, z);
}

// The layers of a model, checked when added; keeps their arrays alive.
class Network {
 public:
  Network() = default;
  Network(const Network&) = delete;

  void add(const In& indptr, const In& indices, const In& values, const In& bias, int64_t n_in, const std::string& name,
           int64_t k, const std::optional<In>& thresholds) {
    const Call call{"Network"};
    const auto w = call.csr(indptr, indices);
    const int64_t nnz = indices.size(), size = network_.size();
    if (size) call.equal("n_in", n_in, "what the layer before gives", network_[size - 1].w.n_rows);
    call.rising(w);
    call.inside("indices", w.indices, nnz, n_in);
    network_.add({w, n_in, call.vector<const float>("values", values, "the size of indices", nnz),
                  call.vector<const float>("bias", bias, "the number of rows", w.n_rows),
                  activation(call, name, k, thresholds, w.n_rows)});
    for (const In* array : {&indptr, &indices, &values, &bias}) kept_.push_back(*array);
    if (thresholds) kept_.push_back(*thresholds);
  }

  bool run(int64_t begin, int64_t end, const In& rows, const Out& out) const {
    const Call call{"run"};
    const float* x = call.data<float>("rows", rows, 2);
    const auto y = span(call, begin, end, rows.shape(0), out);
    call.equal("rows.shape[1]", rows.shape(1), "the width of the first layer", network_[begin].n_in);
    nb::gil_scoped_release release;
    return network_.run(begin, end, {y.count, x, {}, nullptr}, y);
  }

  bool run_csr(int64_t begin, int64_t end, const In& indptr, const In& indices, const In& values, const Out& out) const {
    const Call call{"run_csr"};
    const auto x = call.csr(indptr, indices);
    const auto data = call.vector<const float>("values", values, "the size of indices", indices.size());
    const auto y = span(call, begin, end, x.n_rows, out);
    call.rising(x);
    call.inside("indices", x.indices, indices.size(), network_[begin].n_in);
    nb::gil_scoped_release release;
    return network_.run(begin, end, {y.count, nullptr, x, data}, y);
  }

 private:
  dsae::Rows<float> span(const Call& call, int64_t begin, int64_t end, int64_t n_rows, const Out& out) const {
    if (begin < 0 || begin >= end || end > network_.size())
      call.fail("layers within [0, " + std::to_string(network_.size()) + ")", std::to_string(begin) + ":" + std::to_string(end));
    const dsae::Rows<float> y = {call.data<float>("out", out, 2), n_rows, network_[end - 1].w.n_rows};
    call.equal("out.shape[0]", out.shape(0), "the number of rows", y.count);
    call.equal("out.shape[1]", out.shape(1), "the width of the last layer", y.width);
    return y;
  }

  dsae::Network network_{*kernels};
  std::vector<In> kept_;
};

}  // namespace

NB_MODULE(_kernels, m) {
  kernels = &dsae::choose(std::getenv("DSAE_ISA"));
  m.def("isa", [] { return kernels->isa; });
  m.def("threads", &dsae::max_threads);
  m.def("empty", &empty, "size"_a);
  m.def("pack", &pack, "rows"_a.noconvert(), "panels"_a.noconvert());
  m.def("unpack", &unpack, "panels"_a.noconvert(), "rows"_a.noconvert());
  m.def("spmm", &spmm, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(), "bias"_a.noconvert().none(),
        "x"_a.noconvert(), "y"_a.noconvert());
  m.def("sddmm", &sddmm, "indptr"_a.noconvert(), "indices"_a.noconvert(), "dy"_a.noconvert(), "x"_a.noconvert(),
        "dw"_a.noconvert());
  m.def("backward", &backward, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(), "dy"_a.noconvert(),
        "x"_a.noconvert(), "dx"_a.noconvert(), "dw"_a.noconvert());
  m.def("sum_samples", &sum_samples, "panels"_a.noconvert(), "sums"_a.noconvert());
  m.def("adam", &adam, "indptr"_a.noconvert(), "indices"_a.noconvert(), "grad"_a.noconvert(), "values"_a.noconvert(),
        "mean"_a.noconvert(), "square"_a.noconvert(), "rate"_a, "beta1"_a, "beta2"_a, "epsilon"_a, "root"_a);
  m.def("gather", &gather, "values"_a.noconvert(), "slots"_a.noconvert(), "out"_a.noconvert());
  m.def("scatter", &scatter, "values"_a.noconvert(), "slots"_a.noconvert(), "out"_a.noconvert());
  m.def("spmv", &spmv, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(), "x"_a.noconvert(),
        "y"_a.noconvert());
  m.def("outer", &outer, "indptr"_a.noconvert(), "indices"_a.noconvert(), "left"_a.noconvert(), "right"_a.noconvert(),
        "dw"_a.noconvert());
  m.def("gather_live", &gather_live, "indptr"_a.noconvert(), "values"_a.noconvert(), "slots"_a.noconvert(),
        "x_indptr"_a.noconvert(), "out"_a.noconvert());
  m.def("columns", &columns, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(), "bias"_a.noconvert(),
        "x_indptr"_a.noconvert(), "x_indices"_a.noconvert(), "x_values"_a.noconvert(), "rows"_a.noconvert());
  m.def("columns_gradient", &columns_gradient, "indptr"_a.noconvert(), "indices"_a.noconvert(), "slots"_a.noconvert(),
        "x_indptr"_a.noconvert(), "x_indices"_a.noconvert(), "x_values"_a.noconvert(), "dy"_a.noconvert(),
        "dw"_a.noconvert());
  m.def("tiled_loss", &tiled_loss, "layer"_a.noconvert(), "transpose"_a.noconvert().none(), "x"_a.noconvert(),
        "target"_a.noconvert(), "loss"_a, "n_rows"_a, "factor"_a, "tile"_a.noconvert(), "gradients"_a.noconvert().none());
  m.def("transpose", &transpose, "indptr"_a.noconvert(), "indices"_a.noconvert(), "n_cols"_a);
  m.def("fault", &fault, "indptr"_a.noconvert(), "indices"_a.noconvert(), "n_cols"_a);
  m.def("rewire", &rewire, "indptr"_a.noconvert(), "indices"_a.noconvert(), "keep"_a.noconvert(),
        "grown_indptr"_a.noconvert(), "grown_indices"_a.noconvert());
  m.def("move", &move, "values"_a.noconvert(), "source"_a.noconvert(), "out"_a.noconvert());
  m.def("smallest", &smallest, "scores"_a.noconvert(), "n"_a, "chosen"_a.noconvert());
  m.def("draw_dead", &draw_dead, "indptr"_a.noconvert(), "indices"_a.noconvert(), "n_cols"_a, "n"_a, "seed"_a);
  m.def("first_dead", &first_dead, "indptr"_a.noconvert(), "indices"_a.noconvert(), "order"_a.noconvert(),
        "lengths"_a.noconvert());
  m.def("activate", &activate, "rows"_a.noconvert(), "activation"_a, "k"_a, "thresholds"_a.noconvert().none());
  nb::class_<Network>(m, "Network")
      .def(nb::init<>())
      .def("add", &Network::add, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
           "bias"_a.noconvert(), "n_in"_a, "activation"_a, "k"_a, "thresholds"_a.noconvert().none())
      .def("run", &Network::run, "begin"_a, "end"_a, "rows"_a.noconvert(), "out"_a.noconvert())
      .def("run_csr", &Network::run_csr, "begin"_a, "end"_a, "indptr"_a.noconvert(), "indices"_a.noconvert(),
           "values"_a.noconvert(), "out"_a.noconvert());
}
