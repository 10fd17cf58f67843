// Products on lines of 16 bits; numpy has no bfloat16, so their panels are uint16.
#include <nanobind/stl/optional.h>

#include "bindings/bindings.hpp"

namespace {

// Panels of float32 beside the same samples in lines of 16 bits, which are as wide or half as wide.
template <class A, class B>
void same_samples(const Call& call, const A& lines, const B& whole, const char* what) {
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

void bf16_spmm(const In& indptr, const In& indices, const In& values, const std::optional<In>& bias, const In& x,
               const Out& y) {
  const Call call{"bf16_spmm"};
  const auto w = call.csr(indptr, indices);
  const auto data = call.vector<const float>("values", values, "the size of indices", indices.size());
  const auto b = bias ? call.vector<const float>("bias", *bias, "the number of rows", w.n_rows) : nullptr;
  const auto from = call.bf16_panels<const uint16_t>("x", x);
  const auto to = call.panels<float>("y", y);
  same_samples(call, from, to, "y");
  call.trusted("indices", w.indices, indices.size(), from.width);
  call.equal("y.shape[1]", to.width, "the number of rows", w.n_rows);
  nb::gil_scoped_release release;
  kernels->bf16_spmm(w, data, b, from, to);
}

void bf16_sddmm(const In& indptr, const In& indices, const In& dy, const In& x, const Out& dw) {
  const Call call{"bf16_sddmm"};
  const auto w = call.csr(indptr, indices);
  const auto to = call.vector<float>("dw", dw, "the size of indices", indices.size());
  const auto left = call.bf16_panels<const uint16_t>("dy", dy);
  const auto right = call.bf16_panels<const uint16_t>("x", x);
  call.same_batch(right, left, "dy");
  call.trusted("indices", w.indices, indices.size(), right.width);
  call.equal("dy.shape[1]", left.width, "the number of rows", w.n_rows);
  nb::gil_scoped_release release;
  kernels->bf16_sddmm(w, left, right, to);
}

void bf16_backward(const In& indptr, const In& indices, const In& values, const In& dy, const In& x, const Out& dx,
                   const Out& dw) {
  const Call call{"bf16_backward"};
  const auto w = call.csr(indptr, indices);
  const auto data = call.vector<const float>("values", values, "the size of indices", indices.size());
  const auto to = call.vector<float>("dw", dw, "the size of indices", indices.size());
  const auto left = call.bf16_panels<const uint16_t>("dy", dy);
  const auto right = call.bf16_panels<const uint16_t>("x", x);
  const auto product = call.panels<float>("dx", dx);
  call.same_batch(right, left, "dy");
  same_samples(call, right, product, "dx");
  call.trusted("indices", w.indices, indices.size(), left.width);
  call.equal("x.shape[1]", right.width, "the number of rows", w.n_rows);
  call.equal("dx.shape[1]", product.width, "the number of rows", w.n_rows);
  nb::gil_scoped_release release;
  kernels->bf16_backward(w, data, left, right, product, to);
}

}  // namespace

void bind_bf16(nb::module_& m) {
  m.def("bf16_pack", &bf16_pack, "panels"_a.noconvert(), "lines"_a.noconvert(),
        "Panels rounded to bfloat16, uint16 ``[p, f, lanes]`` or ``[2 p, f, lanes / 2]``: in every run of 32 lanes, "
        "lane ``i`` lies at ``2 i`` and lane ``i + 16`` at ``2 i + 1``.");
  m.def("bf16_unpack", &bf16_unpack, "lines"_a.noconvert(), "panels"_a.noconvert(), "The reverse of ``bf16_pack``.");
  m.def("bf16_spmm", &bf16_spmm, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
        "bias"_a.noconvert().none(), "x"_a.noconvert(), "y"_a.noconvert(), "``spmm`` of bfloat16 lines.");
  m.def("bf16_sddmm", &bf16_sddmm, "indptr"_a.noconvert(), "indices"_a.noconvert(), "dy"_a.noconvert(),
        "x"_a.noconvert(), "dw"_a.noconvert(), "``sddmm`` of bfloat16 lines.");
  m.def("bf16_backward", &bf16_backward, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
        "dy"_a.noconvert(), "x"_a.noconvert(), "dx"_a.noconvert(), "dw"_a.noconvert(),
        "``backward`` of bfloat16 lines.");
}
