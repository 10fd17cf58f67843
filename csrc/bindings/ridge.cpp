// Ridge regression of columns on others.
#include <nanobind/stl/tuple.h>

#include <tuple>

#include "bindings/bindings.hpp"

namespace {

using Three = std::tuple<In, In, In>;
using Outputs = std::tuple<Out, Out, Out>;

std::pair<dsae::Csr, const float*> matrix(const Call& call, const std::string& of, const Three& held) {
  const auto& [indptr, indices, values] = held;
  const auto csr = call.csr(indptr, indices, of);
  return {csr, call.vector<const float>((of + "values").c_str(), values, "the size of indices", indices.size())};
}

void ridge(const Three& by_column, const Three& by_row, const In& sizes, const In& scales, float l2, float unseen,
           int64_t begin, const Outputs& outputs) {
  const Call call{"ridge"};
  const auto [columns, column_values] = matrix(call, "columns' ", by_column);
  const auto [rows, row_values] = matrix(call, "rows' ", by_row);
  call.trusted("columns' indices", columns.indices, columns.indptr[columns.n_rows], rows.n_rows);
  call.trusted("rows' indices", rows.indices, rows.indptr[rows.n_rows], columns.n_rows);
  const int64_t n_stages = static_cast<int64_t>(sizes.size());
  const int32_t* const wanted = call.data<int32_t>("sizes", sizes, 1);
  bool rising = n_stages > 0;
  for (int64_t stage = 0; stage < n_stages; ++stage) rising &= wanted[stage] > (stage ? wanted[stage - 1] : 0);
  if (!rising) call.fail("sizes to rise from at least 1", "others");
  if (!(l2 > 0)) call.fail("l2 > 0", std::to_string(l2));
  if (!(unseen >= 0)) call.fail("unseen >= 0", std::to_string(unseen));
  const float* const scale = call.data<float>("scales", scales, 2);
  call.equal("scales.shape[0]", scales.shape(0), "the number of stages", n_stages);
  call.equal("scales.shape[1]", scales.shape(1), "the number of columns", columns.n_rows);
  const auto& [counts, indices, values] = outputs;
  const int64_t count = static_cast<int64_t>(counts.size()), room = wanted[n_stages - 1];
  if (begin < 0 || begin + count > columns.n_rows) call.fail("columns that exist", "others");
  const dsae::RidgeOutput out = {
      call.data<int32_t>("counts", counts, 1),
      call.vector<int32_t>("indices", indices, "that of counts times sizes[-1]", count * room),
      call.vector<float>("values", values, "that of counts times sizes[-1]", count * room)};
  nb::gil_scoped_release release;
  kernels->ridge({columns, column_values, rows, row_values}, {wanted, scale, n_stages, l2, unseen}, begin,
                 begin + count, out);
}

}  // namespace

void bind_ridge(nb::module_& m) {
  m.def("ridge", &ridge, "columns"_a.noconvert(), "rows"_a.noconvert(), "sizes"_a.noconvert(), "scales"_a.noconvert(),
        "l2"_a, "unseen"_a, "begin"_a, "outputs"_a.noconvert(),
        "Ridge regression of columns of a matrix, from ``begin`` on, on others that it chooses in stages; rows in "
        "which a "
        "column is zero\nweigh ``unseen``.\n\n``columns`` "
        "and ``rows`` are the matrix' ``(indptr, indices, values)`` both ways, ``sizes`` the number of inputs "
        "after\neach "
        "stage, ``scales [n_stages, n_columns]`` what products are multiplied by, ``outputs`` ``(counts, "
        "indices,\nvalues)``, "
        "of which a column's are in order.");
}
