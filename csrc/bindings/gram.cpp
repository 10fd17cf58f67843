// The squared error against sparse targets by Gram matrices.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "bindings/bindings.hpp"
#include "windows.hpp"

namespace {

std::unique_ptr<Owned<int32_t>> copied(const std::vector<int32_t>& from) {
  auto to = integers(static_cast<int64_t>(from.size()));
  std::copy(from.begin(), from.end(), to->data);
  return to;
}

nb::tuple window_edges(const In& indptr, const In& indices, int64_t n_cols, int64_t height) {
  const Call call{"window_edges"};
  const auto w = call.csr(indptr, indices);
  const int64_t nnz = indices.size();
  if (n_cols < 0 || height < 1)
    call.fail("n_cols >= 0 and height >= 1", std::to_string(n_cols) + ", " + std::to_string(height));
  call.rising(w);
  call.inside("indices", w.indices, nnz, n_cols);
  auto rows = integers(nnz), slots = integers(nnz);
  std::vector<int32_t> cuts;
  {
    nb::gil_scoped_release release;
    cuts = dsae::window_edges(w, n_cols, height, rows->data, slots->data);
  }
  return nb::make_tuple(array(std::move(rows)), array(std::move(slots)), array(copied(cuts)));
}

// A target by columns or by samples: every part of it.
std::pair<dsae::Csr, const float*> part(const Call& call, const std::string& of, const std::tuple<In, In, In>& held,
                                        int64_t n_rows, const char* what, int64_t n_cols) {
  const auto& [indptr, indices, values] = held;
  const auto csr = call.csr(indptr, indices, of);
  call.rising(csr);
  call.inside((of + "indices").c_str(), csr.indices, indices.size(), n_cols);
  call.equal((of + "indptr.size - 1").c_str(), csr.n_rows, what, n_rows);
  return {csr, call.vector<const float>((of + "values").c_str(), values, "the size of indices", indices.size())};
}

using Three = std::tuple<In, In, In>;
using Four = std::tuple<In, In, In, In>;
using Windows = std::optional<std::tuple<In, In, In, int64_t>>;

// What both calls are given of a layer, its input and a target.
struct Given {
  dsae::Rows<const float> x;
  dsae::GramLayer layer;
  dsae::GramTarget target;

  Given(const Call& call, const Four& of, const In& rows, const Three& columns, const Three& samples,
        const std::optional<In>& shift, int block_size) {
    const auto& [indptr, indices, values, bias] = of;
    x = {call.data<float>("x", rows, 2), static_cast<int64_t>(rows.shape(0)), static_cast<int64_t>(rows.shape(1))};
    const dsae::Blocks w = call.layer(indptr, indices, bias, block_size);
    call.rising(w.groups);
    layer = {w,
             call.vector<const float>("values", values, "the number of weights", w.nnz()),
             call.vector<const float>("bias", bias, "the number of rows", w.n_rows),
             nullptr,
             nullptr,
             nullptr,
             1};
    call.trusted("indices", w.groups.indices, indices.size(), x.width);
    const auto by_column = part(call, "column ", columns, w.n_rows, "the number of outputs", x.count);
    const auto by_sample = part(call, "sample ", samples, x.count, "the number of samples", w.n_rows);
    target = {by_column.first,
              by_column.second,
              by_sample.first,
              by_sample.second,
              shift ? call.vector<const float>("shift", *shift, "the number of outputs", w.n_rows) : nullptr,
              nullptr,
              nullptr};
  }
};

double gram_loss(const Four& layer, const Windows& windows, const In& x, const Three& columns, const Three& samples,
                 const std::optional<In>& shift, float unseen, float factor,
                 const std::tuple<Out, Out, std::optional<Out>>& gradients,
                 const std::optional<std::tuple<In, In>>& known, int block_size) {
  const Call call{"gram_loss"};
  Given given(call, layer, x, columns, samples, shift, block_size);
  if (known) {
    const auto& [by_column, by_row] = *known;
    const int64_t size = std::get<1>(columns).size();
    given.target.known_by_column = call.vector<const float>("known by column", by_column, "the size of indices", size);
    given.target.known_by_row = call.vector<const float>("known by sample", by_row, "the size of indices", size);
  }
  if (!(factor > 0)) call.fail("a factor above 0", std::to_string(factor));
  const int64_t nnz = given.layer.w.nnz(), n_rows = given.layer.w.n_rows, width = given.x.width;
  if (windows && block_size > 1) call.fail("no windows of blocks", "some");
  if (windows) {
    const auto& [rows, slots, cuts, height] = *windows;
    if (height < 1) call.fail("windows of at least one output", std::to_string(height));
    given.layer.rows = call.vector<const int32_t>("rows of windows", rows, "the size of indices", nnz);
    given.layer.slots = call.vector<const int32_t>("slots", slots, "the size of indices", nnz);
    given.layer.cuts = call.data<int32_t>("cuts", cuts, 1);
    given.layer.height = height;
    call.equal("cuts.size", cuts.size(), "windows * the width of x + 1", given.layer.n_windows() * width + 1);
    call.trusted("rows of windows", given.layer.rows, nnz, n_rows);
    call.trusted("slots", given.layer.slots, nnz, nnz);
    call.trusted("cuts", given.layer.cuts, cuts.size(), nnz + 1);
  }
  const auto& [dw, dbias, dx] = gradients;
  dsae::GramGradients out = {call.vector<float>("dw", dw, "the number of weights", nnz),
                             call.vector<float>("dbias", dbias, "the number of outputs", n_rows),
                             {nullptr, 0, 0}};
  if (dx) {
    out.dx = {call.data<float>("dx", *dx, 2), static_cast<int64_t>(dx->shape(0)), static_cast<int64_t>(dx->shape(1))};
    call.equal("dx.shape[0]", out.dx.count, "the number of samples", given.x.count);
    call.equal("dx.shape[1]", out.dx.width, "the width of x", width);
  }
  nb::gil_scoped_release release;
  return kernels->gram_loss(given.layer, given.x, given.target, unseen, factor, out);
}

void gram_edges(const Four& layer, const In& x, const Three& columns, const Three& samples,
                const std::optional<In>& shift, float factor, const std::optional<std::tuple<In, In, Out>>& edges,
                const std::optional<Out>& norms) {
  const Call call{"gram_edges"};
  const Given given(call, layer, x, columns, samples, shift, 1);
  const int64_t n_rows = given.layer.w.n_rows;
  dsae::Csr at = {nullptr, nullptr, 0};
  float* dw = nullptr;
  if (edges) {
    const auto& [indptr, indices, out] = *edges;
    at = call.csr(indptr, indices, "edges' ");
    call.rising(at);
    call.equal("edges' indptr.size - 1", at.n_rows, "the number of outputs", n_rows);
    call.trusted("edges' indices", at.indices, indices.size(), given.x.width);
    dw = call.vector<float>("dw", out, "the size of edges' indices", indices.size());
  }
  float* const to = norms ? call.vector<float>("norms", *norms, "the number of outputs", n_rows) : nullptr;
  nb::gil_scoped_release release;
  kernels->gram_edges(given.layer, given.x, given.target, at, factor, dw, to);
}

}  // namespace

void bind_gram(nb::module_& m) {
  m.def("window_edges", &window_edges, "indptr"_a.noconvert(), "indices"_a.noconvert(), "n_cols"_a, "height"_a,
        "Edges by windows of ``height`` rows, within a window by column: ``rows, slots, cuts``.");
  m.def("gram_loss", &gram_loss, "layer"_a.noconvert(), "windows"_a.noconvert().none(), "x"_a.noconvert(),
        "columns"_a.noconvert(), "samples"_a.noconvert(), "shift"_a.noconvert().none(), "unseen"_a, "factor"_a,
        "gradients"_a.noconvert(), "known"_a.noconvert().none() = nb::none(), "block_size"_a = 1,
        "Summed squared error of ``W x + bias`` for rows ``x`` against a sparse target, from Gram matrices, and its "
        "gradients.\n\n``layer`` is ``(indptr, indices, values, bias)``, ``windows`` what `window_edges` gives and the "
        "height where the layer's Gram matrix is to come from dense windows instead of pairs of weights, "
        "``columns`` and ``samples`` are the\ntarget's ``(indptr, indices, values)`` both ways, ``gradients`` ``(dw, "
        "dbias, dx or None)``; numbers that the target\ndoes not hold have the weight ``unseen``, the others 1 or that "
        "of ``known``, by column and by sample. Values and dw of blocks are as in `block_spmm`.");
  m.def("gram_edges", &gram_edges, "layer"_a.noconvert(), "x"_a.noconvert(), "columns"_a.noconvert(),
        "samples"_a.noconvert(), "shift"_a.noconvert().none(), "factor"_a, "edges"_a.noconvert().none(),
        "norms"_a.noconvert().none(),
        "The same error's gradient at any edges, ``(indptr, indices, dw)``, active or not, and the ``norms`` of the "
        "outputs' gradients over the samples.");
}
