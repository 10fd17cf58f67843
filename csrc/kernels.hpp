// The kernels, one table of them for each instruction set.
//
// Their sources are compiled once per level. Headers therefore hold plain structs and functions of internal linkage
// only: an inline function compiled for AVX-512 must never be the copy the linker keeps for everyone.
#pragma once

#include "csr.hpp"
#include "panel.hpp"

namespace dsae {

// Rows into panels, and back. Lanes beyond the last row are zero.
using Pack = void(Rows<const float>, Panels<float>);
using PackCsr = void(const Csr&, const float* values, Panels<float>);
using Unpack = void(Panels<const float>, Rows<float>);
// Every feature's sum over all panels and lanes.
using SumSamples = void(Panels<const float>, float* sums);
// y[p] = W x[p] + bias; bias may be null.
using Spmm = void(const Csr&, const float* values, const float* bias, Panels<const float> x, Panels<float> y);
// dw[slot] = <dy[:, row], x[:, column]>.
using Sddmm = void(const Csr&, Panels<const float> dy, Panels<const float> x, float* dw);
// Both halves of a backward pass, `w` the transpose of the layer's matrix: dx[p] = w dy[p], and dw in its slots.
using Backward = void(const Csr& w, const float* values, Panels<const float> dy, Panels<const float> x, Panels<float> dx,
                      float* dw);
// y = W x + bias for one sample; bias may be null.
using Spmv = void(const Csr&, const float* values, const float* bias, const float* x, float* y);
// out[i] = values[slots[i]], and its reverse, out[slots[i]] = values[i].
using Gather = void(const float* values, const int32_t* slots, float* out, int64_t size);

// One step of Adam (Kingma & Ba 2015, algorithm 1): rate / max(fan-in of the row, mean fan-in) is the rate of an edge,
// corrected for the first moment's start at zero; root is the correction of the second moment's square root.
struct AdamStep {
  float rate, beta1, beta2, epsilon, root;
};
using Adam = void(const Csr&, int64_t nnz, const AdamStep&, const float* grad, float* values, float* mean, float* square);

// How many numbers are not zero, and whether none is NaN or infinity.
struct Scan {
  int64_t live;
  bool finite;
};
using ScanNumbers = Scan(const float* x, int64_t size);
// The numbers that are not zero and where they are: how many. Both outputs have room for all.
using Compress = int64_t(const float* x, int64_t size, int32_t* indices, float* values);

// One sample by its numbers that are not zero.
struct Live {
  const int32_t* indices;
  const float* values;
  int64_t count;
};
// y = bias + the columns of W at the live inputs; `wt` is the transpose, with its values.
using Columns = void(const Csr& wt, const float* values, const float* bias, int64_t n_out, Live x, float* y);

struct Activation {
  enum Kind { identity, relu, sigmoid, threshold, softmax, topk } kind;
  int64_t k;               // of topk
  const float* thresholds;  // one per unit; of threshold
};
// In place; at most how many numbers are not zero afterwards. Rows are panels of one lane; softmax and topk take only these.
using Activate = int64_t(const Activation&, Panels<float>);

struct Kernels {
  const char* isa;
  Pack* pack;
  PackCsr* pack_csr;
  Unpack* unpack;
  SumSamples* sum_samples;
  Spmm* spmm;
  Sddmm* sddmm;
  Backward* backward;
  Spmv* spmv;
  Gather *gather, *scatter;
  Adam* adam;
  ScanNumbers* scan;
  Compress* compress;
  Columns* columns;
  Activate* activate;
  int width;  // floats in a vector
};

// The best level this CPU runs, or the one named; throws std::invalid_argument with the choices.
const Kernels& choose(const char* name);
// Levels this CPU runs, best first, ended by null.
const Kernels* const* levels();

}  // namespace dsae
