// Which weights live, and how they change.
#include <algorithm>
#include <vector>

#include "bindings/bindings.hpp"
#include "grow.hpp"
#include "rewire.hpp"

namespace {

nb::tuple transpose(const In& indptr, const In& indices, int64_t n_cols) {
  const Call call{"transpose"};
  const auto w = call.csr(indptr, indices);
  const int64_t nnz = indices.size();
  if (n_cols < 0) call.fail("n_cols >= 0", std::to_string(n_cols));
  call.inside("indices", w.indices, nnz, n_cols);
  auto new_indptr = integers(n_cols + 1), new_indices = integers(nnz), slots = integers(nnz);
  {
    nb::gil_scoped_release release;
    dsae::transpose(dsae::single(w), n_cols, new_indptr->data, new_indices->data, slots->data);
  }
  return nb::make_tuple(array(std::move(new_indptr)), array(std::move(new_indices)), array(std::move(slots)));
}

int validate(const In& indptr, const In& indices, int64_t n_cols) {
  const Call call{"validate"};
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

}  // namespace

void bind_topology(nb::module_& m) {
  m.def("transpose", &transpose, "indptr"_a.noconvert(), "indices"_a.noconvert(), "n_cols"_a,
        "CSR of the transpose, and the slot that each of its slots comes from.");
  m.def("validate", &validate, "indptr"_a.noconvert(), "indices"_a.noconvert(), "n_cols"_a,
        "What keeps the arrays from being a topology: 0 nothing, 1 indptr, 2 an edge outside, 3 the order in a row.");
  m.def("rewire", &rewire, "indptr"_a.noconvert(), "indices"_a.noconvert(), "keep"_a.noconvert(),
        "grown_indptr"_a.noconvert(), "grown_indices"_a.noconvert(),
        "Kept slots merged with the grown edges: ``indptr, indices, source``.");
  m.def("move", &move, "values"_a.noconvert(), "source"_a.noconvert(), "out"_a.noconvert(),
        "``out[slot] = values[source[slot]]``, or 0 where an edge was grown.");
  m.def("smallest", &smallest, "scores"_a.noconvert(), "n"_a, "chosen"_a.noconvert(),
        "Mark the ``n`` smallest scores; ties go to the lower index, NaN sorts last.");
  m.def("draw_dead", &draw_dead, "indptr"_a.noconvert(), "indices"_a.noconvert(), "n_cols"_a, "n"_a, "seed"_a,
        "``n`` distinct inactive edges at random: ``indptr, indices``.");
  m.def("first_dead", &first_dead, "indptr"_a.noconvert(), "indices"_a.noconvert(), "order"_a.noconvert(),
        "lengths"_a.noconvert(),
        "The inactive edges among the first ``lengths[row]`` columns of ``order``: ``indptr, indices``.");
}
