#include "network.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "parallel.hpp"
#include "pool.hpp"
#include "rewire.hpp"

namespace dsae {
namespace {

// Samples per chunk, which is one panel. 32 lanes were up to twice as fast as 64 where a panel of 64 overflows L2.
int lanes_for(int64_t n_rows) { return n_rows == 1 ? 1 : n_rows <= 64 ? 16 : 32; }

// Work (multiply-adds) from which several threads in one layer pay for meeting after each: about 0.15 ms of one.
constexpr int64_t kShareLayers = 1 << 22;

// Sets this thread's number of threads, for a while.
class Threads {
  const int before_;

 public:
  explicit Threads(int n) : before_(set_max_threads(n)) {}
  ~Threads() { set_max_threads(before_); }
};

Samples part(const Samples& x, int64_t width, int64_t first, int64_t count) {
  if (x.dense) return {count, x.dense + first * width, {}, nullptr};
  return {count, nullptr, {x.sparse.indptr + first, x.sparse.indices, count}, x.values};
}

class Scratch {
  const size_t bytes_;
  float* const data_;

 public:
  explicit Scratch(int64_t size) : bytes_(size * sizeof(float)), data_(static_cast<float*>(allocate(bytes_))) {}
  Scratch(const Scratch&) = delete;
  ~Scratch() { release(data_, bytes_); }
  float* get() const { return data_; }
};

// What a whole call brings: rows, the chunks they make, and numbers that are not zero at the entrance.
struct Load {
  int64_t count, chunks, live;
};

}  // namespace

// One chunk on its way: CSR at most at the entrance, then rows or a panel, whichever the next step reads.
class Network::Pass {
 public:
  static int64_t scratch_size(int64_t width, int lanes) { return (2 * lanes + 2) * padded(width); }
  Pass(const Kernels& kernels, int64_t width, int lanes, const Load& load, float* scratch)
      : k_(kernels),
        lanes_(lanes),
        load_(load),
        buffers_{scratch, scratch + lanes * padded(width)},
        live_values_(scratch + 2 * lanes * padded(width)),
        live_indices_(reinterpret_cast<int32_t*>(live_values_ + padded(width))) {}

  void enter(const Samples& x, int64_t width) {
    in_ = x, width_ = width, panel_ = false, rows_ = x.dense, live_ = load_.live;
  }

  void through(const Node& node) {
    const Layer& layer = node.layer;
    if (worth_columns(layer)) by_columns(node);
    else by_panel(layer);
    width_ = layer.w.n_rows;
    const ActivationKind& kind = *layer.activation.kind;
    if (kind.by_row) to_rows();
    float* data = buffers_[at_];
    const auto panels = panel_ ? Panels<float>{data, 1, width_, lanes_} : Panels<float>{data, in_.count, width_, 1};
    const int64_t live = kind.apply(layer.activation, panels);
    live_ = lanes_ == 1 ? live : load_.count * (kind.needs_k ? layer.activation.k : width_);
  }

  void leave(float* out) {
    if (panel_) k_.unpack({buffers_[at_], 1, width_, lanes_}, {out, in_.count, width_});
    else std::memcpy(out, rows_, in_.count * width_ * sizeof(float));
  }

 private:
  static int64_t padded(int64_t width) { return (width + 15) / 16 * 16; }
  float* other() { return buffers_[at_ ^= 1]; }

  // An edge met alone costs about as much as a vector of a panel, a quarter of that in a dense column, and 1.6 to 2
  // edges of a row (0.5 ns, 0.13 and 0.3 on Zen 4). Rounding differs between the ways, so all rows of a call take the
  // same one: what comes of a row does not depend on its place.
  bool worth_columns(const Layer& layer) const {
    const bool full = layer.w.nnz() == layer.w.n_rows * layer.n_in;
    if (lanes_ == 1) return full || 2 * live_ < width_;
    return (full ? 4 : k_.width) * live_ < width_ * lanes_ * load_.chunks;
  }

  void by_columns(const Node& node) {
    const Transpose& t = transposed(node);
    const Layer& layer = node.layer;
    to_rows();
    const float* x = rows_;
    float* y = other();
    for (int64_t i = 0; i < in_.count; ++i) {
      SparseSample sample = {live_indices_, live_values_, 0};
      if (x) {
        sample.count = k_.compress(x + i * width_, width_, live_indices_, live_values_);
      } else {
        const int64_t first = in_.sparse.indptr[i];
        sample = {in_.sparse.indices + first, in_.values + first, in_.sparse.indptr[i + 1] - first};
      }
      k_.csr_spmv({t.indptr.get(), t.indices.get(), width_}, t.values.get(), layer.bias, layer.w.n_rows, sample,
                  y + i * layer.w.n_rows, layer.w.size);
    }
    rows_ = y;
  }

  void by_panel(const Layer& layer) {
    if (lanes_ == 1) return by_rows(layer);
    to_panel();
    const float* x = buffers_[at_];
    const Panels<const float> from = {x, 1, width_, lanes_};
    const Panels<float> to = {other(), 1, layer.w.n_rows, lanes_};
    if (layer.w.size == 1) k_.spmm(layer.w.groups, layer.values, layer.bias, from, to);
    else k_.block_spmm(layer.w, layer.values, layer.bias, from, to);
  }

  void by_rows(const Layer& layer) {
    if (!rows_) to_panel(), panel_ = false, rows_ = buffers_[at_];
    const float* x = rows_;
    float* y = other();
    if (layer.w.size == 1) k_.spmv(layer.w.groups, layer.values, layer.bias, x, y);
    else k_.block_spmv(layer.w, layer.values, layer.bias, x, y);
    rows_ = y;
  }

  void to_panel() {
    if (panel_) return;
    const float* x = rows_;
    const Panels<float> to = {other(), 1, width_, lanes_};
    if (x) k_.pack({x, in_.count, width_}, to);
    else k_.pack_csr(in_.sparse, in_.values, to);
    panel_ = true;
  }

  void to_rows() {
    if (!panel_) return;
    const float* x = buffers_[at_];
    float* y = other();
    k_.unpack({x, 1, width_, lanes_}, {y, in_.count, width_});
    panel_ = false, rows_ = y;
  }

  const Kernels& k_;
  const int lanes_;
  const Load load_;
  float* buffers_[2];
  float* live_values_;
  int32_t* live_indices_;
  Samples in_ = {};
  const float* rows_ = nullptr;
  bool panel_ = false;
  int at_ = 0;
  int64_t width_ = 0, live_ = 0;
};

const Network::Transpose& Network::transposed(const Node& node) {
  std::call_once(node.once, [&] {
    const Blocks& w = node.layer.w;
    const int64_t nnz = w.nnz();
    Transpose& t = node.transpose;
    std::unique_ptr<int32_t[]> slots(new int32_t[nnz]);
    t.indptr.reset(new int32_t[node.layer.n_in + 1]);
    t.indices.reset(new int32_t[nnz]);
    t.values.reset(new float[nnz]);
    dsae::transpose(w, node.layer.n_in, t.indptr.get(), t.indices.get(), slots.get());
    for (int64_t i = 0; i < nnz; ++i) t.values[i] = node.layer.values[slots[i]];
  });
  return node.transpose;
}

bool Network::count(const Samples& x, int64_t width, int64_t& live) const {
  const float* values = x.dense ? x.dense : x.values + x.sparse.indptr[0];
  const int64_t size = x.dense ? x.count * width : x.sparse.indptr[x.count] - x.sparse.indptr[0];
  std::atomic<int64_t> found{0};
  std::atomic<bool> finite{true};
  parallel_range(size, size, [&](int64_t begin, int64_t end) {
    const Nonzeros part = kernels_.count_nonzeros(values + begin, end - begin);
    found += part.count;
    if (!part.finite) finite = false;
  });
  live = x.dense ? found.load() : size;
  return finite;
}

bool Network::run(int64_t begin, int64_t end, const Samples& x, Rows<float> y) const {
  const int64_t n_in = layers_[begin].layer.n_in;
  const int lanes = lanes_for(x.count);
  const int64_t chunks = (x.count + lanes - 1) / lanes;
  Load load = {x.count, chunks, 0};
  if (!count(x, n_in, load.live)) return false;
  int64_t width = n_in, work = 0;
  for (int64_t i = begin; i < end; ++i) {
    width = std::max(width, layers_[i].layer.w.n_rows);
    work += cost(layers_[i].layer.w.groups) * layers_[i].layer.w.size * chunks * std::max(lanes, 16);
  }
  // Threads take whole chunks; with fewer chunks than threads they share out the layers, if these are large.
  const int threads = max_threads();
  const bool share_layers = chunks < threads && work >= kShareLayers;
  const int64_t size = Pass::scratch_size(width, lanes),
                takers = share_layers || !chunks ? 1 : std::min<int64_t>(chunks, threads);
  const Scratch scratch(size * takers);
  const auto take = [&](int taker, int n) {
    const Threads inside(share_layers ? threads : 1);
    Pass pass(kernels_, width, lanes, load, scratch.get() + taker * size);
    for (int64_t chunk = chunks * taker / n; chunk < chunks * (taker + 1) / n; ++chunk) {
      const int64_t row = chunk * lanes;
      pass.enter(part(x, n_in, row, std::min<int64_t>(lanes, x.count - row)), n_in);
      for (int64_t i = begin; i < end; ++i) pass.through(layers_[i]);
      pass.leave(y.data + row * y.width);
    }
  };
  parallel(std::min(work, (takers - 1) * kWorkPerThread), take);
  return true;
}

}  // namespace dsae
