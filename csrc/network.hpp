// Samples through layers in one call, a chunk at a time, so that what a layer leaves is in cache when the next reads
// it.
#pragma once

#include <deque>
#include <memory>
#include <mutex>

#include "kernels.hpp"

namespace dsae {

// Rows of an array, or of a CSR matrix where `dense` is null.
struct Samples {
  int64_t count;
  const float* dense;
  Csr sparse;
  const float* values;
};

class Network {
 public:
  struct Layer {
    Blocks w;
    int64_t n_in;
    const float* values;
    const float* bias;
    Activation activation;
  };

  explicit Network(const Kernels& kernels) : kernels_(kernels) {}
  Network(const Network&) = delete;
  // Arrays are not copied; each layer takes what the one before gives.
  void add(const Layer& layer) { layers_.emplace_back(layer); }
  int64_t size() const { return layers_.size(); }
  const Layer& operator[](int64_t i) const { return layers_[i].layer; }

  // Rows `x` through layers [begin, end); false, and y unfinished, where x holds NaN or infinity. Any thread may call.
  bool run(int64_t begin, int64_t end, const Samples& x, Rows<float> y) const;

 private:
  struct Transpose {
    std::unique_ptr<int32_t[]> indptr, indices;
    std::unique_ptr<float[]> values;
  };
  struct Node {
    explicit Node(const Layer& layer) : layer(layer) {}
    Layer layer;
    mutable std::once_flag once;
    mutable Transpose transpose;  // made when the first sparse sample comes
  };
  class Pass;

  static const Transpose& transposed(const Node&);
  // How many numbers are not zero; false where one is NaN or infinity.
  bool count(const Samples& x, int64_t width, int64_t& live) const;
  const Kernels& kernels_;
  std::deque<Node> layers_;  // a node never moves
};

}  // namespace dsae
