// A training step as the kernels see it: layers in a row, what a batch brings, and how its panels are shared out.
#pragma once

#include "csr.hpp"
#include "panel.hpp"

namespace dsae {

constexpr int64_t kMostStepLayers = 256;

constexpr int kForward = 1, kBackward = 2, kSampled = 4;

struct StepLayer {
  Blocks w;
  int64_t n_in;
  const float *values, *bias;
  Csr wt;  // the transpose: its edges come from `slots`; blocks need none
  const int32_t* slots;
  int activation;     // in the table of activate.cpp, one of those in step_lines.hpp
  float *dw, *dbias;  // where the gradients go
  int rounded = 0;    // products that read lines of 16 bits: a sum of kForward, kBackward, kSampled
};

// Rows, or panels that have been made before; what is compared with what.
struct StepBatch {
  Rows<const float> rows;        // without data where `x` has it
  const float *mean, *scale;     // of the rows' features; null where they stay as they are
  const float* x;                // panels
  int loss;                      // in the table of compare.hpp; negative where there is none
  float factor;                  // multiplies the loss' gradients
  const float* target;           // rows; null where it is what enters the first layer
  bool as_given;                 // the target is the rows before they are centred
  const float *known, *weights;  // 1 where a value of the target is known, else 0; of every row; null for all ones
  const float* offset;           // of every row, for likelihoods of counts: the logarithm of its total; null for zeros
  const float* log_dispersion;   // of every output, for a loss that has it; null for zeros
  float* by_dispersion;          // where the gradient by that goes; may be null
};

// Layers [first, last) on panels [0, n_panels), in groups of panels that share nothing but weights. Each group adds up
// gradients of its own, so that no sum depends on the number of threads.
struct StepPlan {
  const StepLayer* layers;
  int64_t first, last;
  int lanes;
  int64_t n_rows, n_panels, n_groups;
  int64_t at_once;  // panels of a group that go through a layer together: all where activations are to be kept

  int64_t width(int64_t i) const { return i < last ? layers[i].n_in : layers[last - 1].w.n_rows; }
  int64_t begin(int64_t group) const { return n_panels * group / n_groups; }
  int64_t most_of_a_group() const { return (n_panels + n_groups - 1) / n_groups; }
  int64_t panel_size() const {  // floats of one panel in all that a group holds
    int64_t size = 0, widest = 0;
    for (int64_t i = first; i <= last; ++i) {
      size += width(i);
      widest = widest < width(i) ? width(i) : widest;
    }
    return (size + 2 * widest + (widest + 1) / 2 + 2 * width(last)) * lanes;
  }
  int64_t edges() const {
    int64_t n = 0;
    for (int64_t i = first; i < last; ++i) n += layers[i].w.nnz();
    return n;
  }
  // One group writes the gradients of blocks to their places, which are in order.
  bool direct(int64_t i) const { return n_groups == 1 && layers[i].w.size > 1; }
  // Edges before layer i whose gradients are summed up apart, and those that have a transpose.
  int64_t summed(int64_t i) const {
    int64_t n = 0;
    for (int64_t j = first; j < i; ++j) n += direct(j) ? 0 : layers[j].w.nnz();
    return n;
  }
  int64_t turned(int64_t i) const {
    int64_t n = 0;
    for (int64_t j = first; j < i; ++j) n += layers[j].w.size > 1 ? 0 : layers[j].w.nnz();
    return n;
  }
  int64_t outputs() const {
    int64_t n = 0;
    for (int64_t i = first; i < last; ++i) n += layers[i].w.n_rows;
    return n;
  }
};

// What a step needs beside its arrays, for the caller to allocate.
struct StepScratch {
  float* panels;           // at_once * panel_size() for every place that a group may take
  int64_t n_places;        // as many as groups where activations are kept, else as threads
  float* gradients;        // summed(last) + outputs() for every group
  float* wt_values;        // turned(last)
  double* losses;          // the last layer's width, for every group
  float* sizes = nullptr;  // as many, where there are dispersions
};

// Where the layers at both ends meet something else; each may be null.
struct StepEnds {
  float* y;         // what the last layer gives
  const float* dy;  // its gradient
  float* dx;        // of what enters the first
  bool activated;   // whether y has gone through the last layer's activation
  // Called by the thread that asked for the step as soon as all gradients of a layer are there, the last layer first.
  void (*finished)(void* context, int64_t layer);
  void* context;
};

}  // namespace dsae
