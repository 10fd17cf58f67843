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
// A matrix by columns: to[f, row] = rows[row, f].
using Turn = void(Rows<const float>, float* to);
// Every feature's sum over all panels and lanes.
using SumSamples = void(Panels<const float>, float* sums);
// y[p] = W x[p] + bias; bias may be null.
using Spmm = void(const Csr&, const float* values, const float* bias, Panels<const float> x, Panels<float> y);
// dw[slot] = <dy[:, row], x[:, column]>.
using Sddmm = void(const Csr&, Panels<const float> dy, Panels<const float> x, float* dw);
// Both halves of a backward pass, `w` the transpose of the layer's matrix: dx[p] = w dy[p], and dw in its slots.
using Backward = void(const Csr& w, const float* values, Panels<const float> dy, Panels<const float> x,
                      Panels<float> dx, float* dw);
// Panels of float32 rounded to lines of 16 bits (bf16.hpp), which are as many lanes or half of them, and back; and the
// products on those.
using Bf16Pack = void(Panels<const float>, Panels<uint16_t>);
using Bf16Unpack = void(Panels<const uint16_t>, Panels<float>);
using Bf16Spmm = void(const Csr&, const float* values, const float* bias, Panels<const uint16_t> x, Panels<float> y);
using Bf16Sddmm = void(const Csr&, Panels<const uint16_t> dy, Panels<const uint16_t> x, float* dw);
using Bf16Backward = void(const Csr& w, const float* values, Panels<const uint16_t> dy, Panels<const uint16_t> x,
                          Panels<float> dx, float* dw);
// The same for a matrix of blocks, of 4 or 8 rows each. The backward pass needs no transpose: dx[p] = w^T dy[p] and
// dw[slot] = <dy[:, row], x[:, column]>; either may be left out (null), and what it is made of with it.
using BlockSpmm = void(const Blocks&, const float* values, const float* bias, Panels<const float> x, Panels<float> y);
using BlockBackward = void(const Blocks&, const float* values, Panels<const float> dy, Panels<const float> x,
                           Panels<float> dx, float* dw);
// y = W x + bias for one sample; bias may be null.
using Spmv = void(const Csr&, const float* values, const float* bias, const float* x, float* y);
using BlockSpmv = void(const Blocks&, const float* values, const float* bias, const float* x, float* y);
// out[i] = values[slots[i]], and its reverse, out[slots[i]] = values[i].
using Gather = void(const float* values, const int32_t* slots, float* out, int64_t size);

// One step of Adam (Kingma & Ba 2015, algorithm 1) for all parameters of a model.
struct AdamSettings {
  float beta1, beta2, epsilon;
};
struct AdamParameter {
  Csr w;         // the edges of a sparse matrix, of which only indptr is read; null for any other parameter
  int64_t size;  // numbers
  // Where the numbers are those of the dense matrix and not of its edges: whether there is an edge, one byte each. What
  // is no edge has gradient 0.
  const uint8_t* mask;
  const float* grad;
  float *values, *mean, *square;
  float* magnitude;  // running mean of |gradient|; may be null
  // Of an edge the rate is rate / max(fan-in of its row, mean fan-in), of another number the rate itself. It holds the
  // correction for the first moment's start at zero; root is that of the second moment's square root.
  float rate, root;
  float newest;     // share of this step's |gradient| in its running mean
  float threshold;  // of the soft threshold after the step; 0 for none
  // Where edges do not lie row by row (`w` is null then): every edge's row, and what the rate of each row is times
  // `rate`.
  const int32_t* rows = nullptr;
  const float* by_row = nullptr;
};
using Adam = void(const AdamParameter*, int64_t count, const AdamSettings&);

// How many numbers are not zero, and whether none is NaN or infinity.
struct Nonzeros {
  int64_t count;
  bool finite;
};
using CountNonzeros = Nonzeros(const float* x, int64_t size);
// The numbers that are not zero and where they are: how many. Both outputs have room for all.
using Compress = int64_t(const float* x, int64_t size, int32_t* indices, float* values);

// One sample by its numbers that are not zero.
struct SparseSample {
  const int32_t* indices;
  const float* values;
  int64_t count;
};
// y = W x + bias by the columns of W at the sample's indices; `wt` is the transpose, with its values. The edges of each
// of its rows come in blocks of `block_size` neighbours, but for a narrower one at the end.
using CsrSpmv = void(const Csr& wt, const float* values, const float* bias, int64_t n_out, SparseSample x, float* y,
                     int block_size);

// The same for many samples.
using CsrSpmm = void(const Csr& wt, const float* values, const float* bias, const Csr& x, const float* x_values,
                     Rows<float> y, int block_size);
// dw[slots[edge]] += <x[:, column], dy[:, row]> for the edges of `wt` in columns that live in `xt`, the samples by
// column.
using CsrSddmm = void(const Csr& wt, const int32_t* slots, const Csr& xt, const float* x_values, Rows<const float> dy,
                      float* dw);
// dw[edge] = <x[:, column], dy[:, row]> + left[row] * right[column] for all edges of `wt`; right may be null.
using CsrGradient = void(const Csr& wt, const Csr& xt, const float* x_values, Rows<const float> dy, const float* left,
                         const float* right, float* dw, int block_size);
// out[edge] = values[slots[edge]] for the edges of `wt` in columns that live in `xt`.
using GatherLive = void(const Csr& wt, const float* values, const int32_t* slots, const Csr& xt, float* out);
// y[rows[e]] += values[e] * x[columns[e]] from zero on, for edges in any order; y has `n_rows` numbers.
struct Edges {
  const int32_t *rows, *columns;
  int64_t count;
};
using EdgeSums = void(const Edges&, const float* values, const float* x, int64_t n_rows, float* y);
// dw[edge] = left[row] * right[column].
using SampledOuter = void(const Csr& w, const float* left, const float* right, float* dw);

// The latents of every sample that are among its k largest and positive, at indices[row * k]; ties go to the lower.
using CodeTopk = void(Rows<const float> z, int64_t k, int32_t* counts, int32_t* indices);
// The k-th largest number, 0 where fewer are positive.
using KthOfAll = float(const float* x, int64_t size, int64_t k);
// Where z[row, latent] - thresholds[latent] > -margin: how many where `counts` is given, else which, from indptr[row].
using CodeAbove = void(Rows<const float> z, const float* thresholds, float margin, const int32_t* indptr,
                       int32_t* counts, int32_t* indices);
// out[entry] = <M[latent], y[row]> for the entries of a code; see codes.cpp.
using CodeDots = void(const Csr& m, const float* values, const Csr& code, Rows<const float> y, float* out);
// dM[latent] = sum of c y[row] over a code's entries, which come by latent; `sums` (may be null) of c itself.
using CodeOuter = void(const Csr& m, const Csr& by_latent, const float* c, Rows<const float> y, float* dm, float* sums);

// What an output is compared with: samples by column; every number is less `shift` of its column (may be null). Weights
// of its numbers and of the samples are null for all ones; a number that it does not hold weighs what its sample does.
struct Target {
  Csr columns;
  const float *values, *shift, *known, *weights;
  const float* offset;  // of the samples, for likelihoods of counts: see counts.hpp; null for zeros
};
struct OutputLayer {
  Blocks w;
  const float *values, *bias;
  Csr wt;  // and its values; read only where dx is asked for, and of single edges
  const float* wt_values;
  const float* log_dispersion;  // of the outputs, for a loss that has it; null for zeros
};
// Where the gradients of the loss go: none are made without a place for dbias, dx not without its own. A tile has as
// many features as outputs are held at once.
struct OutputGradients {
  float *dw, *dbias;
  Panels<float> dx, tile;
  float* by_dispersion;  // the gradient by log_dispersion; may be null
};
// The sum over `n_rows` samples and all outputs of the loss of W x + bias, which tiled_loss.cpp knows by its number;
// its gradients are multiplied by `factor`.
using TiledLoss = double(const OutputLayer&, Panels<const float> x, const Target&, int loss, int64_t n_rows,
                         float factor, const OutputGradients&);
// The logarithm of the sum of exp(W x + bias) over all outputs, for each of `n_rows` samples.
using LogSums = void(const OutputLayer&, Panels<const float> x, int64_t n_rows, float* sums);

// What an output is compared with, by columns as above and by samples; weights of its numbers, both ways, are null for
// all ones.
struct GramTarget {
  Csr columns;
  const float* by_column;
  Csr rows;
  const float *by_row, *shift, *known_by_column, *known_by_row;
};
// Where outputs have many weights, with its edges by column, as windows.hpp has them: windows of `height` outputs,
// which are made dense matrices for the sum of their squares. Null where that is made of the pairs of weights, as
// always with blocks.
struct GramLayer {
  Blocks w;
  const float *values, *bias;
  const int32_t *rows, *slots, *cuts;
  int64_t height;

  int64_t n_windows() const { return (w.n_rows + height - 1) / height; }
};
struct GramGradients {
  float *dw, *dbias;
  Rows<float> dx;  // not made without a place
};
// The squared error of W x + bias over all samples and outputs, from the Gram matrices of x and of W: gram.cpp. Numbers
// that the target does not hold have the weight `unseen`; gradients are multiplied by `factor`, which is not 0, 2 for
// those of the sum.
using GramLoss = double(const GramLayer&, Rows<const float> x, const GramTarget&, float unseen, float factor,
                        const GramGradients&);
// Of the same squared error, the gradient at `edges` of the outputs, active or not, unless they are null, and every
// output's norm of its gradient over the samples, unless `norms` is. Of the layer, the windows are not read.
using GramEdges = void(const GramLayer&, Rows<const float> x, const GramTarget&, const Csr& edges, float factor,
                       float* dw, float* norms);

// A matrix by columns and by rows, with values. Products of one column with all others go by way of its rows, those of
// a few columns among each other by the columns alone.
struct RidgeData {
  Csr columns;
  const float* by_column;
  Csr rows;
  const float* by_row;
};
struct RidgePlan {
  const int32_t* sizes;  // inputs after each stage, rising
  const float* scales;   // [n_stages, n_columns]: what products are multiplied by where the largest are chosen
  int64_t n_stages;
  float l2, unseen;  // the weight of rows in which the column is zero, beside those in which it is not
};
// As many inputs as counts says in each row of sizes[n_stages - 1].
struct RidgeOutput {
  int32_t *counts, *indices;
  float* values;
};
// Columns begin to end by ridge regression on others: ridge.cpp.
using Ridge = void(const RidgeData&, const RidgePlan&, int64_t begin, int64_t end, const RidgeOutput&);

struct StepPlan;
struct StepBatch;
struct StepScratch;
struct StepEnds;
// The summed loss of a batch, and all gradients of a network: see step.hpp.
using StepGradients = double(const StepPlan&, const StepBatch&, const StepEnds&, const StepScratch&);
// The same in pieces, where something else stands between: forward, whose activations stay in the scratch, and
// backward from them.
using StepPiece = void(const StepPlan&, const StepBatch&, const StepEnds&, const StepScratch&);

struct ActivationKind;
struct Activation {
  const ActivationKind* kind;
  int64_t k;                // of kinds that need it
  const float* thresholds;  // one per unit, the same
};
// A line of the table in activate.cpp.
struct ActivationKind {
  // In place; at most how many numbers are not zero afterwards. Rows are panels of one lane.
  int64_t (*apply)(const Activation&, Panels<float>);
  bool by_row;  // takes the whole sample at once, hence rows only
  bool needs_k, needs_thresholds;
};

// Every kernel, as X(type, name): the table below, each level's declarations and its table are made of this list.
#define DSAE_KERNELS(X)            \
  X(Pack, pack)                    \
  X(PackCsr, pack_csr)             \
  X(Unpack, unpack)                \
  X(Turn, turn)                    \
  X(SumSamples, sum_samples)       \
  X(Spmm, spmm)                    \
  X(Sddmm, sddmm)                  \
  X(Backward, backward)            \
  X(Bf16Pack, bf16_pack)           \
  X(Bf16Unpack, bf16_unpack)       \
  X(Bf16Spmm, bf16_spmm)           \
  X(Bf16Sddmm, bf16_sddmm)         \
  X(Bf16Backward, bf16_backward)   \
  X(BlockSpmm, block_spmm)         \
  X(BlockBackward, block_backward) \
  X(Spmv, spmv)                    \
  X(BlockSpmv, block_spmv)         \
  X(Gather, gather)                \
  X(Gather, scatter)               \
  X(Adam, adam)                    \
  X(CountNonzeros, count_nonzeros) \
  X(Compress, compress)            \
  X(CsrSpmv, csr_spmv)             \
  X(CsrSpmm, csr_spmm)             \
  X(CsrSddmm, csr_sddmm)           \
  X(CsrGradient, csr_gradient)     \
  X(GatherLive, gather_live)       \
  X(EdgeSums, edge_sums)           \
  X(SampledOuter, sampled_outer)   \
  X(CodeTopk, code_topk)           \
  X(KthOfAll, kth_of_all)          \
  X(CodeAbove, code_above)         \
  X(CodeDots, code_dots)           \
  X(CodeOuter, code_outer)         \
  X(TiledLoss, tiled_loss)         \
  X(LogSums, log_sums)             \
  X(GramLoss, gram_loss)           \
  X(GramEdges, gram_edges)         \
  X(Ridge, ridge)                  \
  X(StepGradients, step_gradients) \
  X(StepPiece, step_forward)       \
  X(StepPiece, step_backward)

struct Kernels {
  const char* isa;
  int n_losses;
  const ActivationKind* activations;
  int n_activations;
  int width;  // floats in a vector
#define DSAE_MEMBER(Type, name) Type* name;
  DSAE_KERNELS(DSAE_MEMBER)
#undef DSAE_MEMBER
};

// The best level this CPU runs, or the one named; throws std::invalid_argument with the choices.
const Kernels& choose(const char* name);
// Levels this CPU runs, best first, ended by null.
const Kernels* const* levels();

}  // namespace dsae
