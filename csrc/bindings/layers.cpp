// What layers need beside their products of panels: rows to panels, Adam, sparse rows, losses in tiles.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>
#include <vector>

#include "bindings/bindings.hpp"
#include "dense.hpp"

namespace {

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
  call.trusted("slots", index, slots.size(), values.size());
  nb::gil_scoped_release release;
  kernels->gather(from, index, to, slots.size());
}

void scatter(const In& values, const In& slots, const Out& out) {
  const Call call{"scatter"};
  const auto from = call.data<float>("values", values, 1);
  const auto index = call.vector<const int32_t>("slots", slots, "the size of values", values.size());
  const auto to = call.vector<float>("out", out, "the size of values", values.size());
  call.trusted("slots", index, slots.size(), out.size());
  nb::gil_scoped_release release;
  kernels->scatter(from, index, to, slots.size());
}

void to_dense(const In& indptr, const In& indices, const In& values, const Out& to, int block_size) {
  const Call call{"to_dense"};
  float* const rows = call.data<float>("matrix", to, 2);
  const auto w = call.blocks(indptr, indices, block_size, to.shape(0));
  const auto from = call.vector<const float>("values", values, "the number of weights", w.nnz());
  call.rising(w.groups);
  call.trusted("indices", w.groups.indices, indices.size(), to.shape(1));
  nb::gil_scoped_release release;
  dsae::to_dense(w, from, to.shape(1), rows);
}

void from_dense(const In& indptr, const In& indices, const In& from, const Out& values, int block_size) {
  const Call call{"from_dense"};
  const float* const rows = call.data<float>("matrix", from, 2);
  const auto w = call.blocks(indptr, indices, block_size, from.shape(0));
  const auto to = call.vector<float>("values", values, "the number of weights", w.nnz());
  call.rising(w.groups);
  call.trusted("indices", w.groups.indices, indices.size(), from.shape(1));
  nb::gil_scoped_release release;
  dsae::from_dense(w, rows, from.shape(1), to);
}

// Each parameter as (indptr or None, grad, values, mean, square, magnitude or None, mask or None, rate, root, newest,
// threshold). The numbers are double, since one of Python that float would round does not pass as a float.
using AdamTuple = std::tuple<std::optional<In>, In, Out, Out, Out, std::optional<Out>, std::optional<In>,
                             std::optional<std::tuple<In, In>>, double, double, double, double>;

dsae::AdamParameter adam_parameter(const Call& call, const AdamTuple& given) {
  const auto& [indptr, grad, values, mean, square, magnitude, mask, rates, rate, root, newest, threshold] = given;
  const char* of = "the size of values";
  dsae::AdamParameter p = {{nullptr, nullptr, 0}, static_cast<int64_t>(values.size())};
  p.values = call.vector<float>("values", values, of, p.size);
  p.grad = call.vector<const float>("grad", grad, of, p.size);
  p.mean = call.vector<float>("mean", mean, of, p.size);
  p.square = call.vector<float>("square", square, of, p.size);
  p.magnitude = magnitude ? call.vector<float>("magnitude", *magnitude, of, p.size) : nullptr;
  p.mask = mask ? call.vector<const uint8_t>("mask", *mask, of, p.size) : nullptr;
  p.rate = static_cast<float>(rate), p.root = static_cast<float>(root);
  p.newest = static_cast<float>(newest), p.threshold = static_cast<float>(threshold);
  if (rates) {
    if (indptr || mask) call.fail("either indptr or the rates of rows", "both");
    const auto& [rows, by_row] = *rates;
    p.rows = call.vector<const int32_t>("rows", rows, of, p.size);
    p.by_row = call.data<float>("rates", by_row, 1);
    call.trusted("rows", p.rows, p.size, by_row.size());
    return p;
  }
  if (!indptr) {
    if (mask) call.fail("indptr beside a mask", "None");
    return p;
  }
  p.w = {call.data<int32_t>("indptr", *indptr, 1), nullptr, static_cast<int64_t>(indptr->size()) - 1};
  if (p.w.n_rows < 0) call.fail("indptr to have n_rows + 1 entries", "none");
  call.rising(p.w);
  if (!mask) call.equal("indptr[-1]", p.w.indptr[p.w.n_rows], of, p.size);
  else if (p.w.n_rows ? p.size % p.w.n_rows : p.size) call.fail("values of whole rows", std::to_string(p.size));
  return p;
}

void adam(const std::vector<AdamTuple>& parameters, float beta1, float beta2, float epsilon) {
  const Call call{"adam"};
  std::vector<dsae::AdamParameter> moved;
  moved.reserve(parameters.size());
  for (const auto& parameter : parameters) moved.push_back(adam_parameter(call, parameter));
  nb::gil_scoped_release release;
  kernels->adam(moved.data(), moved.size(), {beta1, beta2, epsilon});
}

void spmv(const In& indptr, const In& indices, const In& values, const In& x, const Out& y) {
  const Call call{"spmv"};
  const auto w = call.csr(indptr, indices);
  const auto data = call.vector<const float>("values", values, "the size of indices", indices.size());
  const auto from = call.data<float>("x", x, 1);
  const auto to = call.vector<float>("y", y, "the number of rows", w.n_rows);
  call.trusted("indices", w.indices, indices.size(), x.size());
  nb::gil_scoped_release release;
  kernels->spmv(w, data, nullptr, from, to);
}

void sampled_outer(const In& indptr, const In& indices, const In& left, const In& right, const Out& dw) {
  const Call call{"sampled_outer"};
  const auto w = call.csr(indptr, indices);
  const auto rows = call.vector<const float>("left", left, "the number of rows", w.n_rows);
  const auto columns = call.data<float>("right", right, 1);
  call.trusted("indices", w.indices, indices.size(), right.size());
  const auto to = call.vector<float>("dw", dw, "the size of indices", indices.size());
  nb::gil_scoped_release release;
  kernels->sampled_outer(w, rows, columns, to);
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
  call.trusted("slots", index, slots.size(), values.size());
  nb::gil_scoped_release release;
  kernels->gather_live(wt, from, index, xt, to);
}

void csr_spmm(const In& indptr, const In& indices, const In& values, const In& bias, const In& x_indptr,
              const In& x_indices, const In& x_values, const Out& rows) {
  const Call call{"csr_spmm"};
  const dsae::Rows<float> y = {call.data<float>("rows", rows, 2), static_cast<int64_t>(rows.shape(0)),
                               static_cast<int64_t>(rows.shape(1))};
  const auto wt = call.csr(indptr, indices);
  const auto x = batch(call, "x_", x_indptr, x_indices, wt.n_rows);
  call.equal("rows.shape[0]", y.count, "the number of samples", x.n_rows);
  const auto data = call.vector<const float>("values", values, "the size of indices", indices.size());
  const auto start = call.vector<const float>("bias", bias, "the width of rows", y.width);
  const auto numbers = call.vector<const float>("x_values", x_values, "the size of x_indices", x_indices.size());
  call.trusted("indices", wt.indices, indices.size(), y.width);
  nb::gil_scoped_release release;
  kernels->csr_spmm(wt, data, start, x, numbers, y);
}

void csr_sddmm(const In& indptr, const In& indices, const In& slots, const In& x_indptr, const In& x_indices,
               const In& x_values, const In& dy, const Out& dw) {
  const Call call{"csr_sddmm"};
  const dsae::Rows<const float> from = {call.data<float>("dy", dy, 2), static_cast<int64_t>(dy.shape(0)),
                                        static_cast<int64_t>(dy.shape(1))};
  const auto wt = call.csr(indptr, indices);
  const auto xt = batch(call, "x_", x_indptr, x_indices, from.count);
  call.equal("x_indptr.size", x_indptr.size(), "the size of indptr", indptr.size());
  const auto to = call.vector<float>("dw", dw, "the size of indices", indices.size());
  const auto index = call.vector<const int32_t>("slots", slots, "the size of indices", indices.size());
  const auto numbers = call.vector<const float>("x_values", x_values, "the size of x_indices", x_indices.size());
  call.trusted("indices", wt.indices, indices.size(), from.width);
  call.trusted("slots", index, slots.size(), dw.size());
  nb::gil_scoped_release release;
  kernels->csr_sddmm(wt, index, xt, numbers, from, to);
}

void csr_gradient(const In& indptr, const In& indices, const In& x_indptr, const In& x_indices, const In& x_values,
                  const In& dy, const std::optional<std::tuple<In, In>>& outer, const Out& dw) {
  const Call call{"csr_gradient"};
  const dsae::Rows<const float> from = {call.data<float>("dy", dy, 2), static_cast<int64_t>(dy.shape(0)),
                                        static_cast<int64_t>(dy.shape(1))};
  const auto wt = call.csr(indptr, indices);
  const auto xt = batch(call, "x_", x_indptr, x_indices, from.count);
  call.equal("x_indptr.size", x_indptr.size(), "the size of indptr", indptr.size());
  const auto to = call.vector<float>("dw", dw, "the size of indices", indices.size());
  const auto numbers = call.vector<const float>("x_values", x_values, "the size of x_indices", x_indices.size());
  call.trusted("indices", wt.indices, indices.size(), from.width);
  const float *left = nullptr, *right = nullptr;
  if (outer) {
    left = call.vector<const float>("left", std::get<0>(*outer), "the width of dy", from.width);
    right = call.vector<const float>("right", std::get<1>(*outer), "the number of inputs", wt.n_rows);
  }
  nb::gil_scoped_release release;
  kernels->csr_gradient(wt, xt, numbers, from, left, right, to);
}

// The layer as (indptr, indices, values, bias), its transpose as (indptr, indices, values), the target by column as
// (indptr, samples, values, shift or None), the gradients as (dw, dbias, dx); what is None is not computed.
double tiled_loss(const std::tuple<In, In, In, In>& layer, const std::optional<std::tuple<In, In, In>>& transpose,
                  const In& x, const std::tuple<In, In, In, std::optional<In>>& target, int loss, int64_t n_rows,
                  float factor, const Out& tile,
                  const std::optional<std::tuple<Out, Out, std::optional<Out>>>& gradients,
                  const std::optional<In>& known, const std::optional<In>& weights, const std::optional<In>& offset,
                  const std::optional<std::tuple<In, Out>>& dispersion) {
  const Call call{"tiled_loss"};
  const auto& [indptr, indices, values, bias] = layer;
  const auto from = call.panels<const float>("x", x);
  call.fits(n_rows, from);
  dsae::OutputLayer to = {call.csr(indptr, indices), nullptr, nullptr, {nullptr, nullptr, 0}, nullptr, nullptr};
  to.values = call.vector<const float>("values", values, "the size of indices", indices.size());
  to.bias = call.vector<const float>("bias", bias, "the number of rows", to.w.n_rows);
  const auto& [t_indptr, t_samples, t_values, t_shift] = target;
  const dsae::Target aim = {
      batch(call, "target ", t_indptr, t_samples, n_rows),
      call.vector<const float>("target values", t_values, "the size of target indices", t_samples.size()),
      t_shift ? call.vector<const float>("shift", *t_shift, "the number of rows", to.w.n_rows) : nullptr,
      known ? call.vector<const float>("known", *known, "the size of target indices", t_samples.size()) : nullptr,
      weights ? call.vector<const float>("weights", *weights, "the number of samples", n_rows) : nullptr,
      offset ? call.vector<const float>("offset", *offset, "the number of samples", n_rows) : nullptr};
  call.equal("target indptr.size - 1", aim.columns.n_rows, "the number of rows", to.w.n_rows);
  if (loss < 0 || loss >= kernels->n_losses)
    call.fail("a loss below " + std::to_string(kernels->n_losses), std::to_string(loss));
  call.trusted("indices", to.w.indices, indices.size(), from.width);
  dsae::OutputGradients out = {
      nullptr, nullptr, {nullptr, 0, 0, from.lanes}, call.panels<float>("tile", tile), nullptr};
  call.same_batch(from, out.tile, "tile");
  if (out.tile.width < 1) call.fail("a tile of at least one output", "none");
  if (dispersion) {
    const auto& [logarithm, gradient] = *dispersion;
    to.log_dispersion = call.vector<const float>("log_dispersion", logarithm, "the number of rows", to.w.n_rows);
    out.by_dispersion = call.vector<float>("its gradient", gradient, "the number of rows", to.w.n_rows);
  }
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
  return kernels->tiled_loss(to, from, aim, loss, n_rows, factor, out);
}

void log_sums(const In& indptr, const In& indices, const In& values, const In& bias, const In& x, const Out& sums) {
  const Call call{"log_sums"};
  const auto from = call.panels<const float>("x", x);
  call.fits(sums.size(), from);
  const dsae::Csr w = call.csr(indptr, indices);
  const dsae::OutputLayer layer = {w,
                                   call.vector<const float>("values", values, "the size of indices", indices.size()),
                                   call.vector<const float>("bias", bias, "the number of rows", w.n_rows),
                                   {nullptr, nullptr, 0},
                                   nullptr,
                                   nullptr};
  const auto to = call.data<float>("sums", sums, 1);
  call.trusted("indices", w.indices, indices.size(), from.width);
  nb::gil_scoped_release release;
  kernels->log_sums(layer, from, sums.size(), to);
}

}  // namespace

void bind_layers(nb::module_& m) {
  m.def("pack", &pack, "rows"_a.noconvert(), "panels"_a.noconvert(),
        "Rows ``[b, f]`` into panels ``[p, f, lanes]``; the lanes left over are zero.");
  m.def("unpack", &unpack, "panels"_a.noconvert(), "rows"_a.noconvert(),
        "Panels ``[p, f, lanes]`` back into rows ``[b, f]``.");
  m.def("sum_samples", &sum_samples, "panels"_a.noconvert(), "sums"_a.noconvert(),
        "Every feature's sum over all panels and lanes.");
  m.def(
      "adam", &adam, "parameters"_a.noconvert(), "beta1"_a, "beta2"_a, "epsilon"_a,
      "One step of Adam for all parameters, in place.\n\nEach is ``(indptr or None, grad, values, mean, square, "
      "magnitude or None, mask or None, (rows, rates) or None,\nrate, root, newest, threshold)``. The rate of an edge "
      "is "
      "``rate / max(fan-in of its row, mean fan-in)``, or, where the row of\neach is given instead of indptr, ``rate * "
      "rates[row]``; ``magnitude`` is the running mean of\n``|grad|``, in which this step has the share "
      "``newest``; a soft ``threshold`` follows. With a ``mask`` (uint8) the numbers are\nthose of the dense matrix, "
      "and gradients where it is 0 count as 0.");
  m.def("gather", &gather, "values"_a.noconvert(), "slots"_a.noconvert(), "out"_a.noconvert(),
        "``out[i] = values[slots[i]]``.");
  m.def("scatter", &scatter, "values"_a.noconvert(), "slots"_a.noconvert(), "out"_a.noconvert(),
        "``out[slots[i]] = values[i]``.");
  m.def("to_dense", &to_dense, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
        "matrix"_a.noconvert(), "block_size"_a = 1, "``values`` at their edges of ``matrix``, zero elsewhere.");
  m.def("from_dense", &from_dense, "indptr"_a.noconvert(), "indices"_a.noconvert(), "matrix"_a.noconvert(),
        "values"_a.noconvert(), "block_size"_a = 1, "What ``matrix`` has at the edges.");
  m.def("spmv", &spmv, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(), "x"_a.noconvert(),
        "y"_a.noconvert(), "``y = W x`` for one vector.");
  m.def("sampled_outer", &sampled_outer, "indptr"_a.noconvert(), "indices"_a.noconvert(), "left"_a.noconvert(),
        "right"_a.noconvert(), "dw"_a.noconvert(), "``dw[slot] = left[row] * right[column]`` at the edges.");
  m.def("gather_live", &gather_live, "indptr"_a.noconvert(), "values"_a.noconvert(), "slots"_a.noconvert(),
        "x_indptr"_a.noconvert(), "out"_a.noconvert(),
        "``out[i] = values[slots[i]]`` in the rows of ``indptr`` that are not empty in ``x_indptr``.");
  m.def("csr_spmm", &csr_spmm, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
        "bias"_a.noconvert(), "x_indptr"_a.noconvert(), "x_indices"_a.noconvert(), "x_values"_a.noconvert(),
        "rows"_a.noconvert(), "``rows = X W^T + bias`` for CSR rows ``X``; ``indptr, indices, values`` are ``W^T``.");
  m.def("csr_sddmm", &csr_sddmm, "indptr"_a.noconvert(), "indices"_a.noconvert(), "slots"_a.noconvert(),
        "x_indptr"_a.noconvert(), "x_indices"_a.noconvert(), "x_values"_a.noconvert(), "dy"_a.noconvert(),
        "dw"_a.noconvert(),
        "``dw[slots[i]] += <x[:, row], dy[:, column]>`` at the edges of ``W^T``; the batch comes by columns.");
  m.def("csr_gradient", &csr_gradient, "indptr"_a.noconvert(), "indices"_a.noconvert(), "x_indptr"_a.noconvert(),
        "x_indices"_a.noconvert(), "x_values"_a.noconvert(), "dy"_a.noconvert(), "outer"_a.none(), "dw"_a.noconvert(),
        "``dw[i] = <x[:, row], dy[:, column]>`` at the edges of ``W^T``, plus ``left[column] * right[row]`` for an "
        "outer product\n``(left, right)``; the batch comes by columns.");
  m.def("tiled_loss", &tiled_loss, "layer"_a.noconvert(), "transpose"_a.noconvert().none(), "x"_a.noconvert(),
        "target"_a.noconvert(), "loss"_a, "n_rows"_a, "factor"_a, "tile"_a.noconvert(),
        "gradients"_a.noconvert().none(), "known"_a.noconvert().none() = nb::none(),
        "weights"_a.noconvert().none() = nb::none(), "offset"_a.noconvert().none() = nb::none(),
        "dispersion"_a.none() = nb::none(),
        "Sum of the loss of ``W x + bias`` against a target by columns, tile by tile of outputs, and its "
        "gradients.\n\n``layer`` is ``(indptr, indices, values, bias)``, ``transpose`` the same matrix's ``(indptr, "
        "indices, values)``,\n``target`` ``(indptr, samples, values, shift or None)``, ``gradients`` ``(dw, dbias, dx "
        "or None)``, ``known`` the weights of the target's numbers, ``weights`` those of the samples. "
        "Likelihoods of\ncounts take the logarithms of the samples' totals as ``offset``, and ``(log_dispersion, its "
        "gradient)`` of the outputs.");
  m.def("log_sums", &log_sums, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
        "bias"_a.noconvert(), "x"_a.noconvert(), "sums"_a.noconvert(),
        "The logarithm of the sum of ``exp(W x + bias)`` over all outputs, for each sample of the panels ``x``.");
}
