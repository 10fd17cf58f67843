// Activations, and all layers of a model in one call.
#include "network.hpp"

#include <nanobind/stl/optional.h>

#include <vector>

#include "bindings/bindings.hpp"
#include "parallel.hpp"

namespace {

dsae::Activation activation(const Call& call, int64_t number, int64_t k, const std::optional<In>& thresholds,
                            int64_t width) {
  const auto* kind = number >= 0 && number < kernels->n_activations ? &kernels->activations[number] : nullptr;
  if (!kind || (kind->needs_k && k <= 0) || (kind->needs_thresholds && !thresholds))
    call.fail("an activation below " + std::to_string(kernels->n_activations) + ", with its k or thresholds",
              std::to_string(number));
  if (!kind->needs_thresholds) return {kind, k, nullptr};
  return {kind, k, call.vector<const float>("thresholds", *thresholds, "the number of units", width)};
}

void activate(const Out& rows, int64_t number, int64_t k, const std::optional<In>& thresholds) {
  const Call call{"activate"};
  float* data = call.data<float>("rows", rows, 2);
  const dsae::Panels<float> z = {data, static_cast<int64_t>(rows.shape(0)), static_cast<int64_t>(rows.shape(1)), 1};
  const auto chosen = activation(call, number, k, thresholds, z.width);
  nb::gil_scoped_release release;
  const dsae::FlushSubnormals flush;
  chosen.kind->apply(chosen, z);
}

// The layers of a model, checked when added; keeps their arrays alive.
class Network {
 public:
  Network() = default;
  Network(const Network&) = delete;

  void add(const In& indptr, const In& indices, const In& values, const In& bias, int64_t n_in, int64_t number,
           int64_t k, const std::optional<In>& thresholds, int block_size) {
    const Call call{"Network"};
    const auto w = call.blocks(indptr, indices, block_size, bias.size());
    const int64_t size = network_.size();
    if (size) call.equal("n_in", n_in, "what the layer before gives", network_[size - 1].w.n_rows);
    call.rising(w.groups);
    call.inside("indices", w.groups.indices, indices.size(), n_in);
    network_.add({w, n_in, call.vector<const float>("values", values, "the number of weights", w.nnz()),
                  call.vector<const float>("bias", bias, "the number of rows", w.n_rows),
                  activation(call, number, k, thresholds, w.n_rows)});
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

  bool run_csr(int64_t begin, int64_t end, const In& indptr, const In& indices, const In& values,
               const Out& out) const {
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
      call.fail("layers within [0, " + std::to_string(network_.size()) + ")",
                std::to_string(begin) + ":" + std::to_string(end));
    const dsae::Rows<float> y = {call.data<float>("out", out, 2), n_rows, network_[end - 1].w.n_rows};
    call.equal("out.shape[0]", out.shape(0), "the number of rows", y.count);
    call.equal("out.shape[1]", out.shape(1), "the width of the last layer", y.width);
    return y;
  }

  dsae::Network network_{*kernels};
  std::vector<In> kept_;
};

}  // namespace

void bind_network(nb::module_& m) {
  m.def("activate", &activate, "rows"_a.noconvert(), "activation"_a, "k"_a, "thresholds"_a.noconvert().none(),
        "Apply an activation to rows ``[b, f]``, in place.");
  nb::class_<Network>(m, "Network", "Layers in a row: rows ``[b, f]`` go through some of them in one call.")
      .def(nb::init<>())
      .def("add", &Network::add, "indptr"_a.noconvert(), "indices"_a.noconvert(), "values"_a.noconvert(),
           "bias"_a.noconvert(), "n_in"_a, "activation"_a, "k"_a, "thresholds"_a.noconvert().none(), "block_size"_a = 1,
           "Put a layer behind the others; ``k`` is topk's, ``thresholds`` those of batchtopk and jumprelu.")
      .def("run", &Network::run, "begin"_a, "end"_a, "rows"_a.noconvert(), "out"_a.noconvert(),
           "Rows through layers ``begin:end``; False, and ``out`` unfinished, where they hold NaN or infinity.")
      .def("run_csr", &Network::run_csr, "begin"_a, "end"_a, "indptr"_a.noconvert(), "indices"_a.noconvert(),
           "values"_a.noconvert(), "out"_a.noconvert(), "The same for CSR rows.");
}
