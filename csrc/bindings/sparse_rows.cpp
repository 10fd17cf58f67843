// Products of sparse rows, and losses against sparse rows in tiles.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <string>
#include <tuple>

#include "bindings/bindings.hpp"

namespace {

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

void edge_sums(const In& rows, const In& columns, const In& values, const In& x, const Out& y) {
  const Call call{"edge_sums"};
  const int64_t size = values.size();
  const dsae::Edges edges = {call.vector<const int32_t>("rows", rows, "the size of values", size),
                             call.vector<const int32_t>("columns", columns, "the size of values", size), size};
  const auto numbers = call.data<float>("values", values, 1), from = call.data<float>("x", x, 1);
  const auto to = call.data<float>("y", y, 1);
  call.trusted("rows", edges.rows, size, y.size());
  call.trusted("columns", edges.columns, size, x.size());
  nb::gil_scoped_release release;
  kernels->edge_sums(edges, numbers, from, static_cast<int64_t>(y.size()), to);
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

// Whether a column's edges can be runs of `block_size` neighbouring outputs, as those of blocks are; where indices are
// checked each run is.
void in_runs(const Call& call, const dsae::Csr& wt, int block_size) {
  if (block_size != 1 && block_size != 4 && block_size != 8)
    call.fail("a block_size of 1, 4 or 8", std::to_string(block_size));
#ifdef DSAE_CHECK_INDICES
  bool bad = false;
  for (int64_t row = 0; row < wt.n_rows; ++row)
    for (int64_t at = wt.indptr[row]; at + block_size <= wt.indptr[row + 1]; at += block_size)
      bad |= wt.indices[at + block_size - 1] - wt.indices[at] != block_size - 1;
  if (bad) call.fail("blocks of " + std::to_string(block_size) + " neighbours", "others");
#else
  (void)wt;
#endif
}

void csr_spmm(const In& indptr, const In& indices, const In& values, const In& bias, const In& x_indptr,
              const In& x_indices, const In& x_values, const Out& rows, int block_size) {
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
  in_runs(call, wt, block_size);
  nb::gil_scoped_release release;
  kernels->csr_spmm(wt, data, start, x, numbers, y, block_size);
}

// What gradients at the edges of W^T are made of: a batch by columns, one of them for each row of W^T, and dy.
struct AtEdges {
  dsae::Csr wt, x;
  const float* numbers;
  dsae::Rows<const float> dy;
  float* dw;

  AtEdges(const Call& call, const In& indptr, const In& indices, const In& x_indptr, const In& x_indices,
          const In& x_values, const In& rows, const Out& to)
      : wt(call.csr(indptr, indices)),
        dy{call.data<float>("dy", rows, 2), static_cast<int64_t>(rows.shape(0)), static_cast<int64_t>(rows.shape(1))} {
    x = batch(call, "x_", x_indptr, x_indices, dy.count);
    call.equal("x_indptr.size", x_indptr.size(), "the size of indptr", indptr.size());
    dw = call.vector<float>("dw", to, "the size of indices", indices.size());
    numbers = call.vector<const float>("x_values", x_values, "the size of x_indices", x_indices.size());
    call.trusted("indices", wt.indices, indices.size(), dy.width);
  }
};

void csr_sddmm(const In& indptr, const In& indices, const In& slots, const In& x_indptr, const In& x_indices,
               const In& x_values, const In& dy, const Out& dw) {
  const Call call{"csr_sddmm"};
  const AtEdges at(call, indptr, indices, x_indptr, x_indices, x_values, dy, dw);
  const auto index = call.vector<const int32_t>("slots", slots, "the size of indices", indices.size());
  call.trusted("slots", index, slots.size(), dw.size());
  nb::gil_scoped_release release;
  kernels->csr_sddmm(at.wt, index, at.x, at.numbers, at.dy, at.dw);
}

void csr_gradient(const In& indptr, const In& indices, const In& x_indptr, const In& x_indices, const In& x_values,
                  const In& dy, const std::optional<std::tuple<In, In>>& outer, const Out& dw, int block_size) {
  const Call call{"csr_gradient"};
  const AtEdges at(call, indptr, indices, x_indptr, x_indices, x_values, dy, dw);
  const float *left = nullptr, *right = nullptr;
  if (outer) {
    left = call.vector<const float>("left", std::get<0>(*outer), "the width of dy", at.dy.width);
    right = call.vector<const float>("right", std::get<1>(*outer), "the number of inputs", at.wt.n_rows);
  }
  in_runs(call, at.wt, block_size);
  nb::gil_scoped_release release;
  kernels->csr_gradient(at.wt, at.x, at.numbers, at.dy, left, right, at.dw, block_size);
}

constexpr const char* kWeights = "the number of weights";

// Of a layer as (indptr, indices, values, bias); all else is empty.
dsae::OutputLayer output_layer(const Call& call, const std::tuple<In, In, In, In>& layer, int64_t n_in,
                               int block_size) {
  const auto& [indptr, indices, values, bias] = layer;
  const dsae::Blocks w = call.layer(indptr, indices, bias, block_size);
  call.trusted("indices", w.groups.indices, indices.size(), n_in);
  return {w,
          call.vector<const float>("values", values, kWeights, w.nnz()),
          call.vector<const float>("bias", bias, "the number of rows", w.n_rows),
          {nullptr, nullptr, 0},
          nullptr,
          nullptr};
}

// The layer as (indptr, indices, values, bias), its transpose as (indptr, indices, values), the target by column as
// (indptr, samples, values, shift or None), the gradients as (dw, dbias, dx); what is None is not computed.
double tiled_loss(const std::tuple<In, In, In, In>& layer, const std::optional<std::tuple<In, In, In>>& transpose,
                  const In& x, const std::tuple<In, In, In, std::optional<In>>& target, int loss, int64_t n_rows,
                  float factor, const Out& tile,
                  const std::optional<std::tuple<Out, Out, std::optional<Out>>>& gradients,
                  const std::optional<In>& known, const std::optional<In>& weights, const std::optional<In>& offset,
                  const std::optional<std::tuple<In, Out>>& dispersion, int block_size) {
  const Call call{"tiled_loss"};
  const auto from = call.panels<const float>("x", x);
  call.fits(n_rows, from);
  dsae::OutputLayer to = output_layer(call, layer, from.width, block_size);
  const int64_t nnz = to.w.nnz();
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
  dsae::OutputGradients out = {
      nullptr, nullptr, {nullptr, 0, 0, from.lanes}, call.panels<float>("tile", tile), nullptr};
  call.same_batch(from, out.tile, "tile");
  if (out.tile.width < 1) call.fail("a tile of at least one output", "none");
  if (out.tile.width % block_size)
    call.fail("a tile of whole groups of " + std::to_string(block_size), std::to_string(out.tile.width) + " outputs");
  if (dispersion) {
    const auto& [logarithm, gradient] = *dispersion;
    to.log_dispersion = call.vector<const float>("log_dispersion", logarithm, "the number of rows", to.w.n_rows);
    out.by_dispersion = call.vector<float>("its gradient", gradient, "the number of rows", to.w.n_rows);
  }
  if (gradients) {
    const auto& [dw, dbias, dx] = *gradients;
    out.dw = call.vector<float>("dw", dw, kWeights, nnz);
    out.dbias = call.vector<float>("dbias", dbias, "the number of rows", to.w.n_rows);
    if (dx && block_size == 1) {
      if (!transpose) call.fail("the transpose, from which dx comes", "None");
      const auto& [wt_indptr, wt_indices, wt_values] = *transpose;
      to.wt = call.csr(wt_indptr, wt_indices, "transposed ");
      to.wt_values = call.vector<const float>("transposed values", wt_values, kWeights, nnz);
      call.equal("transposed indptr.size - 1", to.wt.n_rows, "the width of x", from.width);
    }
    if (dx) {
      out.dx = call.panels<float>("dx", *dx);
      call.same_batch(from, out.dx, "dx");
      call.equal("dx.shape[1]", out.dx.width, "the width of x", from.width);
    }
  }
  nb::gil_scoped_release release;
  return kernels->tiled_loss(to, from, aim, loss, n_rows, factor, out);
}

void log_sums(const In& indptr, const In& indices, const In& values, const In& bias, const In& x, const Out& sums,
              int block_size) {
  const Call call{"log_sums"};
  const auto from = call.panels<const float>("x", x);
  call.fits(sums.size(), from);
  const dsae::OutputLayer layer = output_layer(call, {indptr, indices, values, bias}, from.width, block_size);
  const auto to = call.data<float>("sums", sums, 1);
  nb::gil_scoped_release release;
  kernels->log_sums(layer, from, sums.size(), to);
}

}  // namespace

void bind_sparse_rows(nb::module_& m) {
  m.def("spmv", &spmv, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(), "x"_a.noconvert(),
        "y"_a.noconvert(), "``y = W x`` for one vector.");
  m.def("sampled_outer", &sampled_outer, "indptr"_a.noconvert(), "indices"_a.noconvert(), "left"_a.noconvert(),
        "right"_a.noconvert(), "dw"_a.noconvert(), "``dw[slot] = left[row] * right[column]`` at the edges.");
  m.def("edge_sums", &edge_sums, "rows"_a.noconvert(), "columns"_a.noconvert(), "values"_a.noconvert(),
        "x"_a.noconvert(), "y"_a.noconvert(), "``y = W x`` for one vector, of edges ``(rows, columns)`` in any order.");
  m.def("gather_live", &gather_live, "indptr"_a.noconvert(), "values"_a.noconvert(), "slots"_a.noconvert(),
        "x_indptr"_a.noconvert(), "out"_a.noconvert(),
        "``out[i] = values[slots[i]]`` in the rows of ``indptr`` that are not empty in ``x_indptr``.");
  m.def("csr_spmm", &csr_spmm, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
        "bias"_a.noconvert(), "x_indptr"_a.noconvert(), "x_indices"_a.noconvert(), "x_values"_a.noconvert(),
        "rows"_a.noconvert(), "block_size"_a = 1,
        "``rows = X W^T + bias`` for CSR rows ``X``; ``indptr, indices, values`` are ``W^T``, edge by edge. Those of "
        "each of its rows\ncome in runs of ``block_size`` neighbours, and a shorter one at the end.");
  m.def("csr_sddmm", &csr_sddmm, "indptr"_a.noconvert(), "indices"_a.noconvert(), "slots"_a.noconvert(),
        "x_indptr"_a.noconvert(), "x_indices"_a.noconvert(), "x_values"_a.noconvert(), "dy"_a.noconvert(),
        "dw"_a.noconvert(),
        "``dw[slots[i]] += <x[:, row], dy[:, column]>`` at the edges of ``W^T``; the batch comes by columns.");
  m.def("csr_gradient", &csr_gradient, "indptr"_a.noconvert(), "indices"_a.noconvert(), "x_indptr"_a.noconvert(),
        "x_indices"_a.noconvert(), "x_values"_a.noconvert(), "dy"_a.noconvert(), "outer"_a.none(), "dw"_a.noconvert(),
        "block_size"_a = 1,
        "``dw[i] = <x[:, row], dy[:, column]>`` at the edges of ``W^T``, plus ``left[column] * right[row]`` for an "
        "outer product\n``(left, right)``; the batch comes by columns. Blocks as in `csr_spmm`.");
  m.def(
      "tiled_loss", &tiled_loss, "layer"_a.noconvert(), "transpose"_a.noconvert().none(), "x"_a.noconvert(),
      "target"_a.noconvert(), "loss"_a, "n_rows"_a, "factor"_a, "tile"_a.noconvert(), "gradients"_a.noconvert().none(),
      "known"_a.noconvert().none() = nb::none(), "weights"_a.noconvert().none() = nb::none(),
      "offset"_a.noconvert().none() = nb::none(), "dispersion"_a.none() = nb::none(), "block_size"_a = 1,
      "Sum of the loss of ``W x + bias`` against a target by columns, tile by tile of outputs, and its "
      "gradients.\n\n``layer`` is ``(indptr, indices, values, bias)``, ``transpose`` the same matrix's ``(indptr, "
      "indices, values)``,\n``target`` ``(indptr, samples, values, shift or None)``, ``gradients`` ``(dw, dbias, dx "
      "or None)``, ``known`` the weights of the target's numbers, ``weights`` those of the samples. "
      "Likelihoods of\ncounts take the logarithms of the samples' totals as ``offset``, and ``(log_dispersion, its "
      "gradient)`` of the outputs. Of blocks,\nvalues and dw are as in `block_spmm`, a tile has whole groups, and the "
      "transpose is not read.");
  m.def("log_sums", &log_sums, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
        "bias"_a.noconvert(), "x"_a.noconvert(), "sums"_a.noconvert(), "block_size"_a = 1,
        "The logarithm of the sum of ``exp(W x + bias)`` over all outputs, for each sample of the panels ``x``.");
}
