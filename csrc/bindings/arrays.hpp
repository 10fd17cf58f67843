// Arrays of Python: what a call expects of those it gets, and who owns those it gives.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "csr.hpp"
#include "panel.hpp"
#include "pool.hpp"

namespace nb = nanobind;

using In = nb::ndarray<nb::ro, nb::device::cpu>;
using Out = nb::ndarray<nb::device::cpu>;

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

  dsae::Csr csr(const In& indptr, const In& indices, const std::string& of = "") const {
    const std::string starts = of + "indptr", columns = of + "indices";
    const dsae::Csr w = {data<int32_t>(starts.c_str(), indptr, 1), data<int32_t>(columns.c_str(), indices, 1),
                         static_cast<int64_t>(indptr.size()) - 1};
    if (w.n_rows < 0) fail(starts + " to have n_rows + 1 entries", "none");
    equal((starts + "[-1]").c_str(), w.indptr[w.n_rows], ("the size of " + columns).c_str(), indices.size());
    return w;
  }

  // The same in blocks of a size that the kernels know, or single edges; `n_rows` rows, `nnz` numbers.
  dsae::Blocks blocks(const In& indptr, const In& indices, int size, int64_t n_rows) const {
    if (size != 1 && size != 4 && size != 8) fail("a block_size of 1, 4 or 8", std::to_string(size));
    const dsae::Blocks w = {csr(indptr, indices), n_rows, size};
    equal("indptr.size - 1", w.groups.n_rows, "the number of groups of rows", (n_rows + size - 1) / size);
    return w;
  }

  // The same with as many rows as groups say, where these are rows, or else the bias.
  dsae::Blocks layer(const In& indptr, const In& indices, const In& bias, int size) const {
    return blocks(indptr, indices, size, static_cast<int64_t>(size == 1 ? indptr.size() - 1 : bias.size()));
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

  template <class T, class Array>
  dsae::Panels<T> bf16_panels(const char* what, const Array& a) const {
    T* p = data<uint16_t>(what, a, 3);
    const int64_t lanes = a.shape(2);
    if (lanes != 32 && lanes != 64)
      fail(std::string(what) + " to be panels [n_panels, features, 32 or 64]", std::to_string(lanes) + " lanes");
    return {p, static_cast<int64_t>(a.shape(0)), static_cast<int64_t>(a.shape(1)), static_cast<int>(lanes)};
  }

  template <class T, class Array, class P>
  dsae::Rows<T> rows(const Array& a, const P& panels) const {
    const dsae::Rows<T> r = {data<float>("rows", a, 2), static_cast<int64_t>(a.shape(0)),
                             static_cast<int64_t>(a.shape(1))};
    equal("rows.shape[1]", r.width, "the width of the panels", panels.width);
    fits(r.count, panels);
    return r;
  }

  template <class P>
  void fits(int64_t n_rows, const P& panels) const {
    if (n_rows > panels.count * panels.lanes)
      fail("at most " + std::to_string(panels.count * panels.lanes) + " rows, what the panels hold",
           std::to_string(n_rows));
  }

  template <class A, class B>
  void same_batch(const A& x, const B& y, const char* what) const {
    equal((std::string(what) + ".shape[0]").c_str(), y.count, "as many panels as x", x.count);
    equal((std::string(what) + ".shape[2]").c_str(), y.lanes, "as many lanes as x", x.lanes);
  }

  // The same where builds check what is otherwise trusted.
  void trusted(const char* what, const int32_t* index, int64_t count, int64_t size) const {
#ifdef DSAE_CHECK_INDICES
    inside(what, index, count, size);
#else
    (void)what, (void)index, (void)count, (void)size;
#endif
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
    const char* kind = code == nb::dlpack::dtype_code::Int     ? "int"
                       : code == nb::dlpack::dtype_code::UInt  ? "uint"
                       : code == nb::dlpack::dtype_code::Float ? "float"
                                                               : "other";
    return kind + std::to_string(t.bits);
  }
};

template <class T>
struct Owned {
  size_t size;
  T* data;
  explicit Owned(size_t size)
      : size(size), data(static_cast<T*>(dsae::allocate(size < SIZE_MAX / sizeof(T) ? size * sizeof(T) : SIZE_MAX))) {}
  Owned(const Owned&) = delete;
  ~Owned() { dsae::release(data, size * sizeof(T)); }
};

// An array of the first `size` of what is owned.
template <class T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> array(std::unique_ptr<Owned<T>> owned, size_t size) {
  nb::capsule owner(owned.get(), [](void* p) noexcept { delete static_cast<Owned<T>*>(p); });
  return {owned.release()->data, {size}, owner};
}

template <class T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> array(std::unique_ptr<Owned<T>> owned) {
  const size_t size = owned->size;
  return array(std::move(owned), size);
}

inline auto integers(int64_t size) { return std::make_unique<Owned<int32_t>>(size); }
