// Codes that are mostly zero: which latents live, and products beside them.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "bindings/bindings.hpp"

namespace {

dsae::Rows<const float> matrix(const Call& call, const char* what, const In& a) {
  return {call.data<float>(what, a, 2), static_cast<int64_t>(a.shape(0)), static_cast<int64_t>(a.shape(1))};
}

// Counts of rows become where they begin.
int64_t start_rows(int32_t* indptr, int64_t n_rows) {
  int64_t total = 0;
  for (int64_t row = 0; row < n_rows; ++row) {
    const int64_t count = indptr[row];
    indptr[row] = static_cast<int32_t>(total);
    total += count;
  }
  if (total > INT32_MAX) throw std::invalid_argument("A code of a batch has at most 2**31 - 1 entries.");
  indptr[n_rows] = static_cast<int32_t>(total);
  return total;
}

nb::tuple code_topk(const In& z, int64_t k) {
  const Call call{"code_topk"};
  const auto rows = matrix(call, "z", z);
  if (k < 1 || k > rows.width)
    call.fail("k in [1, " + std::to_string(rows.width) + "], the width of z", std::to_string(k));
  auto indptr = integers(rows.count + 1), indices = integers(rows.count * k);
  {
    nb::gil_scoped_release release;
    kernels->code_topk(rows, k, indptr->data, indices->data);
    for (int64_t row = 0, to = 0; row < rows.count; ++row)
      for (int64_t i = 0; i < indptr->data[row]; ++i) indices->data[to++] = indices->data[row * k + i];
  }
  const int64_t total = start_rows(indptr->data, rows.count);
  return nb::make_tuple(array(std::move(indptr)), array(std::move(indices), total));
}

nb::tuple code_above(const In& z, const In& thresholds, float margin) {
  const Call call{"code_above"};
  const auto rows = matrix(call, "z", z);
  const auto bounds = call.vector<const float>("thresholds", thresholds, "the width of z", rows.width);
  auto indptr = integers(rows.count + 1);
  {
    nb::gil_scoped_release release;
    kernels->code_above(rows, bounds, margin, nullptr, indptr->data, nullptr);
  }
  auto indices = integers(start_rows(indptr->data, rows.count));
  {
    nb::gil_scoped_release release;
    kernels->code_above(rows, bounds, margin, indptr->data, nullptr, indices->data);
  }
  return nb::make_tuple(array(std::move(indptr)), array(std::move(indices)));
}

float kth_of_all(const In& z, int64_t k) {
  const Call call{"kth_of_all"};
  const auto rows = matrix(call, "z", z);
  const int64_t size = rows.count * rows.width;
  if (k < 1 || k > size) call.fail("k in [1, " + std::to_string(size) + "], the size of z", std::to_string(k));
  nb::gil_scoped_release release;
  return kernels->kth_of_all(rows.data, size, k);
}

void code_dots(const In& indptr, const In& indices, const In& values, const In& code_indptr, const In& code_indices,
               const In& y, const Out& out) {
  const Call call{"code_dots"};
  const auto m = call.csr(indptr, indices), code = call.csr(code_indptr, code_indices, "code ");
  const auto data = call.vector<const float>("values", values, "the size of indices", indices.size());
  const auto rows = matrix(call, "y", y);
  call.equal("y.shape[0]", rows.count, "the rows of the code", code.n_rows);
  call.trusted("indices", m.indices, indices.size(), rows.width);
  call.trusted("code indices", code.indices, code_indices.size(), m.n_rows);
  const auto to = call.vector<float>("out", out, "the size of code indices", code_indices.size());
  nb::gil_scoped_release release;
  kernels->code_dots(m, data, code, rows, to);
}

void code_outer(const In& indptr, const In& indices, const In& latent_indptr, const In& latent_rows,
                const In& code_values, const In& y, const Out& dm, const std::optional<Out>& sums) {
  const Call call{"code_outer"};
  const auto m = call.csr(indptr, indices), by_latent = call.csr(latent_indptr, latent_rows, "latent ");
  const auto c = call.vector<const float>("code_values", code_values, "the size of latent_rows", latent_rows.size());
  const auto rows = matrix(call, "y", y);
  call.equal("latent_indptr.size", latent_indptr.size(), "the size of indptr", indptr.size());
  call.trusted("indices", m.indices, indices.size(), rows.width);
  call.trusted("latent_rows", by_latent.indices, latent_rows.size(), rows.count);
  const auto to = call.vector<float>("dm", dm, "the size of indices", indices.size());
  const auto totals = sums ? call.vector<float>("sums", *sums, "the number of latents", m.n_rows) : nullptr;
  nb::gil_scoped_release release;
  kernels->code_outer(m, by_latent, c, rows, to, totals);
}

void turn(const In& rows, const Out& out) {
  const Call call{"turn"};
  const auto from = matrix(call, "rows", rows);
  const auto to = call.data<float>("out", out, 2);
  call.equal("out.shape[0]", out.shape(0), "the width of rows", from.width);
  call.equal("out.shape[1]", out.shape(1), "the number of rows", from.count);
  nb::gil_scoped_release release;
  kernels->turn(from, to);
}

}  // namespace

void bind_codes(nb::module_& m) {
  m.def("code_topk", &code_topk, "z"_a.noconvert(), "k"_a,
        "The latents among the ``k`` largest of each row that are positive, ties to the lower: ``indptr, indices``.");
  m.def("code_above", &code_above, "z"_a.noconvert(), "thresholds"_a.noconvert(), "margin"_a,
        "Where ``z - thresholds > -margin``: ``indptr, indices``.");
  m.def("kth_of_all", &kth_of_all, "z"_a.noconvert(), "k"_a, "The ``k``-th largest number, 0 if that is not positive.");
  m.def("code_dots", &code_dots, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
        "code_indptr"_a.noconvert(), "code_indices"_a.noconvert(), "y"_a.noconvert(), "out"_a.noconvert(),
        "``out[entry] = <M[latent], y[row]>`` for the entries of a code.");
  m.def("code_outer", &code_outer, "indptr"_a.noconvert(), "indices"_a.noconvert(), "latent_indptr"_a.noconvert(),
        "latent_rows"_a.noconvert(), "code_values"_a.noconvert(), "y"_a.noconvert(), "dm"_a.noconvert(),
        "sums"_a.noconvert().none(),
        "``dm[latent] = sum c y[row]`` over a code's entries, which come by latent; ``sums[latent] = sum c``.");
  m.def("turn", &turn, "rows"_a.noconvert(), "out"_a.noconvert(), "``out = rows^T``.");
}
