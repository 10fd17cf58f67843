// The only file that names OpenMP, and the only one that touches the floating-point control register.
#pragma once

#include <cstdint>

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace dsae {
namespace {

// Work (multiply-adds, or bytes moved) below which waking a second thread costs more than it saves.
constexpr int64_t kWorkPerThread = 1 << 17;

inline int max_threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

inline void set_max_threads(int n) {
#ifdef _OPENMP
  omp_set_num_threads(n);
#else
  (void)n;
#endif
}

// One subnormal operand slows a dot product eightfold; sparse layers collect them.
class FlushSubnormals {
#if defined(__SSE__)
  unsigned saved_ = _mm_getcsr();

 public:
  FlushSubnormals() { _mm_setcsr(saved_ | 0x8040); }  // FTZ | DAZ
  ~FlushSubnormals() { _mm_setcsr(saved_); }
#else
 public:
  FlushSubnormals() {}
#endif
};

// body(thread, n_threads), once on every thread.
template <class Body>
inline void parallel(int64_t work, const Body& body) {
  const int64_t useful = work / kWorkPerThread + 1;
  const int n = useful < max_threads() ? static_cast<int>(useful) : max_threads();
  if (n == 1) {
    FlushSubnormals flush;
    return body(0, 1);
  }
#ifdef _OPENMP
#pragma omp parallel num_threads(n)
  {
    FlushSubnormals flush;
    body(omp_get_thread_num(), omp_get_num_threads());
  }
#endif
}

// body(begin, end) over [0, size), in equal parts.
template <class Body>
inline void parallel_range(int64_t size, int64_t work, const Body& body) {
  parallel(work, [&](int thread, int n) { body(size * thread / n, size * (thread + 1) / n); });
}

}  // namespace
}  // namespace dsae
