#include "take.hpp"

#include <algorithm>
#include <cstring>

namespace dsae {
namespace {

constexpr int64_t kLine = 64, kAheadBytes = 8192;
constexpr int64_t kRowsAhead = 8;  // of CSR, whose rows are short

void fetch(const void* from, int64_t bytes) {
  const char* const at = static_cast<const char*>(from);
  for (int64_t i = 0; i < bytes && i < kAheadBytes; i += kLine) __builtin_prefetch(at + i);
}

}  // namespace

void take_rows(Rows<const float> from, const int64_t* chosen, Rows<float> to) {
  const int64_t bytes = from.width * sizeof(float), ahead = std::max<int64_t>(1, kAheadBytes / (bytes + 1) / 2);
  const auto row = [&](int64_t i) { return from.data + chosen[i] * from.width; };
  for (int64_t i = 0; i < std::min(ahead, to.count); ++i) fetch(row(i), bytes);
  for (int64_t i = 0; i < to.count; ++i) {
    if (i + ahead < to.count) fetch(row(i + ahead), bytes);
    std::memcpy(to.data + i * to.width, row(i), bytes);
  }
}

void count_taken(const Csr& from, const int64_t* chosen, int64_t n, int32_t* indptr) {
  indptr[0] = 0;
  for (int64_t i = 0; i < n; ++i) indptr[i + 1] = indptr[i] + from.indptr[chosen[i] + 1] - from.indptr[chosen[i]];
}

void take_csr(const Csr& from, const float* values, const int64_t* chosen, const Csr& to, int32_t* indices,
              float* taken) {
  const auto ask = [&](int64_t i) {
    const int64_t at = from.indptr[chosen[i]], n = from.indptr[chosen[i] + 1] - at;
    fetch(from.indices + at, n * sizeof(int32_t));
    fetch(values + at, n * sizeof(float));
  };
  for (int64_t i = 0; i < std::min(kRowsAhead, to.n_rows); ++i) ask(i);
  for (int64_t i = 0; i < to.n_rows; ++i) {
    if (i + kRowsAhead < to.n_rows) ask(i + kRowsAhead);
    const int64_t at = from.indptr[chosen[i]], n = from.indptr[chosen[i] + 1] - at;
    std::copy_n(from.indices + at, n, indices + to.indptr[i]);
    std::copy_n(values + at, n, taken + to.indptr[i]);
  }
}

}  // namespace dsae
