// The pool: every part runs once, whoever calls; errors come back; a forked child has threads of its own.
#include <atomic>
#include <new>
#include <thread>

#include "laws.hpp"
#include "pool.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace dsae_tests {
namespace {

constexpr int64_t kWork = int64_t{1} << 40;

bool every_part_runs_once(int n_threads) {
  dsae::set_max_threads(n_threads);
  std::atomic<int> calls[64] = {};
  dsae::parallel(kWork, [&](int part, int n) { calls[part] += n == n_threads && dsae::max_threads() <= n_threads; });
  bool good = true;
  for (int part = 0; part < 64; ++part) good &= calls[part] == (part < n_threads);
  return good;
}

bool a_child_works() {
#if defined(__unix__) || defined(__APPLE__)
  const pid_t child = fork();
  if (!child) {
    alarm(30);  // a hang ends it
    dsae::release(dsae::allocate(1 << 20), 1 << 20);
    _exit(every_part_runs_once(3) ? 0 : 1);
  }
  int status = 1;
  waitpid(child, &status, 0);
  return !status;
#else
  return true;
#endif
}

}  // namespace

void test_threads() {
  for (int n : {1, 2, 3, 7, 64}) check(every_part_runs_once(n), "every part runs once, threads " + std::to_string(n));
  for (int failing : {0, 1, 4}) {
    bool caught = false;
    dsae::set_max_threads(5);
    try {
      dsae::parallel(kWork, [&](int part, int) {
        if (part == failing) throw std::bad_alloc();
      });
    } catch (const std::bad_alloc&) {
      caught = true;
    }
    check(caught && every_part_runs_once(5), "an error comes back from part " + std::to_string(failing));
  }
  dsae::set_max_threads(3);
  int inner = 0;
  dsae::parallel(kWork, [&](int part, int) {
    if (!part) dsae::parallel(kWork, [&](int, int n) { inner = n; });
  });
  check(inner == 1, "a part has one thread");
  std::atomic<int> good{0};
  std::thread callers[4];
  for (auto& caller : callers)
    caller = std::thread([&] {
      for (int i = 0; i < 200; ++i) good += every_part_runs_once(3);
    });
  for (auto& caller : callers) caller.join();
  check(good == 800, "several callers at once");
  check(a_child_works() && a_child_works(), "a child after a fork");
  check(every_part_runs_once(3), "its parent");
}

}  // namespace dsae_tests
