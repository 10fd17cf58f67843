// Ridge regression of every column of a sparse matrix on a few others, which it chooses: column j gets the inputs S, j
// not among them, and the weights w that minimise |x_j - X_S w|^2 + l2 |w|^2, rows without j weighing `unseen` each.
//
// Inputs come in stages: each adds the columns i whose products with the residual, x_i (x_j - X_S w), are the largest
// once scaled, and then solves for all weights again. Before the first stage everything is left, and the products are
// those of the columns themselves, counts of what two items share. This is orthogonal matching pursuit (Pati et al.
// 1993) with many columns a stage, and the growth of RigL with the exact solution between.
//
// Products with all columns go over two hops, from a column to its rows and on to the columns in these; products of the
// inputs among each other by lists of the inputs that meet in a row. Nothing of columns times columns is held. A
// column's sums have one order, whatever the number of threads.
#include "level.hpp"
#include "parallel.hpp"
#include "pool.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr float kLeast = 1e-6f;  // of an input's square, what is left of it beside the inputs before it

// The largest of the keys added, the smallest of them on top of a heap.
struct Best {
  int64_t* keys;
  int64_t room, size = 0;

  void add(int64_t key) {
    if (size < room) {
      int64_t at = size++;
      for (; at && keys[(at - 1) / 2] > key; at = (at - 1) / 2) keys[at] = keys[(at - 1) / 2];
      keys[at] = key;
    } else if (room && key > keys[0]) {
      sink(key);
    }
  }
  int64_t pop() {
    const int64_t least = keys[0], last = keys[--size];
    if (size) sink(last);
    return least;
  }

 private:
  // Puts a key in place of the smallest.
  void sink(int64_t key) {
    int64_t at = 0;
    for (int64_t child = 1; child < size; child = 2 * at + 1) {
      child += child + 1 < size && keys[child + 1] < keys[child];
      if (keys[child] >= key) break;
      keys[at] = keys[child];
      at = child;
    }
    keys[at] = key;
  }
};

// Numbers by index that count from zero again at once.
struct Sums {
  float* values;
  int32_t *stamps, *met;
  int64_t n_met = 0;
  int32_t now = 0;

  void clear() { ++now, n_met = 0; }
  void add(int32_t i, float value) {
    if (stamps[i] == now) {
      values[i] += value;
      return;
    }
    stamps[i] = now;
    values[i] = value;
    met[n_met++] = i;
  }
};

// For each row the inputs that live in it, the latest first.
struct Lists {
  struct Entry {
    int32_t next, input;
    float value;
  };
  int32_t *heads, *stamps;
  Entry* entries;
  int32_t n_entries = 0, now = 0;

  void clear() { ++now, n_entries = 0; }
  int32_t head(int32_t row) const { return stamps[row] == now ? heads[row] : -1; }
  void push(int32_t row, int32_t input, float value) {
    entries[n_entries] = {head(row), input, value};
    heads[row] = n_entries++;
    stamps[row] = now;
  }
};

// What one thread needs, for one column after the other.
struct Work {
  const RidgeData& data;
  const RidgePlan& plan;
  Sums left, products;  // rows of what is left; its products with columns
  Lists lists;
  int32_t* owners;  // of a row, whether column j lives in it: the column's stamp
  int32_t* places;  // of a column among the inputs, -1 where it is none
  int64_t* keys;
  int32_t* inputs;
  float *factor, *column, *aim, *forward, *weights;
  int64_t room, size = 0;

  static int64_t bytes(const RidgeData& data, int64_t room, int64_t entries) {
    const int64_t numbers = 6 * data.rows.n_rows + 4 * data.columns.n_rows + room * (room + 5) + 3 * entries;
    return (room * 8 + numbers * 4 + 63) / 64 * 64;
  }

  Work(const RidgeData& data, const RidgePlan& plan, int64_t entries, void* memory)
      : data(data), plan(plan), keys(static_cast<int64_t*>(memory)), room(plan.sizes[plan.n_stages - 1]) {
    const int64_t n_rows = data.rows.n_rows, n_columns = data.columns.n_rows;
    char* next = static_cast<char*>(memory) + room * 8;
    const auto take = [&](int64_t count) {
      char* const taken = next;
      next += count * 4;
      return taken;
    };
    const auto floats = [&](int64_t count) { return reinterpret_cast<float*>(take(count)); };
    const auto integers = [&](int64_t count, int32_t fill) {
      int32_t* const made = reinterpret_cast<int32_t*>(take(count));
      for (int64_t i = 0; i < count; ++i) made[i] = fill;
      return made;
    };
    left = {floats(n_rows), integers(n_rows, 0), integers(n_rows, 0)};
    products = {floats(n_columns), integers(n_columns, 0), integers(n_columns, 0)};
    lists = {integers(n_rows, 0), integers(n_rows, 0), reinterpret_cast<Lists::Entry*>(take(3 * entries))};
    owners = integers(n_rows, -1);
    places = integers(n_columns, -1);
    inputs = integers(room, 0);
    factor = floats(room * room);
    column = floats(room), aim = floats(room), forward = floats(room), weights = floats(room);
  }

  // body(row, value) for what column `from` holds.
  template <class Body>
  void held(int64_t from, const Body& body) const {
    for (int64_t at = data.columns.indptr[from]; at < data.columns.indptr[from + 1]; ++at)
      body(data.columns.indices[at], data.by_column[at]);
  }

  float weight(int64_t j, int32_t row) const { return owners[row] == j ? 1 : plan.unseen; }

  // The products of all columns with what is left of column j.
  void project(int64_t j) {
    const Csr& rows = data.rows;
    left.clear();
    products.clear();
    held(j, [&](int32_t row, float value) { left.add(row, value); });
    for (int64_t p = 0; p < size; ++p)
      held(inputs[p], [&](int32_t row, float value) { left.add(row, -weights[p] * value); });
    for (int64_t at = 0; at < left.n_met; ++at) {
      const int64_t row = left.met[at];
      const float value = weight(j, left.met[at]) * left.values[row];
      for (int64_t to = rows.indptr[row]; to < rows.indptr[row + 1]; ++to)
        products.add(rows.indices[to], value * data.by_row[to]);
    }
  }

  // Makes inputs of the columns with the largest products, up to `wanted` in all; of equal ones the first.
  void choose(int64_t j, int64_t wanted, const float* scale) {
    Best best = {keys, wanted - size};
    for (int64_t at = 0; at < products.n_met; ++at) {
      const int32_t i = products.met[at];
      const float score = __builtin_fabsf(products.values[i]) * scale[i];
      if (i != j && places[i] < 0 && score > 0) best.add(int64_t{bits_of(score)} << 32 | (INT32_MAX - i));
    }
    const int64_t first = size;
    size += best.size;
    for (int64_t p = size; p > first;) {
      inputs[--p] = static_cast<int32_t>(INT32_MAX - (best.pop() & INT32_MAX));
      places[inputs[p]] = static_cast<int32_t>(p);
    }
  }

  // Rows of X_S^T X_S + l2, up to the diagonal, and of X_S^T x_j, for the inputs from `first` on.
  void meet(int64_t j, int64_t first) {
    lists.clear();
    for (int64_t p = 0; p < size; ++p) {
      float* const row = factor + p * room;
      const auto put = [&](int32_t at, float value) { lists.push(at, static_cast<int32_t>(p), value); };
      if (p < first) {
        held(inputs[p], put);
        continue;
      }
      for (int64_t q = 0; q <= p; ++q) row[q] = 0;
      held(inputs[p], [&](int32_t at, float value) {
        put(at, value);
        const float weighed = weight(j, at) * value;
        for (int32_t e = lists.head(at); e >= 0; e = lists.entries[e].next)
          row[lists.entries[e].input] += weighed * lists.entries[e].value;
      });
      row[p] += plan.l2;
      aim[p] = 0;
    }
    held(j, [&](int32_t at, float value) {
      for (int32_t e = lists.head(at); e >= 0; e = lists.entries[e].next)
        if (lists.entries[e].input >= first) aim[lists.entries[e].input] += value * lists.entries[e].value;
    });
  }

  // Rows of the Cholesky factor from `first` on, in place of those of the matrix.
  void factorise(int64_t first) {
    for (int64_t p = first; p < size; ++p) weights[p] = factor[p * room + p];
    for (int64_t k = 0; k < size; ++k) {
      float* const own = factor + k * room;
      // an input that others make up has no weight of its own, where rounding would give it any
      if (k >= first) own[k] = __builtin_sqrtf(own[k] > kLeast * weights[k] ? own[k] : weights[k]);
      for (int64_t p = k + 1; p < first; ++p) column[p] = factor[p * room + k];
      for (int64_t p = k + 1 > first ? k + 1 : first; p < size; ++p) {
        float* const __restrict row = factor + p * room;
        const float* const __restrict other = column;
        const float pivot = row[k] /= own[k];
        column[p] = pivot;
        for (int64_t q = k + 1; q <= p; ++q) row[q] -= pivot * other[q];
      }
    }
  }

  void solve(int64_t first) {
    for (int64_t p = first; p < size; ++p) {
      const float* const row = factor + p * room;
      double sum = aim[p];
      for (int64_t q = 0; q < p; ++q) sum -= double{row[q]} * forward[q];
      forward[p] = static_cast<float>(sum / row[p]);
    }
    for (int64_t p = 0; p < size; ++p) weights[p] = forward[p];
    for (int64_t p = size; p-- > 0;) {
      const float* const __restrict row = factor + p * room;
      float* const __restrict w = weights;
      w[p] /= row[p];
      const float weight = w[p];
      for (int64_t q = 0; q < p; ++q) w[q] -= weight * row[q];
    }
  }

  // The inputs of column j in order, and their weights: how many.
  int32_t fit(int64_t j, int32_t* indices, float* values) {
    size = 0;
    held(j, [&](int32_t row, float) { owners[row] = static_cast<int32_t>(j); });
    for (int64_t stage = 0; stage < plan.n_stages; ++stage) {
      const int64_t first = size;
      project(j);
      choose(j, plan.sizes[stage], plan.scales + stage * data.columns.n_rows);
      meet(j, first);
      factorise(first);
      solve(first);
    }
    Best order = {keys, size};
    for (int64_t p = 0; p < size; ++p) order.add(int64_t{inputs[p]} << 32 | p);
    for (int64_t at = 0; at < size; ++at) {
      const int64_t key = order.pop();
      indices[at] = static_cast<int32_t>(key >> 32);
      values[at] = weights[key & INT32_MAX];
    }
    for (int64_t p = 0; p < size; ++p) places[inputs[p]] = -1;
    return static_cast<int32_t>(size);
  }
};

}  // namespace

void ridge(const RidgeData& data, const RidgePlan& plan, int64_t begin, int64_t end, const RidgeOutput& out) {
  const int64_t room = plan.sizes[plan.n_stages - 1];
  int64_t* const lengths = static_cast<int64_t*>(allocate(room * sizeof(int64_t)));
  Best longest = {lengths, room};
  for (int64_t j = 0; j < data.columns.n_rows; ++j) longest.add(data.columns.indptr[j + 1] - data.columns.indptr[j]);
  int64_t entries = 0;  // of any inputs, at most
  for (int64_t i = 0; i < longest.size; ++i) entries += lengths[i];
  release(lengths, room * sizeof(int64_t));
  const int64_t each = Work::bytes(data, room, entries);
  const int parts = parts_for((end - begin) * room * kWorkPerThread);
  char* const memory = static_cast<char*>(allocate(each * parts));
  in_parts(parts, [&](int part, int n) {
    Work work(data, plan, entries, memory + each * part);
    // columns of one kind often lie side by side, hence every n-th
    for (int64_t j = begin + part; j < end; j += n) {
      const int64_t at = j - begin;
      out.counts[at] = work.fit(j, out.indices + at * room, out.values + at * room);
    }
  });
  release(memory, each * parts);
}

}  // namespace dsae::DSAE_LEVEL
