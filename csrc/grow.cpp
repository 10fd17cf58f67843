#include "grow.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "parallel.hpp"

namespace dsae {
namespace {

// Unsigned integers in the order of the floats.
inline uint32_t key(float score) {
  const float positive_zero = score + 0.0f;  // -0 equals 0
  int32_t bits;
  std::memcpy(&bits, &positive_zero, sizeof bits);
  return score == score ? static_cast<uint32_t>(bits ^ (bits >> 31 | INT32_MIN)) : UINT32_MAX;
}

struct Bound {
  uint32_t key;   // of the n-th smallest score
  int64_t equal;  // how many of the n have this very key
};

// The n-th smallest, first by the upper half of its key. Few scores share that half: their branch costs nothing.
Bound nth_smallest(const float* scores, int64_t size, int64_t n) {
  uint32_t half = 0;
  const auto narrow = [&](const auto& part) {
    std::vector<int32_t> counts(1 << 16);
    part(counts);
    for (half = 0; counts[half] < n; ++half) n -= counts[half];
    return half;
  };
  const uint32_t upper = narrow([&](auto& counts) {
    for (int64_t i = 0; i < size; ++i) ++counts[key(scores[i]) >> 16];
  });
  const uint32_t lower = narrow([&](auto& counts) {
    for (int64_t i = 0; i < size; ++i)
      if (const uint32_t k = key(scores[i]); k >> 16 == upper) ++counts[k & 0xffff];
  });
  return {upper << 16 | lower, n};
}

// SplitMix64 (Steele et al. 2014): cheap to start, so that every row has a stream of its own.
struct Random {
  static constexpr uint64_t kStep = 0x9e3779b97f4a7c15;  // 2^64 over the golden ratio
  uint64_t state;

  static uint64_t mix(uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  static Random of_row(uint64_t seed, int64_t row) { return {mix(seed - (row + 1) * kStep)}; }
  uint64_t next() { return mix(state += kStep); }
};

// x * n / 2^64 is uniform in [0, n) up to n / 2^64, and `rest` is a fraction as good as x was.
inline int64_t below(uint64_t x, int64_t n, uint64_t* rest = nullptr) {
  const auto product = static_cast<unsigned __int128>(x) * static_cast<uint64_t>(n);
  if (rest) *rest = static_cast<uint64_t>(product);
  return static_cast<int64_t>(product >> 64);
}

inline int64_t live(const Csr& w, int64_t row) { return w.indptr[row + 1] - w.indptr[row]; }

// Chooses dead columns of one row after another; nothing is marked in between.
class RowChoice {
  int64_t n_cols_;
  std::vector<char> live_;        // a byte each: writes to bits of one word would wait for one another
  std::vector<uint64_t> chosen_;  // a bit each: found again 64 at a time

  static uint64_t bit(int64_t col) { return uint64_t{1} << (col & 63); }
  bool choose(int64_t col) {
    uint64_t& word = chosen_[col >> 6];
    const bool fresh = !live_[col] && !(word & bit(col));
    word |= fresh ? bit(col) : 0;
    return fresh;
  }

  // Sorts the n chosen columns, and unmarks them.
  void in_order(int32_t* out, int64_t n) {
    if (64 * n < static_cast<int64_t>(chosen_.size())) {  // few bits in a wide row
      for (int64_t i = 0; i < n; ++i) chosen_[out[i] >> 6] = 0;
      return std::sort(out, out + n);
    }
    for (size_t i = 0; i < chosen_.size(); ++i) {
      for (uint64_t word = chosen_[i]; word; word &= word - 1)
        *out++ = static_cast<int32_t>(64 * i + __builtin_ctzll(word));
      chosen_[i] = 0;
    }
  }

  void draw_all_but(int64_t n_left_out, Random random, int32_t* out) {
    while (n_left_out) n_left_out -= choose(below(random.next(), n_cols_));
    for (int64_t col = 0; col < n_cols_; ++col)
      if (!live_[col] && !(chosen_[col >> 6] & bit(col))) *out++ = static_cast<int32_t>(col);
    std::fill(chosen_.begin(), chosen_.end(), 0);
  }

  void draw_some(int64_t n, Random random, int32_t* out) {
    for (int64_t i = 0; i < n;) {
      out[i] = static_cast<int32_t>(below(random.next(), n_cols_));
      i += choose(out[i]);
    }
    in_order(out, n);
  }

 public:
  explicit RowChoice(int64_t n_cols) : n_cols_(n_cols), live_(n_cols), chosen_((n_cols + 63) / 64) {}

  // body(), with the live columns marked.
  template <class Body>
  void beside(const int32_t* live, int64_t n_live, const Body& body) {
    for (int64_t i = 0; i < n_live; ++i) live_[live[i]] = 1;
    body();
    for (int64_t i = 0; i < n_live; ++i) live_[live[i]] = 0;
  }

  void draw(int64_t n, int64_t dead, Random random, int32_t* out) {
    if (2 * n > dead) draw_all_but(dead - n, random, out);
    else draw_some(n, random, out);
  }

  void take(const int32_t* cols, int64_t length, int32_t* out) {
    int64_t n = 0;
    for (int64_t i = 0; i < length; ++i)
      if (choose(cols[i])) out[n++] = cols[i];
    in_order(out, n);
  }
};

// body(choice, row) for each row to which `indptr` gives edges.
template <class Body>
void for_rows(const Csr& w, int64_t n_cols, const int32_t* indptr, const Body& body) {
  const int64_t work = 4 * (cost(w) + indptr[w.n_rows]);
  const int n_parts = parts_for(work);
  std::vector<RowChoice> choices(n_parts, RowChoice(n_cols));
  in_parts(n_parts, [&](int part, int n) {
    RowChoice& choice = choices[part];
    for (int64_t row = w.n_rows * part / n; row < w.n_rows * (part + 1) / n; ++row)
      if (indptr[row] < indptr[row + 1])
        choice.beside(w.indices + w.indptr[row], live(w, row), [&] { body(choice, row); });
  });
}

}  // namespace

void smallest(const float* scores, int64_t size, int64_t n, bool* chosen) {
  if (!n) return std::fill(chosen, chosen + size, false);
  const Bound bound = nth_smallest(scores, size, n);
  for (int64_t i = 0; i < size; ++i) chosen[i] = key(scores[i]) < bound.key;
  for (int64_t i = 0, left = bound.equal; left; ++i)
    if (key(scores[i]) == bound.key) chosen[i] = true, --left;
}

void draw_counts(const Csr& w, int64_t n_cols, int64_t n, uint64_t seed, int32_t* indptr) {
  const int64_t dead = w.n_rows * n_cols - w.indptr[w.n_rows];
  const bool leave_out = 2 * n > dead;  // the few that are not drawn are drawn
  int32_t* used = indptr + 1;
  for (int64_t row = 0; row < w.n_rows; ++row) used[row] = static_cast<int32_t>(live(w, row));
  Random random{seed};
  // Which columns of a row are used up does not change how many are left: let it be the first.
  for (int64_t left = leave_out ? dead - n : n; left;) {
    uint64_t rest;
    const int64_t row = below(random.next(), w.n_rows, &rest);
    const bool free = below(rest, n_cols) >= used[row];
    used[row] += free;
    left -= free;
  }
  indptr[0] = 0;
  for (int64_t row = 0; row < w.n_rows; ++row)
    indptr[row + 1] = indptr[row] + static_cast<int32_t>(leave_out ? n_cols - used[row] : used[row] - live(w, row));
}

void draw_columns(const Csr& w, int64_t n_cols, uint64_t seed, const int32_t* indptr, int32_t* indices) {
  for_rows(w, n_cols, indptr, [&](RowChoice& choice, int64_t row) {
    choice.draw(indptr[row + 1] - indptr[row], n_cols - live(w, row), Random::of_row(seed, row), indices + indptr[row]);
  });
}

int64_t count_first(const Csr& w, int64_t n_cols, const int32_t* order, const int32_t* lengths, int32_t* indptr) {
  std::vector<int32_t> rank(n_cols);
  for (int64_t i = 0; i < n_cols; ++i) rank[order[i]] = static_cast<int32_t>(i);
  int64_t total = 0;
  indptr[0] = 0;
  for (int64_t row = 0; row < w.n_rows; ++row) {
    total += lengths[row];
    for (int32_t slot = w.indptr[row]; slot < w.indptr[row + 1]; ++slot) total -= rank[w.indices[slot]] < lengths[row];
    indptr[row + 1] = static_cast<int32_t>(total);
  }
  return total;
}

void first_columns(const Csr& w, int64_t n_cols, const int32_t* order, const int32_t* lengths, const int32_t* indptr,
                   int32_t* indices) {
  for_rows(w, n_cols, indptr,
           [&](RowChoice& choice, int64_t row) { choice.take(order, lengths[row], indices + indptr[row]); });
}

}  // namespace dsae
