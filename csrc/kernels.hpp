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
};

// The best level this CPU runs, or the one named; throws std::invalid_argument with the choices.
const Kernels& choose(const char* name);
// Levels this CPU runs, best first, ended by null.
const Kernels* const* levels();

}  // namespace dsae
