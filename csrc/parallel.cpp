// A pool of threads that yields: helpers spin for a moment after their last part, then sleep, and a part that no helper
// has taken up when the caller is done with its own is done by the caller. On a busy machine nobody waits for a thread
// that has not run yet. docs/design/threads.md has the measurements.
#include "parallel.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>
#include <pthread.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif

namespace dsae {
namespace {

constexpr int kMaxThreads = 256;

using Clock = std::chrono::steady_clock;
// From the end of a kernel to the start of the next one of the same step pass some 20 us of Python, or an operation of
// torch; waking a sleeper takes some 50 us, in virtual machines more.
constexpr auto kSpin = std::chrono::microseconds(50);
constexpr auto kYield = std::chrono::microseconds(500);

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// True as soon as ready() is; false after having spun and then yielded so long in vain.
template <class Ready>
bool spin_until(const Ready& ready, Clock::duration spin, Clock::duration yield) {
  const auto begun = Clock::now();
  for (;;) {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      pause();
    }
    const auto waited = Clock::now() - begun;
    if (waited > spin + yield) return false;
    if (waited > spin) std::this_thread::yield();
  }
}

thread_local int own_max_threads = 0;
thread_local bool inside_a_part = false;

struct Job {
  PartBody* body;
  const void* context;
  int n_parts;
  std::atomic<bool> failed{false};
  std::exception_ptr error;

  void run(int part) noexcept {
    inside_a_part = true;
    try {
      body(context, part, n_parts);
    } catch (...) {
      if (!failed.exchange(true)) error = std::current_exception();
    }
    inside_a_part = false;
  }
};

// A helper and the part it is offered. The word `state` says whose move it is; whoever finds the other asleep wakes it.
class Helper {
  enum State { idle, asleep, offered, running, awaited };
  std::atomic<int> state_{idle};
  Job* job_ = nullptr;
  int part_ = 0;
  std::mutex mutex_;
  std::condition_variable work_, done_;

  void wake(std::condition_variable& who) {
    {
      const std::lock_guard lock(mutex_);
    }
    who.notify_one();
  }

  bool move(int from, int to) { return state_.compare_exchange_strong(from, to); }

  void await_offer() {
    const auto there = [&] { return state_.load(std::memory_order_relaxed) == offered; };
    if (spin_until(there, kSpin, kYield)) return;
    std::unique_lock lock(mutex_);
    if (move(idle, asleep)) work_.wait(lock, [&] { return state_ != asleep; });
  }

 public:
  void offer(Job* job, int part) {
    job_ = job, part_ = part;
    if (state_.exchange(offered) == asleep) wake(work_);
  }

  // Takes the part back if the helper has not begun it, else waits for its end: awake for as long as an equal part
  // took, and without yielding, for where others want the core a yield costs their whole time slices.
  void finish(Job* job, int part, Clock::duration usual) {
    if (move(offered, idle)) return job->run(part);
    const auto ended = [&] { return state_ == idle || state_ == asleep; };
    if (spin_until(ended, kSpin + usual, {})) return;
    std::unique_lock lock(mutex_);
    if (move(running, awaited)) done_.wait(lock, [&] { return state_ != awaited; });
  }

  [[noreturn]] void serve() {
    for (;;) {
      await_offer();
      if (!move(offered, running)) continue;
      job_->run(part_);
      if (state_.exchange(idle) == awaited) wake(done_);
    }
  }
};

class Pool {
  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
  Helper helpers_[kMaxThreads];
  int started_ = 0;

  // Fewer where the system has no more threads, or no memory for them.
  int start(int n) {
    try {
      for (; started_ < n; ++started_) std::thread([helper = &helpers_[started_]] { helper->serve(); }).detach();
    } catch (const std::system_error&) {
    } catch (const std::bad_alloc&) {
    }
    return n < started_ ? n : started_;
  }

 public:
  // False, and nothing done, while another thread of the program has the helpers.
  bool run(Job* job) {
    if (busy_.test_and_set(std::memory_order_acquire)) return false;
    const int n = start(job->n_parts - 1);
    for (int i = 0; i < n; ++i) helpers_[i].offer(job, i + 1);
    const auto begun = Clock::now();
    job->run(0);
    const auto usual = Clock::now() - begun;
    for (int part = n + 1; part < job->n_parts; ++part) job->run(part);
    for (int i = 0; i < n; ++i) helpers_[i].finish(job, i + 1, usual);
    busy_.clear(std::memory_order_release);
    return true;
  }
};

// Never destroyed: helpers sleep in it until the process ends. A child has none of its parent's threads and starts
// anew.
std::atomic<Pool*> pool{nullptr};

Pool* the_pool() {
  static const bool watched = [] {
#if defined(__unix__) || defined(__APPLE__)
    pthread_atfork(nullptr, nullptr, [] { pool = nullptr; });
#endif
    return true;
  }();
  (void)watched;
  Pool* now = pool;
  if (!now) {
    Pool* const fresh = new Pool;
    if (pool.compare_exchange_strong(now, fresh)) return fresh;
    delete fresh;
  }
  return now;
}

using GetInt = int();

// The OpenMP runtime of torch, which loads it for everyone to find; null before, and where there is none.
GetInt* omp_max_threads() {
#if defined(__unix__) || defined(__APPLE__)
  static std::atomic<GetInt*> found{nullptr};
  if (!found) found = reinterpret_cast<GetInt*>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
  return found;
#else
  return nullptr;
#endif
}

int threads_of_the_environment() {
  static const int n = [] {
    const char* const text = std::getenv("OMP_NUM_THREADS");
    const int wanted = text ? std::atoi(text) : 0;
    if (wanted > 0) return wanted;
#ifdef __linux__
    cpu_set_t cpus;
    if (!sched_getaffinity(0, sizeof cpus, &cpus)) return CPU_COUNT(&cpus);
#endif
    const unsigned cores = std::thread::hardware_concurrency();
    return cores ? static_cast<int>(cores) : 1;
  }();
  return n;
}

}  // namespace

int max_threads() {
  if (inside_a_part) return 1;
  const int own = own_max_threads;
  GetInt* const omp = own > 0 ? nullptr : omp_max_threads();
  const int n = own > 0 ? own : omp ? omp() : threads_of_the_environment();
  return n < 1 ? 1 : n > kMaxThreads ? kMaxThreads : n;
}

int set_max_threads(int n) {
  const int before = own_max_threads;
  own_max_threads = n;
  return before;
}

void run_parts(int n_parts, PartBody* body, const void* context) {
  Job job{body, context, n_parts};
  if (!the_pool()->run(&job))
    for (int part = 0; part < n_parts; ++part) job.run(part);
  if (job.failed) std::rethrow_exception(job.error);
}

}  // namespace dsae
