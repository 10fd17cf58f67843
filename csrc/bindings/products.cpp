// Products of a layer with panels, of float32 or in lines of 16 bits; numpy has no bfloat16, so those are uint16.
#include <nanobind/stl/optional.h>

#include <type_traits>

#include "bindings/bindings.hpp"

namespace {

template <class T>
constexpr bool kHalf = std::is_same_v<T, uint16_t>;

template <class T>
dsae::Panels<const T> panels_of(const Call& call, const char* what, const In& given) {
  if constexpr (kHalf<T>) return call.bf16_panels<const T>(what, given);
  else return call.panels<const T>(what, given);
}

// Panels of float32 beside the same samples in lines of 16 bits, which are as wide or half as wide.
template <class T, class P>
void same_samples(const Call& call, dsae::Panels<T> lines, const P& whole, const char* what) {
  if constexpr (!kHalf<std::remove_const_t<T>>) return call.same_batch(lines, whole, what);
  if (whole.lanes % lines.lanes)
    call.fail(std::string(what) + " of " + std::to_string(lines.lanes) + " lanes or twice as many",
              std::to_string(whole.lanes));
  call.equal((std::string(what) + ".shape[0] x lanes").c_str(), whole.count * whole.lanes, "as many samples",
             lines.count * lines.lanes);
}

void bf16_pack(const In& panels, const Out& lines) {
  const Call call{"bf16_pack"};
  const auto from = call.panels<const float>("panels", panels);
  const auto to = call.bf16_panels<uint16_t>("lines", lines);
  same_samples(call, to, from, "panels");
  call.equal("lines.shape[1]", to.width, "the width of the panels", from.width);
  nb::gil_scoped_release release;
  kernels->bf16_pack(from, to);
}

void bf16_unpack(const In& lines, const Out& panels) {
  const Call call{"bf16_unpack"};
  const auto from = call.bf16_panels<const uint16_t>("lines", lines);
  const auto to = call.panels<float>("panels", panels);
  same_samples(call, from, to, "panels");
  call.equal("panels.shape[1]", to.width, "the width of the lines", from.width);
  nb::gil_scoped_release release;
  kernels->bf16_unpack(from, to);
}

template <class T>
void spmm(const In& indptr, const In& indices, const In& values, const std::optional<In>& bias, const In& x,
          const Out& y) {
  const Call call{kHalf<T> ? "bf16_spmm" : "spmm"};
  const auto w = call.csr(indptr, indices);
  const auto data = call.vector<const float>("values", values, "the size of indices", indices.size());
  const auto b = bias ? call.vector<const float>("bias", *bias, "the number of rows", w.n_rows) : nullptr;
  const auto from = panels_of<T>(call, "x", x);
  const auto to = call.panels<float>("y", y);
  same_samples(call, from, to, "y");
  call.trusted("indices", w.indices, indices.size(), from.width);
  call.equal("y.shape[1]", to.width, "the number of rows", w.n_rows);
  nb::gil_scoped_release release;
  if constexpr (kHalf<T>) kernels->bf16_spmm(w, data, b, from, to);
  else kernels->spmm(w, data, b, from, to);
}

template <class T>
void sddmm(const In& indptr, const In& indices, const In& dy, const In& x, const Out& dw) {
  const Call call{kHalf<T> ? "bf16_sddmm" : "sddmm"};
  const auto w = call.csr(indptr, indices);
  const auto to = call.vector<float>("dw", dw, "the size of indices", indices.size());
  const auto left = panels_of<T>(call, "dy", dy), right = panels_of<T>(call, "x", x);
  call.same_batch(right, left, "dy");
  call.trusted("indices", w.indices, indices.size(), right.width);
  call.equal("dy.shape[1]", left.width, "the number of rows", w.n_rows);
  nb::gil_scoped_release release;
  if constexpr (kHalf<T>) kernels->bf16_sddmm(w, left, right, to);
  else kernels->sddmm(w, left, right, to);
}

template <class T>
void backward(const In& indptr, const In& indices, const In& values, const In& dy, const In& x, const Out& dx,
              const Out& dw) {
  const Call call{kHalf<T> ? "bf16_backward" : "backward"};
  const auto w = call.csr(indptr, indices);
  const auto data = call.vector<const float>("values", values, "the size of indices", indices.size());
  const auto to = call.vector<float>("dw", dw, "the size of indices", indices.size());
  const auto left = panels_of<T>(call, "dy", dy), right = panels_of<T>(call, "x", x);
  const auto product = call.panels<float>("dx", dx);
  call.same_batch(right, left, "dy");
  same_samples(call, right, product, "dx");
  call.trusted("indices", w.indices, indices.size(), left.width);
  call.equal("x.shape[1]", right.width, "the number of rows", w.n_rows);
  call.equal("dx.shape[1]", product.width, "the number of rows", w.n_rows);
  nb::gil_scoped_release release;
  if constexpr (kHalf<T>) kernels->bf16_backward(w, data, left, right, product, to);
  else kernels->backward(w, data, left, right, product, to);
}

void block_spmm(const In& indptr, const In& indices, int block_size, const In& values, const std::optional<In>& bias,
                const In& x, const Out& y) {
  const Call call{"block_spmm"};
  const auto from = call.panels<const float>("x", x);
  const auto to = call.panels<float>("y", y);
  if (block_size == 1) call.fail("a block_size of 4 or 8", "1");
  const auto w = call.blocks(indptr, indices, block_size, to.width);
  const auto data = call.vector<const float>("values", values, "the number of weights", w.nnz());
  const auto b = bias ? call.vector<const float>("bias", *bias, "the number of rows", w.n_rows) : nullptr;
  call.same_batch(from, to, "y");
  call.trusted("indices", w.groups.indices, indices.size(), from.width);
  nb::gil_scoped_release release;
  kernels->block_spmm(w, data, b, from, to);
}

void block_backward(const In& indptr, const In& indices, int block_size, const std::optional<In>& values, const In& dy,
                    const std::optional<In>& x, const std::optional<Out>& dx, const std::optional<Out>& dw) {
  const Call call{"block_backward"};
  const auto from = call.panels<const float>("dy", dy);
  if (block_size == 1) call.fail("a block_size of 4 or 8", "1");
  const auto w = call.blocks(indptr, indices, block_size, from.width);
  if (dx && !values) call.fail("values, from which dx comes", "None");
  if (dw && !x) call.fail("x, from which dw comes", "None");
  const auto data = values ? call.vector<const float>("values", *values, "the number of weights", w.nnz()) : nullptr;
  const auto to = dw ? call.vector<float>("dw", *dw, "the number of weights", w.nnz()) : nullptr;
  dsae::Panels<const float> input = {nullptr, from.count, 0, from.lanes};
  dsae::Panels<float> product = {nullptr, from.count, 0, from.lanes};
  if (x) call.same_batch(from, input = call.panels<const float>("x", *x), "x");
  if (dx) call.same_batch(from, product = call.panels<float>("dx", *dx), "dx");
  if (x && dx) call.equal("dx.shape[1]", product.width, "the width of x", input.width);
  input.width = x ? input.width : product.width;
  call.trusted("indices", w.groups.indices, indices.size(), input.width);
  nb::gil_scoped_release release;
  kernels->block_backward(w, data, from, input, product, to);
}

}  // namespace

void bind_products(nb::module_& m) {
  m.def("spmm", &spmm<float>, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
        "bias"_a.noconvert().none(), "x"_a.noconvert(), "y"_a.noconvert(), "``y[p] = W x[p] + bias`` for panels.");
  m.def("sddmm", &sddmm<float>, "indptr"_a.noconvert(), "indices"_a.noconvert(), "dy"_a.noconvert(), "x"_a.noconvert(),
        "dw"_a.noconvert(), "``dw[slot] = <dy[:, row], x[:, column]>`` at the edges, for panels.");
  m.def("backward", &backward<float>, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
        "dy"_a.noconvert(), "x"_a.noconvert(), "dx"_a.noconvert(), "dw"_a.noconvert(),
        "``dx[p] = W dy[p]`` and ``dw[slot] = <x[:, row], dy[:, column]>``, ``W`` the transpose of a layer's matrix.");
  m.def("block_spmm", &block_spmm, "indptr"_a.noconvert(), "indices"_a.noconvert(), "block_size"_a,
        "values"_a.noconvert(), "bias"_a.noconvert().none(), "x"_a.noconvert(), "y"_a.noconvert(),
        "``y[p] = W x[p] + bias`` for panels, ``W`` of blocks of 4 or 8 rows.");
  m.def("block_backward", &block_backward, "indptr"_a.noconvert(), "indices"_a.noconvert(), "block_size"_a,
        "values"_a.noconvert().none(), "dy"_a.noconvert(), "x"_a.noconvert().none(), "dx"_a.noconvert().none(),
        "dw"_a.noconvert().none(),
        "``dx[p] = W^T dy[p]`` from values, and ``dw[slot] = <dy[:, row], x[:, column]>`` from x; None is left out.");
  m.def("bf16_pack", &bf16_pack, "panels"_a.noconvert(), "lines"_a.noconvert(),
        "Panels rounded to bfloat16, uint16 ``[p, f, lanes]`` or ``[2 p, f, lanes / 2]``: in every run of 32 lanes, "
        "lane ``i`` lies at ``2 i`` and lane ``i + 16`` at ``2 i + 1``.");
  m.def("bf16_unpack", &bf16_unpack, "lines"_a.noconvert(), "panels"_a.noconvert(), "The reverse of ``bf16_pack``.");
  m.def("bf16_spmm", &spmm<uint16_t>, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
        "bias"_a.noconvert().none(), "x"_a.noconvert(), "y"_a.noconvert(), "``spmm`` of bfloat16 lines.");
  m.def("bf16_sddmm", &sddmm<uint16_t>, "indptr"_a.noconvert(), "indices"_a.noconvert(), "dy"_a.noconvert(),
        "x"_a.noconvert(), "dw"_a.noconvert(), "``sddmm`` of bfloat16 lines.");
  m.def("bf16_backward", &backward<uint16_t>, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
        "dy"_a.noconvert(), "x"_a.noconvert(), "dx"_a.noconvert(), "dw"_a.noconvert(),
        "``backward`` of bfloat16 lines.");
}
