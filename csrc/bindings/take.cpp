// Rows at random, of batches.
#include "take.hpp"

#include <nanobind/stl/tuple.h>

#include <tuple>

#include "bindings/bindings.hpp"

namespace {

using Floats = nb::ndarray<nb::numpy, float, nb::ndim<1>>;
using Integers = nb::ndarray<nb::numpy, int32_t, nb::ndim<1>>;

const int64_t* numbers_of(const Call& call, const In& chosen, int64_t n_rows) {
  const auto numbers = call.data<int64_t>("chosen", chosen, 1);
  bool bad = false;
  for (size_t i = 0; i < chosen.size(); ++i) bad |= numbers[i] < 0 || numbers[i] >= n_rows;
  if (bad) call.fail("chosen in [0, " + std::to_string(n_rows) + ")", "one outside");
  return numbers;
}

void take_rows(const In& rows, const In& chosen, const Out& out) {
  const Call call{"take_rows"};
  const auto from = call.data<float>("rows", rows, 2);
  const auto to = call.data<float>("out", out, 2);
  const int64_t count = rows.shape(0), width = rows.shape(1), n = chosen.size();
  const auto numbers = numbers_of(call, chosen, count);
  call.equal("out.shape[0]", out.shape(0), "the size of chosen", n);
  call.equal("out.shape[1]", out.shape(1), "the width of rows", width);
  nb::gil_scoped_release release;
  dsae::take_rows({from, count, width}, numbers, {to, n, width});
}

std::tuple<Integers, Integers, Floats> take_csr(const In& indptr, const In& indices, const In& values,
                                                const In& chosen) {
  const Call call{"take_csr"};
  const auto from = call.csr(indptr, indices);
  const auto data = call.vector<const float>("values", values, "the size of indices", indices.size());
  const auto numbers = numbers_of(call, chosen, from.n_rows);
  const int64_t n = chosen.size(), size = indices.size();
  bool bad = false;
  int64_t all = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t begin = from.indptr[numbers[i]], end = from.indptr[numbers[i] + 1];
    bad |= begin < 0 || begin > end || end > size;
    all += end - begin;
  }
  if (bad) call.fail("indptr to rise from 0", "another order");
  if (all > INT32_MAX) call.fail("at most 2**31 - 1 numbers", std::to_string(all));
  auto starts = integers(n + 1), columns = integers(all);
  auto taken = std::make_unique<Owned<float>>(all);
  {
    nb::gil_scoped_release release;
    dsae::count_taken(from, numbers, n, starts->data);
    dsae::take_csr(from, data, numbers, {starts->data, nullptr, n}, columns->data, taken->data);
  }
  return {array(std::move(starts)), array(std::move(columns)), array(std::move(taken))};
}

}  // namespace

void bind_take(nb::module_& m) {
  m.def("take_rows", &take_rows, "rows"_a.noconvert(), "chosen"_a.noconvert(), "out"_a.noconvert(),
        "``out = rows[chosen]``, for int64 numbers of rows in any order.");
  m.def("take_csr", &take_csr, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
        "chosen"_a.noconvert(), "The same of CSR rows: ``indptr, indices, values`` of those chosen.");
}
