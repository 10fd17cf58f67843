// Rows to panels and back: transposes, in tiles of one cache line of features by all lanes. A row's lines lie a power
// of two apart and share one cache set, so each is read whole before the next.
#include "level.hpp"
#include "parallel.hpp"

namespace dsae::DSAE_LEVEL {
namespace {

constexpr int64_t kTile = 16;

// body(panel, first feature, last feature) over all tiles.
template <class Body>
void for_each_tile(int64_t count, int64_t width, int lanes, const Body& body) {
  const int64_t tiles = (width + kTile - 1) / kTile;
  parallel_range(count * tiles, count * width * lanes, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % tiles * kTile;
      body(i / tiles, first, first + kTile < width ? first + kTile : width);
    }
  });
}

int64_t lanes_used(int64_t rows, int64_t panel, int64_t lanes) {
  const int64_t left = rows - panel * lanes;
  return left < 0 ? 0 : left < lanes ? left : lanes;
}

}  // namespace

void pack(Rows<const float> rows, Panels<float> to) {
  for_each_tile(to.count, to.width, to.lanes, [&](int64_t p, int64_t first, int64_t last) {
    float* panel = to.data + p * to.width * to.lanes;
    const int64_t used = lanes_used(rows.count, p, to.lanes);
    for (int64_t lane = 0; lane < used; ++lane) {
      const float* row = rows.data + (p * to.lanes + lane) * rows.width;
      for (int64_t f = first; f < last; ++f) panel[f * to.lanes + lane] = row[f];
    }
    for (int64_t f = first; f < last; ++f)
      for (int64_t lane = used; lane < to.lanes; ++lane) panel[f * to.lanes + lane] = 0;
  });
}

void unpack(Panels<const float> from, Rows<float> rows) {
  for_each_tile(from.count, from.width, from.lanes, [&](int64_t p, int64_t first, int64_t last) {
    const float* panel = from.data + p * from.width * from.lanes;
    const int64_t used = lanes_used(rows.count, p, from.lanes);
    for (int64_t lane = 0; lane < used; ++lane) {
      float* row = rows.data + (p * from.lanes + lane) * rows.width;
      for (int64_t f = first; f < last; ++f) row[f] = panel[f * from.lanes + lane];
    }
  });
}

void pack_csr(const Csr& rows, const float* values, Panels<float> to) {
  const int64_t size = to.width * to.lanes;
  // Split by panels and ranges of lanes would share cache lines: one thread fills a panel.
  parallel_range(to.count, to.count * size, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      float* panel = to.data + p * size;
      for (int64_t i = 0; i < size; ++i) panel[i] = 0;
      const int64_t used = lanes_used(rows.n_rows, p, to.lanes);
      for (int64_t lane = 0; lane < used; ++lane) {
        const int64_t row = p * to.lanes + lane;
        for (int64_t edge = rows.indptr[row]; edge < rows.indptr[row + 1]; ++edge)
          panel[int64_t{rows.indices[edge]} * to.lanes + lane] += values[edge];
      }
    }
  });
}

}  // namespace dsae::DSAE_LEVEL
