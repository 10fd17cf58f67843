// What layers need beside their products: rows to panels, Adam, weights in another order or in a matrix.
#include <nanobind/stl/optional.h>
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
}
