// What the machine allows a kernel that loads one 64-byte line for every multiply-add, by where the lines come from.
// roofline THREADS SECONDS prints JSON: GFLOP/s (32 per line), median and best of several trials.
#include <omp.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int width = 64, blocks_at_once = 4;  // 16 chains of multiply-adds, one register each
#elif defined(__AVX__)
constexpr int width = 32, blocks_at_once = 1;  // 8 chains
#else
constexpr int width = 16, blocks_at_once = 1;  // 16 chains
#endif
typedef float Vector __attribute__((vector_size(width)));

constexpr int block = 256;  // bytes: one feature of a panel of 64 samples
constexpr int vectors = block / width;
constexpr int trials = 9;

struct Buffer {
  explicit Buffer(int64_t bytes) : blocks(bytes / block) {
    const size_t page = size_t(1) << 21, size = (bytes + page - 1) / page * page;
    data = static_cast<Vector*>(std::aligned_alloc(page, size));
    if (!data) std::abort();
#ifdef __linux__
    madvise(data, size, MADV_HUGEPAGE);
#endif
    for (int64_t i = 0; i < blocks * vectors; ++i) data[i] = Vector{} + 1.0f;
    order.resize(blocks);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937(1 + omp_get_thread_num()));
  }
  ~Buffer() { std::free(data); }
  Buffer(const Buffer&) = delete;

  Vector* data;
  int64_t blocks;
  std::vector<int32_t> order;
};

// GFLOP/s of one thread over all its blocks, several times; 64 multiply-adds a block.
template <bool random>
double rate(const Buffer& b, int64_t rounds, float* sum) {
  Vector acc[blocks_at_once * vectors] = {};
  const Vector factor = Vector{} + 1e-6f;
  const int32_t* order = b.order.data();
#pragma omp barrier
  const double begun = omp_get_wtime();
  for (int64_t r = 0; r < rounds; ++r) {
    const Vector* data = b.data;
    asm volatile("" : "+r"(data));  // may be another address each round: nothing can be kept from the last
    for (int64_t i = 0; i < b.blocks; i += blocks_at_once)
#pragma GCC unroll 4
      for (int k = 0; k < blocks_at_once; ++k) {
        const Vector* from = data + vectors * (random ? order[i + k] : i + k);
#pragma GCC unroll 16
        for (int j = 0; j < vectors; ++j) acc[k * vectors + j] += from[j] * factor;
      }
  }
#pragma omp barrier
  const double taken = omp_get_wtime() - begun;
#pragma GCC unroll 16
  for (int i = 0; i < blocks_at_once * vectors; ++i) *sum += acc[i][0];
  return 128e-9 * rounds * b.blocks / taken;
}

template <bool random>
void measure(const char* level, int64_t bytes, int threads, double seconds, bool last) {
  std::vector<double> rates(trials);
  float kept = 0;
#pragma omp parallel num_threads(threads) reduction(+ : kept)
  {
    const Buffer b(bytes);
    float sum = 0;
    rate<random>(b, 1, &sum);
    const double guess = rate<random>(b, 16, &sum);
    int64_t rounds = std::max<int64_t>(16, seconds / trials * guess * 1e9 / (128.0 * b.blocks));
#pragma omp barrier
    static int64_t agreed;
#pragma omp master
    agreed = rounds;
#pragma omp barrier
    rounds = agreed;
    for (int t = 0; t < trials; ++t) {
      const double own = rate<random>(b, rounds, &sum);
#pragma omp master
      rates[t] = threads * own;
    }
    kept += sum;
  }
  std::sort(rates.begin(), rates.end());
  std::printf("  {\"level\": \"%s\", \"bytes\": %lld, \"access\": \"%s\", \"median\": %.1f, \"best\": %.1f}%s\n", level,
              static_cast<long long>(bytes), random ? "random" : "stream", rates[trials / 2],
              kept > 0 ? rates.back() : 0.0, last ? "" : ",");
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 2;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 0.5;
  std::printf("[\n");
  measure<false>("L1", 16 << 10, threads, seconds, false);
  measure<true>("L1", 16 << 10, threads, seconds, false);
  measure<false>("L2", 512 << 10, threads, seconds, false);
  measure<true>("L2", 512 << 10, threads, seconds, false);
  measure<false>("L3", 3 << 20, threads, seconds, false);
  measure<true>("L3", 3 << 20, threads, seconds, true);
  std::printf("]\n");
}
