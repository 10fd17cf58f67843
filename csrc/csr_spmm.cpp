// A first layer on a batch of sparse rows: what is not zero in the batch costs its column's edges, the rest nothing.
#include "few.hpp"
#include "parallel.hpp"
#include "pool.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr int64_t kBlock = 256;  // outputs whose sums stay in L1
constexpr int64_t kMostParts = 16, kPartEdges = 1 << 15;

inline bool live(const Csr& xt, int64_t column) { return xt.indptr[column] < xt.indptr[column + 1]; }

// One column's samples and edges.
struct Column {
  const int32_t *samples, *rows, *slots;
  const float* values;
  int64_t n_samples, n_edges;
};

// Edges to neighbouring outputs.
inline void add_dense(const Column& c, Rows<const float> dy, float* dw) {
  for (int64_t begin = 0; begin < c.n_edges; begin += kBlock) {
    const int64_t size = c.n_edges - begin < kBlock ? c.n_edges - begin : kBlock;
    float sum[kBlock] = {};
    for (int64_t i = 0; i < c.n_samples; ++i) {
      const float* const from = dy.data + c.samples[i] * dy.width + c.rows[begin];
      for (int64_t j = 0; j < size; ++j) sum[j] += c.values[i] * from[j];
    }
    for (int64_t j = 0; j < size; ++j) dw[c.slots[begin + j]] += sum[j];
  }
}

inline void add_sparse(const Column& c, Rows<const float> dy, float* dw) {
  for (int64_t edge = 0; edge < c.n_edges; ++edge) {
    float sum = 0;
    for (int64_t i = 0; i < c.n_samples; ++i) sum += c.values[i] * dy.data[c.samples[i] * dy.width + c.rows[edge]];
    dw[c.slots[edge]] += sum;
  }
}

}  // namespace

void csr_spmm(const Csr& wt, const float* values, const float* bias, const Csr& x, const float* x_values, Rows<float> y,
              int block_size) {
  const int64_t edges = wt.indptr[wt.n_rows] / (wt.n_rows + 1) + kRowCost;
  parallel_range(x.n_rows, x.indptr[x.n_rows] * edges, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t first = x.indptr[row];
      csr_spmv(wt, values, bias, y.width, {x.indices + first, x_values + first, x.indptr[row + 1] - first},
               y.data + row * y.width, block_size);
    }
  });
}

void csr_sddmm(const Csr& wt, const int32_t* slots, const Csr& xt, const float* x_values, Rows<const float> dy,
               float* dw) {
  const auto work = [&](int64_t c) {
    return int64_t{xt.indptr[c + 1] - xt.indptr[c]} * (wt.indptr[c + 1] - wt.indptr[c]);
  };
  int64_t total = 0;
  for (int64_t c = 0; c < xt.n_rows; ++c) total += work(c);
  parallel(total, [&](int thread, int n) {
    const int64_t begin = total * thread / n, end = total * (thread + 1) / n;
    int64_t done = 0;
    for (int64_t c = 0; done < end && c < xt.n_rows; ++c) {
      const int64_t now = work(c), at = xt.indptr[c], first = wt.indptr[c], size = wt.indptr[c + 1] - first;
      if (now && done >= begin) {
        const Column column = {xt.indices + at, wt.indices + first,    slots + first,
                               x_values + at,   xt.indptr[c + 1] - at, size};
        if (column.rows[size - 1] - column.rows[0] == size - 1) add_dense(column, dy, dw);
        else add_sparse(column, dy, dw);
      }
      done += now;
    }
  });
}

namespace {

// Adds x[:, column] dy to a column's edges, those of a block at once.
template <int R>
inline void add_columns(const Column& c, Rows<const float> dy, float* __restrict to) {
  if (c.rows[c.n_edges - 1] - c.rows[0] == c.n_edges - 1) {
    for (int64_t i = 0; i < c.n_samples; ++i) {
      const float* const from = dy.data + c.samples[i] * dy.width + c.rows[0];
      for (int64_t e = 0; e < c.n_edges; ++e) to[e] += c.values[i] * from[e];
    }
    return;
  }
  for (int64_t i = 0; i < c.n_samples; ++i) {
    const float* const from = dy.data + c.samples[i] * dy.width;
    const float x = c.values[i];
    int64_t e = 0;
    if constexpr (R > 1)
      for (; e + R <= c.n_edges; e += R) {
        Few<R> sum = Few<R>::at(to + e);
        sum.add(x, Few<R>::at(from + c.rows[e]));
        sum.put(to + e);
      }
    for (; e < c.n_edges; ++e) to[e] += x * from[c.rows[e]];
  }
}

// left * right at a column's edges, or zeros.
template <int R>
inline void begin_column(const int32_t* rows, int64_t size, const float* left, float right, float* to) {
  int64_t e = 0;
  if constexpr (R > 1)
    for (; e + R <= size; e += R) times(right, Few<R>::at(left + rows[e])).put(to + e);
  for (; e < size; ++e) to[e] = left[rows[e]] * right;
}

template <int R>
void gradient(const Csr& wt, const Csr& xt, const float* x_values, Rows<const float> dy, const float* left,
              const float* right, float* dw) {
  // Threads own columns, of as many edges and numbers of the batch together.
  const int64_t mean = wt.indptr[wt.n_rows] / (wt.n_rows + 1) + 1;
  const auto work = [&](int64_t c) { return wt.indptr[c] + mean * xt.indptr[c]; };
  const auto column_at = [&](int64_t wanted) {
    int64_t low = 0, high = wt.n_rows;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (work(middle) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const int64_t total = work(wt.n_rows);
  parallel(total, [&](int thread, int n) {
    const int64_t begin = column_at(total * thread / n),
                  end = thread + 1 == n ? wt.n_rows : column_at(total * (thread + 1) / n);
    for (int64_t c = begin; c < end; ++c) {
      const int64_t at = xt.indptr[c], first = wt.indptr[c], size = wt.indptr[c + 1] - first,
                    count = xt.indptr[c + 1] - at;
      const int32_t* const rows = wt.indices + first;
      if (right) begin_column<R>(rows, size, left, right[c], dw + first);
      else
        for (int64_t e = 0; e < size; ++e) dw[first + e] = 0;
      if (count && size) add_columns<R>({xt.indices + at, rows, nullptr, x_values + at, count, size}, dy, dw + first);
    }
  });
}

}  // namespace

void csr_gradient(const Csr& wt, const Csr& xt, const float* x_values, Rows<const float> dy, const float* left,
                  const float* right, float* dw, int block_size) {
  const auto with = block_size == 4 ? gradient<4> : block_size == 8 ? gradient<8> : gradient<1>;
  with(wt, xt, x_values, dy, left, right, dw);
}

void gather_live(const Csr& wt, const float* values, const int32_t* slots, const Csr& xt, float* out) {
  parallel_range(wt.n_rows, wt.indptr[wt.n_rows], [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c)
      if (live(xt, c))
        for (int64_t edge = wt.indptr[c]; edge < wt.indptr[c + 1]; ++edge) out[edge] = values[slots[edge]];
  });
}

// Parts have sums of their own, as many as the edges and not as there are threads.
void edge_sums(const Edges& edges, const float* values, const float* x, int64_t n_rows, float* y) {
  const int64_t wanted = edges.count / (kPartEdges + 16 * n_rows) + 1,
                n_parts = wanted < kMostParts ? wanted : kMostParts;
  const size_t bytes = n_parts * n_rows * sizeof(float);
  float* const sums = static_cast<float*>(allocate(bytes));
  const auto add = [&](int64_t part) {
    float* const own = sums + part * n_rows;
    for (int64_t row = 0; row < n_rows; ++row) own[row] = 0;
    for (int64_t e = edges.count * part / n_parts; e < edges.count * (part + 1) / n_parts; ++e)
      own[edges.rows[e]] += values[e] * x[edges.columns[e]];
  };
  const int useful = parts_for(edges.count);
  in_parts(useful < n_parts ? useful : static_cast<int>(n_parts), [&](int thread, int n) {
    for (int64_t part = n_parts * thread / n; part < n_parts * (thread + 1) / n; ++part) add(part);
  });
  for (int64_t row = 0; row < n_rows; ++row) {
    y[row] = 0;
    for (int64_t part = 0; part < n_parts; ++part) y[row] += sums[part * n_rows + row];
  }
  release(sums, bytes);
}

void sampled_outer(const Csr& w, const float* left, const float* right, float* dw) {
  const int64_t total = cost(w);
  parallel(total, [&](int thread, int n) {
    const int64_t end = row_at_cost(w, total * (thread + 1) / n);
    for (int64_t row = row_at_cost(w, total * thread / n); row < end; ++row)
      for (int64_t edge = w.indptr[row]; edge < w.indptr[row + 1]; ++edge)
        dw[edge] = left[row] * right[w.indices[edge]];
  });
}

}  // namespace dsae::DSAE_LEVEL
