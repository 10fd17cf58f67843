// Rows to panels and back: transposes of as many samples by features as a vector has lanes, in registers. A run reads
// (or writes) its rows along their length, which is what the hardware prefetches.
#include "level.hpp"
#include "parallel.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr int64_t kRun = 256;  // features
// Bytes of a number that is read, and of one that is read and written: what a pass over memory costs.
constexpr int64_t kRead = sizeof(float), kMoved = 2 * kRead;

// One step of a transposition: the off-diagonal D x D quarters of every 2D x 2D square change places.
template <int D, int... I>
inline void exchange(Vec& a, Vec& b, std::integer_sequence<int, I...>) {
  const Vec top = __builtin_shufflevector(a, b, (I & D ? I - D + kWidth : I)...);
  b = __builtin_shufflevector(a, b, (I & D ? I + kWidth : I + D)...);
  a = top;
}

template <int D = kWidth / 2>
inline void transpose(Vec* v) {
  for (int i = 0; i < kWidth; ++i)
    if (!(i & D)) exchange<D>(v[i], v[i + D], std::make_integer_sequence<int, kWidth>());
  if constexpr (D > 1) transpose<D / 2>(v);
}

// body(panel, first lane, lanes in use, first feature, last feature) for squares of samples by runs of features.
template <class Body>
void for_each_run(int64_t n_rows, const int64_t count, int64_t width, int lanes, const Body& body) {
  const int64_t runs = (width + kRun - 1) / kRun;
  parallel_range(count * runs, count * width * lanes * kMoved, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t panel = i / runs, first = i % runs * kRun, last = first + kRun < width ? first + kRun : width;
      for (int lane = 0; lane < lanes; lane += kWidth) {
        const int64_t left = n_rows - panel * lanes - lane;
        body(panel, lane, left < 0 ? 0 : left < kWidth ? left : kWidth, first, last);
      }
    }
  });
}

}  // namespace

void pack(Rows<const float> rows, Panels<float> to) {
  for_each_run(rows.count, to.count, to.width, to.lanes,
               [&](int64_t p, int64_t lane, int64_t used, int64_t f, int64_t last) {
                 const float* const from = rows.data + (p * to.lanes + lane) * rows.width;
                 float* const panel = to.data + p * to.width * to.lanes + lane;
                 for (; f + kWidth <= last; f += kWidth) {
                   Vec square[kWidth];
                   for (int64_t i = 0; i < kWidth; ++i) square[i] = i < used ? load(from + i * rows.width + f) : Vec{};
                   transpose(square);
                   for (int64_t i = 0; i < kWidth; ++i) store(panel + (f + i) * to.lanes, square[i]);
                 }
                 for (; f < last; ++f)
                   for (int64_t i = 0; i < kWidth; ++i)
                     panel[f * to.lanes + i] = i < used ? from[i * rows.width + f] : 0;
               });
}

void unpack(Panels<const float> from, Rows<float> rows) {
  for_each_run(rows.count, from.count, from.width, from.lanes,
               [&](int64_t p, int64_t lane, int64_t used, int64_t f, int64_t last) {
                 const float* const panel = from.data + p * from.width * from.lanes + lane;
                 float* const to = rows.data + (p * from.lanes + lane) * rows.width;
                 for (; used && f + kWidth <= last; f += kWidth) {
                   Vec square[kWidth];
                   for (int64_t i = 0; i < kWidth; ++i) square[i] = load(panel + (f + i) * from.lanes);
                   transpose(square);
                   for (int64_t i = 0; i < used; ++i) store(to + i * rows.width + f, square[i]);
                 }
                 for (; f < last; ++f)
                   for (int64_t i = 0; i < used; ++i) to[i * rows.width + f] = panel[f * from.lanes + i];
               });
}

void turn(Rows<const float> rows, float* to) {
  parallel_range((rows.count + kWidth - 1) / kWidth, rows.count * rows.width * kMoved, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin * kWidth; r < end * kWidth && r < rows.count; r += kWidth) {
      const int64_t used = rows.count - r < kWidth ? rows.count - r : kWidth;
      const float* const from = rows.data + r * rows.width;
      int64_t f = 0;
      for (; used == kWidth && f + kWidth <= rows.width; f += kWidth) {
        Vec square[kWidth];
        for (int64_t i = 0; i < kWidth; ++i) square[i] = load(from + i * rows.width + f);
        transpose(square);
        for (int64_t i = 0; i < kWidth; ++i) store(to + (f + i) * rows.count + r, square[i]);
      }
      for (; f < rows.width; ++f)
        for (int64_t i = 0; i < used; ++i) to[f * rows.count + r + i] = from[i * rows.width + f];
    }
  });
}

void sum_samples(Panels<const float> from, float* sums) {
  parallel_range(from.width, from.count * from.width * from.lanes * kRead, [&](int64_t begin, int64_t end) {
    for (int64_t f = begin; f < end; ++f) {
      Vec sum = {};
      for (int64_t p = 0; p < from.count; ++p)
        for (int lane = 0; lane < from.lanes; lane += kWidth)
          sum += load(from.data + (p * from.width + f) * from.lanes + lane);
      sums[f] = dsae::DSAE_LEVEL::sums<1>(&sum)[0];
    }
  });
}

void pack_csr(const Csr& rows, const float* values, Panels<float> to) {
  const int64_t size = to.width * to.lanes;
  // Split by panels and ranges of lanes would share cache lines: one thread fills a panel.
  parallel_range(to.count, to.count * size * kRead, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      float* panel = to.data + p * size;
      for (int64_t i = 0; i < size; ++i) panel[i] = 0;
      const int64_t first = p * to.lanes, last = first + to.lanes < rows.n_rows ? first + to.lanes : rows.n_rows;
      for (int64_t row = first; row < last; ++row)
        for (int64_t edge = rows.indptr[row]; edge < rows.indptr[row + 1]; ++edge)
          panel[int64_t{rows.indices[edge]} * to.lanes + row - first] += values[edge];
    }
  });
}

}  // namespace dsae::DSAE_LEVEL
