// The door to Python: checks every argument once, lets go of the GIL, calls a kernel.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "kernels.hpp"
#include "network.hpp"
#include "parallel.hpp"
#include "pool.hpp"
#include "rewire.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using In = nb::ndarray<nb::ro, nb::device::cpu>;
using Out = nb::ndarray<nb::device::cpu>;
using Result = nb::ndarray<nb::numpy, int32_t, nb::ndim<1>>;

const dsae::Kernels* kernels;

// Expectations of one call; what fails says which verb, what it wanted and what it got.
struct Call {
  const char* name;

  [[noreturn]] void fail(const std::string& expected, const std::string& got) const {
    throw std::invalid_argument("[" + std::string(name) + "] Expected " + expected + "; got " + got + ".");
  }
  void equal(const char* what, int64_t got, const char* of, int64_t expected) const {
    if (got != expected) fail(std::string(what) + " = " + std::to_string(expected) + ", " + of, std::to_string(got));
  }

  template <class T, class Array>
  auto data(const char* what, const Array& a, size_t ndim) const {
    using U = std::conditional_t<std::is_same_v<Array, In>, const T, T>;
    if (a.dtype() != nb::dtype<T>() || a.ndim() != ndim || !contiguous(a))
      fail(std::string(what) + " to be a C-contiguous " + std::to_string(ndim) + "-D " + type_name(nb::dtype<T>()) +
               " array",
           std::to_string(a.ndim()) + "-D " + type_name(a.dtype()) + (contiguous(a) ? "" : ", not C-contiguous"));
    return static_cast<U*>(a.data());
  }

  dsae::Csr csr(const In& indptr, const In& indices) const {
    const dsae::Csr w = {data<int32_t>("indptr", indptr, 1), data<int32_t>("indices", indices, 1),
                         static_cast<int64_t>(indptr.size()) - 1};
    if (w.n_rows < 0) fail("indptr to have n_rows + 1 entries", "none");
    equal("indptr[-1]", w.indptr[w.n_rows], "the size of indices", indices.size());
    return w;
  }

  void rising(const dsae::Csr& w) const {
    bool bad = w.indptr[0] != 0;
    for (int64_t row = 0; row < w.n_rows; ++row) bad |= w.indptr[row] > w.indptr[row + 1];
    if (bad) fail("indptr to rise from 0", "another order");
  }

  template <class T, class Array>
  T* vector(const char* what, const Array& a, const char* of, int64_t size) const {
    T* p = data<std::remove_const_t<T>>(what, a, 1);
    equal((std::string(what) + ".size").c_str(), a.size(), of, size);
    return p;
  }

  template <class T, class Array>
  dsae::Panels<T> panels(const char* what, const Array& a) const {
    T* p = data<float>(what, a, 3);
    const int64_t lanes = a.shape(2);
    if (lanes != 16 && lanes != 32 && lanes != 64)
      fail(std::string(what) + " to be panels [n_panels, features, 16, 32 or 64]", std::to_string(lanes) + " lanes");
    return {p, static_cast<int64_t>(a.shape(0)), static_cast<int64_t>(a.shape(1)), static_cast<int>(lanes)};
  }

  template <class T, class Array, class P>
  dsae::Rows<T> rows(const Array& a, const P& panels) const {
    const dsae::Rows<T> r = {data<float>("rows", a, 2), static_cast<int64_t>(a.shape(0)), static_cast<int64_t>(a.shape(1))};
    equal("rows.shape[1]", r.width, "the width of the panels", panels.width);
    fits(r.count, panels);
    return r;
  }

  template <class P>
  void fits(int64_t n_rows, const P& panels) const {
    if (n_rows > panels.count * panels.lanes)
      fail("at most " + std::to_string(panels.count * panels.lanes) + " rows, what the panels hold", std::to_string(n_rows));
  }

  template <class A, class B>
  void same_batch(const A& x, const B& y, const char* what) const {
    equal((std::string(what) + ".shape[0]").c_str(), y.count, "as many panels as x", x.count);
    equal((std::string(what) + ".shape[2]").c_str(), y.lanes, "as many lanes as x", x.lanes);
  }

  // Every index in [0, size).
  void inside(const char* what, const int32_t* index, int64_t count, int64_t size) const {
    bool bad = false;
    for (int64_t i = 0; i < count; ++i) bad |= index[i] < 0 || index[i] >= size;
    if (bad) fail(std::string(what) + " in [0, " + std::to_string(size) + ")", "one outside");
  }

 private:
  template <class Array>
  static bool contiguous(const Array& a) {
    int64_t expected = 1;
    if (!a.size()) return true;
    for (size_t i = a.ndim(); i--; expected *= a.shape(i))
      if (a.shape(i) != 1 && a.stride(i) != expected) return false;
    return true;
  }
  static std::string type_name(nb::dlpack::dtype t) {
    if (t == nb::dtype<bool>()) return "bool";
    const auto code = static_cast<nb::dlpack::dtype_code>(t.code);
    const char* kind = code == nb::dlpack::dtype_code::Int    ? "int"
                       : code == nb::dlpack::dtype_code::UInt ? "uint"
                       : code == nb::dlpack::dtype_code::Float ? "float"
                                                               : "other";
    return kind + std::to_string(t.bits);
  }
};

Result array(std::unique_ptr<int32_t[]> data, int64_t size) {
  int32_t* p = data.release();
  nb::capsule owner(p, [](void* q) noexcept { delete[] static_cast<int32_t*>(q); });
  return Result(p, {static_cast<size_t>(size)}, owner);
}

std::unique_ptr<int32_t[]> integers(int64_t size) { return std::unique_ptr<int32_t[]>(new int32_t[size ? size : 1]); }

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

void spmm(const In& indptr, const In& indices, const In& values, const std::optional<In>& bias, const In& x, const Out& y) {
  const Call call{"spmm"};
  const auto w = call.csr(indptr, indices);
  const auto data = call.vector<const float>("values", values, "the size of indices", indices.size());
  const auto b = bias ? call.vector<const float>("bias", *bias, "the number of rows", w.n_rows) : nullptr;
  const auto from = call.panels<const float>("x", x);
  const auto to = call.panels<float>("y", y);
  call.same_batch(from, to, "y");
  call.equal("y.shape[1]", to.width, "the number of rows", w.n_rows);
  nb::gil_scoped_release release;
  kernels->spmm(w, data, b, from, to);
}

void sddmm(const In& indptr, const In& indices, const In& dy, const In& x, const Out& dw) {
  const Call call{"sddmm"};
  const auto w = call.csr(indptr, indices);
  const auto to = call.vector<float>("dw", dw, "the size of indices", indices.size());
  const auto left = call.panels<const float>("dy", dy);
  const auto right = call.panels<const float>("x", x);
  call.same_batch(right, left, "dy");
  call.equal("dy.shape[1]", left.width, "the number of rows", w.n_rows);
  nb::gil_scoped_release release;
  kernels->sddmm(w, left, right, to);
}

void backward(const In& indptr, const In& indices, const In& values, const In& dy, const In& x, const Out& dx, const Out& dw) {
  const Call call{"backward"};
  const auto w = call.csr(indptr, indices);
  const auto data = call.vector<const float>("values", values, "the size of indices", indices.size());
  const auto to = call.vector<float>("dw", dw, "the size of indices", indices.size());
  const auto left = call.panels<const float>("dy", dy);
  const auto right = call.panels<const float>("x", x);
  const auto product = call.panels<float>("dx", dx);
  call.same_batch(right, left, "dy");
  call.same_batch(right, product, "dx");
  call.equal("x.shape[1]", right.width, "the number of rows", w.n_rows);
  call.equal("dx.shape[1]", product.width, "the number of rows", w.n_rows);
  nb::gil_scoped_release release;
  kernels->backward(w, data, left, right, product, to);
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
  nb::gil_scoped_release release;
  kernels->gather(from, index, to, slots.size());
}

void scatter(const In& values, const In& slots, const Out& out) {
  const Call call{"scatter"};
  const auto from = call.data<float>("values", values, 1);
  const auto index = call.vector<const int32_t>("slots", slots, "the size of values", values.size());
  const auto to = call.vector<float>("out", out, "the size of values", values.size());
  call.inside("slots", index, slots.size(), out.size());
  nb::gil_scoped_release release;
  kernels->scatter(from, index, to, slots.size());
}

nb::tuple transpose(const In& indptr, const In& indices, int64_t n_cols) {
  const Call call{"transpose"};
  const auto w = call.csr(indptr, indices);
  const int64_t nnz = indices.size();
  if (n_cols < 0) call.fail("n_cols >= 0", std::to_string(n_cols));
  call.inside("indices", w.indices, nnz, n_cols);
  auto new_indptr = integers(n_cols + 1), new_indices = integers(nnz), slots = integers(nnz);
  dsae::transpose(w, n_cols, new_indptr.get(), new_indices.get(), slots.get());
  return nb::make_tuple(array(std::move(new_indptr), n_cols + 1), array(std::move(new_indices), nnz),
                        array(std::move(slots), nnz));
}

nb::tuple rewire(const In& indptr, const In& indices, const In& keep, const In& grow_rows, const In& grow_cols) {
  const Call call{"rewire"};
  const auto w = call.csr(indptr, indices);
  const auto kept = call.vector<const bool>("keep", keep, "the size of indices", indices.size());
  const auto rows = call.data<int32_t>("grow_rows", grow_rows, 1);
  const auto cols = call.vector<const int32_t>("grow_cols", grow_cols, "the size of grow_rows", grow_rows.size());
  const dsae::Edges grown = {rows, cols, static_cast<int64_t>(grow_rows.size())};
  call.inside("grow_rows", rows, grown.count, w.n_rows);
  for (int64_t i = 1; i < grown.count; ++i)
    if (rows[i - 1] > rows[i] || (rows[i - 1] == rows[i] && cols[i - 1] >= cols[i]))
      call.fail("grown edges sorted by row, then column, without repeats", "edge " + std::to_string(i) + " out of order");
  int64_t nnz = grown.count;
  for (size_t slot = 0; slot < indices.size(); ++slot) nnz += kept[slot];
  auto new_indptr = integers(w.n_rows + 1), new_indices = integers(nnz), source = integers(nnz);
  dsae::rewire(w, kept, grown, new_indptr.get(), new_indices.get(), source.get());
  return nb::make_tuple(array(std::move(new_indptr), w.n_rows + 1), array(std::move(new_indices), nnz),
                        array(std::move(source), nnz));
}

Result patch_slots(const In& old_slots, const In& source, const In& patch, const In& order) {
  const Call call{"patch_slots"};
  const int64_t old_nnz = old_slots.size(), nnz = source.size();
  const auto old = call.data<int32_t>("old_slots", old_slots, 1);
  const auto from = call.data<int32_t>("source", source, 1);
  const auto patched = call.vector<const int32_t>("patch", patch, "the size of source", nnz);
  int64_t n_grown = 0;
  for (int64_t slot = 0; slot < nnz; ++slot) n_grown += from[slot] < 0;
  const auto sorted = call.vector<const int32_t>("order", order, "the number of grown edges", n_grown);
  auto moved = integers(old_nnz), grown = integers(n_grown), slots = integers(nnz);
  dsae::patch_slots(old, from, patched, sorted, nnz, moved.get(), grown.get(), slots.get());
  return array(std::move(slots), nnz);
}

nb::ndarray<nb::numpy, float, nb::ndim<1>> empty(size_t size) {
  struct Owned {
    void* data;
    size_t bytes;
    ~Owned() { dsae::give_back(data, bytes); }
  };
  auto owned = std::unique_ptr<Owned>(new Owned{dsae::take(size * sizeof(float)), size * sizeof(float)});
  float* data = static_cast<float*>(owned->data);
  nb::capsule owner(owned.get(), [](void* p) noexcept { delete static_cast<Owned*>(p); });
  owned.release();
  return {data, {size}, owner};
}

dsae::Activation activation(const Call& call, const std::string& name, int64_t k, const std::optional<In>& thresholds,
                            int64_t width) {
  using A = dsae::Activation;
  const auto with = [&](A::Kind kind) { return A{kind, k, nullptr}; };
  if (name == "identity") return with(A::identity);
  if (name == "relu") return with(A::relu);
  if (name == "sigmoid") return with(A::sigmoid);
  if (name == "softmax") return with(A::softmax);
  if (name == "topk" && k > 0) return with(A::topk);
  if ((name == "batchtopk" || name == "jumprelu") && thresholds)
    return {A::threshold, k, call.vector<const float>("thresholds", *thresholds, "the number of units", width)};
  call.fail("an activation, with its k or thresholds", name);
}

void activate(const Out& rows, const std::string& name, int64_t k, const std::optional<In>& thresholds) {
  const Call call{"activate"};
  float* data = call.data<float>("rows", rows, 2);
  const dsae::Panels<float> z = {data, static_cast<int64_t>(rows.shape(0)), static_cast<int64_t>(rows.shape(1)), 1};
  const auto chosen = activation(call, name, k, thresholds, z.width);
  nb::gil_scoped_release release;
  const dsae::FlushSubnormals flush;
  kernels->activate(chosen, z);
}

// The layers of a model, checked when added; keeps their arrays alive.
class Network {
 public:
  Network() = default;
  Network(const Network&) = delete;

  void add(const In& indptr, const In& indices, const In& values, const In& bias, int64_t n_in, const std::string& name,
           int64_t k, const std::optional<In>& thresholds) {
    const Call call{"Network"};
    const auto w = call.csr(indptr, indices);
    const int64_t nnz = indices.size(), size = network_.size();
    if (size) call.equal("n_in", n_in, "what the layer before gives", network_[size - 1].w.n_rows);
    call.rising(w);
    call.inside("indices", w.indices, nnz, n_in);
    network_.add({w, n_in, call.vector<const float>("values", values, "the size of indices", nnz),
                  call.vector<const float>("bias", bias, "the number of rows", w.n_rows),
                  activation(call, name, k, thresholds, w.n_rows)});
    for (const In* array : {&indptr, &indices, &values, &bias}) kept_.push_back(*array);
    if (thresholds) kept_.push_back(*thresholds);
  }

  bool run(int64_t begin, int64_t end, const In& rows, const Out& out) const {
    const Call call{"run"};
    const float* x = call.data<float>("rows", rows, 2);
    const auto y = span(call, begin, end, rows.shape(0), out);
    call.equal("rows.shape[1]", rows.shape(1), "the width of the first layer", network_[begin].n_in);
    nb::gil_scoped_release release;
    return network_.run(begin, end, {y.count, x, {}, nullptr}, y);
  }

  bool run_csr(int64_t begin, int64_t end, const In& indptr, const In& indices, const In& values, const Out& out) const {
    const Call call{"run_csr"};
    const auto x = call.csr(indptr, indices);
    const auto data = call.vector<const float>("values", values, "the size of indices", indices.size());
    const auto y = span(call, begin, end, x.n_rows, out);
    call.rising(x);
    call.inside("indices", x.indices, indices.size(), network_[begin].n_in);
    nb::gil_scoped_release release;
    return network_.run(begin, end, {y.count, nullptr, x, data}, y);
  }

 private:
  dsae::Rows<float> span(const Call& call, int64_t begin, int64_t end, int64_t n_rows, const Out& out) const {
    if (begin < 0 || begin >= end || end > network_.size())
      call.fail("layers within [0, " + std::to_string(network_.size()) + ")", std::to_string(begin) + ":" + std::to_string(end));
    const dsae::Rows<float> y = {call.data<float>("out", out, 2), n_rows, network_[end - 1].w.n_rows};
    call.equal("out.shape[0]", out.shape(0), "the number of rows", y.count);
    call.equal("out.shape[1]", out.shape(1), "the width of the last layer", y.width);
    return y;
  }

  dsae::Network network_{*kernels};
  std::vector<In> kept_;
};

}  // namespace

NB_MODULE(_kernels, m) {
  kernels = &dsae::choose(std::getenv("DSAE_ISA"));
  m.def("isa", [] { return kernels->isa; });
  m.def("threads", &dsae::max_threads);
  m.def("empty", &empty, "size"_a);
  m.def("pack", &pack, "rows"_a.noconvert(), "panels"_a.noconvert());
  m.def("unpack", &unpack, "panels"_a.noconvert(), "rows"_a.noconvert());
  m.def("spmm", &spmm, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(), "bias"_a.noconvert().none(),
        "x"_a.noconvert(), "y"_a.noconvert());
  m.def("sddmm", &sddmm, "indptr"_a.noconvert(), "indices"_a.noconvert(), "dy"_a.noconvert(), "x"_a.noconvert(),
        "dw"_a.noconvert());
  m.def("backward", &backward, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(), "dy"_a.noconvert(),
        "x"_a.noconvert(), "dx"_a.noconvert(), "dw"_a.noconvert());
  m.def("sum_samples", &sum_samples, "panels"_a.noconvert(), "sums"_a.noconvert());
  m.def("gather", &gather, "values"_a.noconvert(), "slots"_a.noconvert(), "out"_a.noconvert());
  m.def("scatter", &scatter, "values"_a.noconvert(), "slots"_a.noconvert(), "out"_a.noconvert());
  m.def("transpose", &transpose, "indptr"_a.noconvert(), "indices"_a.noconvert(), "n_cols"_a);
  m.def("rewire", &rewire, "indptr"_a.noconvert(), "indices"_a.noconvert(), "keep"_a.noconvert(), "grow_rows"_a.noconvert(),
        "grow_cols"_a.noconvert());
  m.def("patch_slots", &patch_slots, "old_slots"_a.noconvert(), "source"_a.noconvert(), "patch"_a.noconvert(),
        "order"_a.noconvert());
  m.def("activate", &activate, "rows"_a.noconvert(), "activation"_a, "k"_a, "thresholds"_a.noconvert().none());
  nb::class_<Network>(m, "Network")
      .def(nb::init<>())
      .def("add", &Network::add, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
           "bias"_a.noconvert(), "n_in"_a, "activation"_a, "k"_a, "thresholds"_a.noconvert().none())
      .def("run", &Network::run, "begin"_a, "end"_a, "rows"_a.noconvert(), "out"_a.noconvert())
      .def("run_csr", &Network::run_csr, "begin"_a, "end"_a, "indptr"_a.noconvert(), "indices"_a.noconvert(),
           "values"_a.noconvert(), "out"_a.noconvert());
}
