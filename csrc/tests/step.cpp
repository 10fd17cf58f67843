// A training step against loops over the edges, in groups of panels and by layer.
#include "step.hpp"

#include <algorithm>
#include <cmath>

#include "laws.hpp"
#include "rewire.hpp"

namespace dsae_tests {
namespace {

constexpr int kRelu = 1, kSigmoid = 2;

struct Layer {
  Matrix w;
  Floats values, bias;
  Ints t_indptr, t_indices, slots;

  Layer(int64_t n_out, int64_t n_in, double density)
      : w(n_out, n_in, density), values(floats(w.nnz())), bias(floats(n_out)), t_indptr(n_in + 1) {
    t_indices.resize(w.nnz());
    slots.resize(w.nnz());
    dsae::transpose(dsae::single(w.csr()), n_in, t_indptr.data(), t_indices.data(), slots.data());
  }
};

// All gradients in order of layers: of weights, then of biases.
std::vector<double> wanted(const std::vector<Layer>& layers, const Floats& x, int64_t n_rows, double factor) {
  const size_t n = layers.size();
  std::vector<std::vector<double>> dw(n), db(n);
  for (size_t i = 0; i < n; ++i) dw[i].resize(layers[i].w.nnz()), db[i].resize(layers[i].w.n_rows);
  const int64_t width = layers[0].w.n_cols;
  for (int64_t row = 0; row < n_rows; ++row) {
    std::vector<std::vector<double>> h(1, {x.begin() + row * width, x.begin() + (row + 1) * width});
    for (size_t i = 0; i < n; ++i) {
      const Layer& l = layers[i];
      std::vector<double> z(l.bias.begin(), l.bias.end());
      for (int64_t e = 0; e < l.w.nnz(); ++e) z[l.w.rows[e]] += double(l.values[e]) * h[i][l.w.indices[e]];
      for (double& number : z) number = i + 1 == n ? number : i ? 1 / (1 + std::exp(-number)) : std::max(number, 0.0);
      h.push_back(z);
    }
    std::vector<double> d = h[n];
    for (int64_t f = 0; f < width; ++f) d[f] = factor * (d[f] - h[0][f]);
    for (size_t i = n; i-- > 0;) {
      const Layer& l = layers[i];
      std::vector<double> before(l.w.n_cols);
      for (int64_t r = 0; r < l.w.n_rows; ++r) db[i][r] += d[r];
      for (int64_t e = 0; e < l.w.nnz(); ++e) {
        dw[i][e] += d[l.w.rows[e]] * h[i][l.w.indices[e]];
        before[l.w.indices[e]] += d[l.w.rows[e]] * double(l.values[e]);
      }
      for (int64_t f = 0; i && f < l.w.n_cols; ++f) before[f] *= i > 1 ? h[i][f] * (1 - h[i][f]) : h[i][f] > 0;
      d = before;
    }
  }
  std::vector<double> all;
  for (size_t i = 0; i < n; ++i) {
    all.insert(all.end(), dw[i].begin(), dw[i].end());
    all.insert(all.end(), db[i].begin(), db[i].end());
  }
  return all;
}

}  // namespace

void test_step(const dsae::Kernels& k, int64_t n_rows, int lanes, int64_t n_groups, double density,
               const std::string& where) {
  const std::vector<Layer> layers = {{9, 21, density}, {6, 9, density}, {21, 6, density}};
  const Floats x = floats(n_rows * 21);
  const float factor = 2.0f / (n_rows * 21);
  const auto step = [&](float* out, int rounded) {
    std::vector<dsae::StepLayer> given;
    for (size_t i = 0; i < layers.size(); ++i) {
      const Layer& l = layers[i];
      float* const dw = out;
      out += l.w.nnz() + l.w.n_rows;
      given.push_back({dsae::single(l.w.csr()),
                       l.w.n_cols,
                       l.values.data(),
                       l.bias.data(),
                       {l.t_indptr.data(), l.t_indices.data(), l.w.n_cols},
                       l.slots.data(),
                       i == 0   ? kRelu
                       : i == 1 ? kSigmoid
                                : 0,
                       dw,
                       dw + l.w.nnz(),
                       rounded});
    }
    const int64_t n_panels = (n_rows + lanes - 1) / lanes;
    dsae::StepPlan plan = {given.data(), 0, 3, lanes, n_rows, n_panels, std::min(n_groups, n_panels), 0};
    plan.at_once = n_groups > 1 ? 1 : plan.most_of_a_group();
    dsae::StepBatch batch = {};
    batch.rows = {x.data(), n_rows, 21};
    batch.factor = factor;
    Floats panels(plan.n_groups * plan.at_once * plan.panel_size());
    Floats gradients(plan.n_groups * (plan.edges() + plan.outputs())), values(plan.edges());
    std::vector<double> losses(plan.n_groups * 21);
    k.step_gradients(plan, batch, {nullptr, nullptr, nullptr, true, nullptr, nullptr},
                     {panels.data(), plan.n_groups, gradients.data(), values.data(), losses.data()});
  };
  const std::vector<double> expected = wanted(layers, x, n_rows, factor);
  run("step " + where, expected, [&](float* out) { step(out, 0); });
  // On lines of 16 bits, which panels of 16 lanes do not have.
  Floats first;
  for (int threads = 1; threads <= 3; ++threads) {
    dsae::set_max_threads(threads);
    Floats out(expected.size(), NAN);
    step(out.data(), dsae::kForward + dsae::kBackward + dsae::kSampled);
    if (threads == 1) first = out;
    double error = 0, size = 1e-12;
    for (size_t i = 0; i < out.size(); ++i) {
      error += (out[i] - expected[i]) * (out[i] - expected[i]);
      size += expected[i] * expected[i];
    }
    // rounding turns a relu or two over
    const bool near = std::sqrt(error / size) < 0.1, rounds = density == 0 || std::sqrt(error / size) > 1e-4;
    check(near && rounds == (density == 0 || lanes > 16) && same(out, first),
          "step on lines of 16 bits " + where + ", threads " + std::to_string(threads));
  }
}

}  // namespace dsae_tests
