// Threads as the kernels see them, and the only file that touches the floating-point control register.
#pragma once

#include <cstdint>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace dsae {

// How many threads a kernel called from this thread may use: set_max_threads of this thread, else what the OpenMP
// runtime that torch has loaded says (torch.set_num_threads), else OMP_NUM_THREADS, else the CPUs this process may run
// on.
int max_threads();
// For this thread; 0 follows torch and the environment. Gives what it was.
int set_max_threads(int n);

// Calls body(context, part, n_parts) for every part in [0, n_parts), on as many threads as are free, the calling one
// among them. What a body throws is thrown again here, once all parts have ended.
using PartBody = void(const void* context, int part, int n_parts);
void run_parts(int n_parts, PartBody* body, const void* context);

namespace {

// Work (multiply-adds, or bytes moved) below which waking a second thread costs more than it saves: some 20 us of one.
constexpr int64_t kWorkPerThread = 1 << 19;

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

// How many parts so much work is worth: no more than there are threads.
inline int parts_for(int64_t work) {
  const int64_t useful = work / kWorkPerThread + 1;
  const int threads = useful > 1 ? max_threads() : 1;
  return useful < threads ? static_cast<int>(useful) : threads;
}

// body(part, n), once for every part of n. What bodies need to allocate is allocated before: kernels of an instruction
// set are compiled without exceptions.
template <class Body>
inline void in_parts(int n, const Body& body) {
  if (n == 1) {
    FlushSubnormals flush;
    return body(0, 1);
  }
  run_parts(
      n,
      [](const void* context, int part, int n_parts) {
        FlushSubnormals flush;
        (*static_cast<const Body*>(context))(part, n_parts);
      },
      &body);
}

template <class Body>
inline void parallel(int64_t work, const Body& body) {
  in_parts(parts_for(work), body);
}

// body(begin, end) over [0, size), in equal parts.
template <class Body>
inline void parallel_range(int64_t size, int64_t work, const Body& body) {
  parallel(work, [&](int part, int n) { body(size * part / n, size * (part + 1) / n); });
}

}  // namespace
}  // namespace dsae
