// Lines of 16 bits: the nearest bfloat16 of every number, and products of those.
#include <cstring>
#include <limits>

#include "cache.hpp"
#include "laws.hpp"

namespace dsae_tests {

using Shorts = std::vector<uint16_t>;

static float from_bits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

// By its definition: of the two bfloat16 that enclose x the closer one, of two as close the even one.
static float nearest(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  const float below = from_bits(bits & 0xffff0000u);  // towards zero
  if (std::isnan(x) || below == x) return x;
  const uint32_t next = (bits & 0xffff0000u) + 0x10000u;
  // the step beyond the largest is what infinity stands for
  const double above = std::isinf(from_bits(next)) ? std::copysign(std::ldexp(1.0, 128), x) : from_bits(next);
  const double down = std::abs(double(x) - below), up = std::abs(above - double(x));
  return down < up || (down == up && (next >> 16 & 1)) ? below : from_bits(next);
}

static Floats rounded(const Floats& x) {
  Floats out(x.size());
  for (size_t i = 0; i < x.size(); ++i) out[i] = nearest(x[i]);
  return out;
}

static Shorts packed(const dsae::Kernels& k, const Floats& x, int64_t count, int64_t width, int lanes, int parts) {
  Shorts out(x.size(), 0xabcd);
  k.bf16_pack({x.data(), count, width, lanes}, {out.data(), count * parts, width, lanes / parts});
  return out;
}

static bool both_nan_or_same(float a, float b) { return std::isnan(a) ? std::isnan(b) : !std::memcmp(&a, &b, 4); }

void test_rounding(const dsae::Kernels& k, int lanes, int parts, const std::string& where) {
  const float largest = std::numeric_limits<float>::max(), smallest = std::numeric_limits<float>::denorm_min();
  Floats x = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, -NAN, largest, -largest, smallest, -1e-40f, 1.0f, -1.0f, 1e38f};
  for (uint32_t low : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu})
    for (uint32_t high : {0x3f80u, 0x3f81u, 0xbfffu, 0x0000u, 0x8001u, 0x007fu, 0x7f7fu, 0x7f80u, 0xff80u, 0x7fffu})
      x.push_back(from_bits(high << 16 | low));
  const Floats random = floats(5 * lanes);
  x.insert(x.end(), random.begin(), random.end());
  const int64_t width = 3, count = (x.size() + width * lanes - 1) / (width * lanes);
  x.resize(count * width * lanes, 0.5f);
  for (int threads = 1; threads <= 3; ++threads) {
    dsae::set_max_threads(threads);
    const Shorts lines = packed(k, x, count, width, lanes, parts);
    Floats back(x.size(), 7);
    k.bf16_unpack({lines.data(), count * parts, width, lanes / parts}, {back.data(), count, width, lanes});
    bool good = true;
    for (size_t i = 0; i < x.size(); ++i) good &= both_nan_or_same(nearest(x[i]), back[i]);
    check(good, "the nearest bfloat16 " + where + ", threads " + std::to_string(threads));
  }
}

// Each rounded factor is off by 2^-8 at most: a share of the sum of the magnitudes of what an output adds up.
static bool within(const Floats& got, const std::vector<double>& expected, const std::vector<double>& magnitudes,
                   int factors) {
  for (size_t i = 0; i < got.size(); ++i)
    if (!(std::abs(got[i] - expected[i]) <= factors * magnitudes[i] / 256 + 1e-4)) return false;
  return true;
}

void test_bf16_products(const dsae::Kernels& k, const Matrix& m, int64_t count, int lanes, int parts,
                        const std::string& where) {
  const Floats values = floats(m.nnz()), bias = floats(m.n_rows);
  const Floats x = floats(count * m.n_cols * lanes), dy = floats(count * m.n_rows * lanes);
  const Floats rx = rounded(x), rdy = rounded(dy);
  std::vector<double> y(dy.size()), dw(m.nnz()), exact = y, bound = y, exact_dw = dw, bound_dw = dw;
  for (size_t i = 0; i < y.size(); ++i) y[i] = exact[i] = bias[i / lanes % m.n_rows];
  for (int64_t e = 0; e < m.nnz(); ++e)
    for (int64_t p = 0; p < count; ++p)
      for (int64_t l = 0; l < lanes; ++l) {
        const int64_t to = (p * m.n_rows + m.rows[e]) * lanes + l, from = (p * m.n_cols + m.indices[e]) * lanes + l;
        y[to] += double(values[e]) * rx[from];
        exact[to] += double(values[e]) * x[from];
        bound[to] += std::abs(double(values[e]) * x[from]);
        dw[e] += double(rdy[to]) * rx[from];
        exact_dw[e] += double(dy[to]) * x[from];
        bound_dw[e] += std::abs(double(dy[to]) * x[from]);
      }
  const int64_t n = count * parts;
  const int half = lanes / parts;
  const Shorts hx = packed(k, x, count, m.n_cols, lanes, parts), hdy = packed(k, dy, count, m.n_rows, lanes, parts);
  const dsae::Panels<const uint16_t> px = {hx.data(), n, m.n_cols, half}, pdy = {hdy.data(), n, m.n_rows, half};
  const auto spmm = [&](float* out) {
    k.bf16_spmm(m.csr(), values.data(), bias.data(), px, {out, count, m.n_rows, lanes});
  };
  run("bf16_spmm " + where, y, spmm);
  run("bf16_sddmm " + where, dw, [&](float* out) { k.bf16_sddmm(m.csr(), pdy, px, out); });
  std::vector<double> both(y.size());
  for (size_t i = 0; i < y.size(); ++i) both[i] = y[i] - bias[i / lanes % m.n_rows];
  both.insert(both.end(), dw.begin(), dw.end());
  run("bf16_backward " + where, both, [&](float* out) {
    k.bf16_backward(m.csr(), values.data(), px, pdy, {out, count, m.n_rows, lanes}, out + y.size());
  });
  Floats got(y.size()), got_dw(m.nnz());
  spmm(got.data());
  k.bf16_sddmm(m.csr(), pdy, px, got_dw.data());
  check(within(got, exact, bound, 1) && within(got_dw, exact_dw, bound_dw, 2), "as float32 but for rounding " + where);
}

// Blocks of columns sized for one cache or another, and none: the same bits.
void test_bf16_blocks(const dsae::Kernels& k, int lanes, const std::string& where) {
  const Matrix m(7, 30000, 0.02);
  const Floats values = floats(m.nnz()), x = floats(2 * m.n_cols * lanes), dy = floats(2 * m.n_rows * lanes);
  const Shorts hx = packed(k, x, 2, m.n_cols, lanes, 1), hdy = packed(k, dy, 2, m.n_rows, lanes, 1);
  const dsae::Panels<const uint16_t> px = {hx.data(), 2, m.n_cols, lanes}, pdy = {hdy.data(), 2, m.n_rows, lanes};
  Floats first;
  const int64_t machine = dsae::set_l2_bytes(0);
  for (int64_t l2 : {int64_t{256} << 10, int64_t{2} << 20, int64_t{1} << 40}) {
    dsae::set_l2_bytes(l2);
    Floats out(2 * dy.size() + 2 * m.nnz(), NAN);
    float *const y = out.data(), *const dx = y + dy.size(), *const dw = dx + dy.size(), *const dots = dw + m.nnz();
    k.bf16_spmm(m.csr(), values.data(), nullptr, px, {y, 2, m.n_rows, lanes});
    k.bf16_backward(m.csr(), values.data(), px, pdy, {dx, 2, m.n_rows, lanes}, dw);
    k.bf16_sddmm(m.csr(), pdy, px, dots);
    if (first.empty()) first = out;
    check(same(out, first), "lines of 16 bits, blocks for a cache of " + std::to_string(l2) + " " + where);
  }
  dsae::set_l2_bytes(machine);
}

}  // namespace dsae_tests
