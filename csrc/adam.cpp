// Adam's step for all parameters of a model in one pass, with a learning rate for every row of a sparse matrix. Rows
// are short, so edges are taken in runs whose rates were written out before: then neither square root nor division
// waits for a row to end. What else is done to a run, the running mean of |gradient| and the soft threshold, finds it
// in L1.
#include "level.hpp"
#include "parallel.hpp"

namespace dsae::DSAE_LEVEL {

namespace {

constexpr int64_t kRun = 512;        // edges, whose arrays together fit L1
constexpr int64_t kWorkPerEdge = 8;  // in multiply-adds: an estimate of a square root, a division and 28 bytes

// How the numbers of a matrix lie in rows: those of its edges, or all.
struct RowRange {
  const AdamParameter& p;
  int64_t width = p.mask && p.w.n_rows ? p.size / p.w.n_rows : 0;

  int64_t of(int64_t at) const { return p.mask ? at / width : row_of(p.w, at); }
  int64_t end(int64_t row) const { return p.mask ? (row + 1) * width : p.w.indptr[row + 1]; }
};

void row_rates(const AdamParameter& p, const RowRange& rows, int64_t at, int64_t count, int64_t* row, float* rates) {
  const Csr& w = p.w;
  const float typical = static_cast<float>(w.indptr[w.n_rows]) / (w.n_rows ? w.n_rows : 1);
  for (int64_t i = 0; i < count;) {
    while (rows.end(*row) <= at + i) ++*row;
    const float fan_in = static_cast<float>(w.indptr[*row + 1] - w.indptr[*row]);
    const float rate = p.rate / (fan_in < typical ? typical : fan_in);
    const int64_t left = rows.end(*row) - at, stop = left < count ? left : count;
    for (; i < stop; ++i) rates[i] = rate;
  }
}

// Pointers that are said not to overlap, and settings in registers: else no loop here is vectorised, and one square
// root after the other takes five times as long.
void move_run(const AdamParameter& p, const AdamSettings& s, int64_t at, int64_t count, const float* __restrict rates) {
  float* __restrict values = p.values + at;
  float* __restrict mean = p.mean + at;
  float* __restrict square = p.square + at;
  float edges[kRun];
  const float* __restrict grad = p.grad + at;
  if (p.mask) {
    const uint8_t* __restrict mask = p.mask + at;
    for (int64_t i = 0; i < count; ++i) edges[i] = mask[i] ? grad[i] : 0;
    grad = edges;
  }
  const float beta1 = s.beta1, beta2 = s.beta2, epsilon = s.epsilon, root = p.root;
  for (int64_t i = 0; i < count; ++i) {
    const float m = mean[i] + (1 - beta1) * (grad[i] - mean[i]);
    const float v = beta2 * square[i] + (1 - beta2) * grad[i] * grad[i];
    mean[i] = m;
    square[i] = v;
    values[i] -= rates[i] * m / (__builtin_sqrtf(v) * root + epsilon);
  }
  if (p.magnitude) {
    float* __restrict magnitude = p.magnitude + at;
    const float newest = p.newest;
    for (int64_t i = 0; i < count; ++i) magnitude[i] += newest * (__builtin_fabsf(grad[i]) - magnitude[i]);
  }
  if (const float t = p.threshold; t > 0)
    for (int64_t i = 0; i < count; ++i) {
      const float x = values[i], nearer = x > 0 ? x - t : x + t;
      values[i] = __builtin_fabsf(x) > t ? nearer : x * 0;
    }
}

void move_range(const AdamParameter& p, const AdamSettings& s, int64_t begin, int64_t end) {
  if (p.w.indptr && !p.w.indptr[p.w.n_rows]) return;  // a matrix without edges: there is no mean fan-in
  float rates[kRun];
  const RowRange rows{p};
  int64_t row = p.w.indptr ? rows.of(begin) : 0;
  if (!p.w.indptr)
    for (float& rate : rates) rate = p.rate;
  for (int64_t at = begin; at < end; at += kRun) {
    const int64_t count = end - at < kRun ? end - at : kRun;
    if (p.w.indptr) row_rates(p, rows, at, count, &row, rates);
    else if (p.rows)
      for (int64_t i = 0; i < count; ++i) rates[i] = p.rate * p.by_row[p.rows[at + i]];
    move_run(p, s, at, count, rates);
  }
}

}  // namespace

void adam(const AdamParameter* parameters, int64_t count, const AdamSettings& settings) {
  int64_t total = 0;
  for (int64_t i = 0; i < count; ++i) total += parameters[i].size;
  parallel_range(total, total * kWorkPerEdge, [&](int64_t begin, int64_t end) {
    int64_t first = 0;
    for (int64_t i = 0; i < count && first < end; ++i) {
      const AdamParameter& p = parameters[i];
      const int64_t from = begin > first ? begin - first : 0, to = end - first < p.size ? end - first : p.size;
      if (from < to) move_range(p, settings, from, to);
      first += p.size;
    }
  });
}

}  // namespace dsae::DSAE_LEVEL
