// A thread pool for busy machines: helpers spin briefly after their last part, then yield, then sleep. When the caller
// finishes its own part, it also runs every part that no helper has started, so it never waits for a thread that the
// system has not scheduled yet. docs/design/threads.md has the measurements.
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

// A bound on the memory of a Pool, 160 bytes a helper; any value above the cores of a machine does.
constexpr int kMaxThreads = 256;

using Clock = std::chrono::steady_clock;
// Between two kernels of one training step there are about 20 us of Python or one torch operation, while waking a
// sleeping thread takes about 50 us, and longer in virtual machines.
constexpr auto kSpin = std::chrono::microseconds(50);
constexpr auto kYield = std::chrono::microseconds(500);

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns true as soon as ready() does, and false if it has not by the time `spin` and then `yield` have passed.
template <class Ready>
bool spin_until(const Ready& ready, Clock::duration spin, Clock::duration yield) {
  const auto begun = Clock::now();
  for (;;) {
    for (int i = 0; i < 32; ++i) {  // the clock is read once in a while; any such number does
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

// A helper and the part it is offered. `state_` says whether the caller or the helper acts next; either wakes the other
// if it finds it asleep.
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

  // Runs the part here if the helper has not started it. Otherwise waits for the helper: awake for as long as an equal
  // part took, then asleep. It does not yield, since on a busy core every yield costs whole time slices of others.
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

  // Returns fewer than n if the system has no more threads, or no memory for them.
  int start(int n) {
    try {
      for (; started_ < n; ++started_) std::thread([helper = &helpers_[started_]] { helper->serve(); }).detach();
    } catch (const std::system_error&) {
    } catch (const std::bad_alloc&) {
    }
    return n < started_ ? n : started_;
  }

 public:
  // Returns false, having done nothing, while another thread of the program is using the helpers.
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

// Never destroyed, because helpers sleep in it until the process ends. A forked child has none of its parent's threads,
// so it creates a pool of its own.
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

// From the OpenMP runtime that torch loads into the global namespace; null before torch is imported, or without one.
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
