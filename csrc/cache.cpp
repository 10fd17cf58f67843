#include "cache.hpp"

#include <atomic>
#include <cstdio>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

namespace dsae {
namespace {

constexpr int64_t kSmallest = 256 << 10, kLargest = 2 << 20, kUnknown = 1 << 20;

int64_t from_library() {
#ifdef _SC_LEVEL2_CACHE_SIZE
  return sysconf(_SC_LEVEL2_CACHE_SIZE);
#else
  return 0;
#endif
}

// "2" in level and "1024K" in size of one of the first processor's caches.
int64_t from_sys() {
#ifdef __linux__
  for (int index = 0; index < 8; ++index) {
    const auto number = [&](const char* name) -> int64_t {
      char path[80];
      std::snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, name);
      std::FILE* const file = std::fopen(path, "r");
      if (!file) return 0;
      long value = 0;
      char unit = 0;
      const int found = std::fscanf(file, "%ld%c", &value, &unit);
      std::fclose(file);
      return found < 1 ? 0 : value * (unit == 'K' ? 1 << 10 : unit == 'M' ? 1 << 20 : 1);
    };
    if (number("level") == 2) return number("size");
  }
#endif
  return 0;
}

// Leaf 4 (Intel) and leaf 0x8000001d (AMD) describe one cache for each subleaf.
int64_t from_processor() {
#if defined(__x86_64__) || defined(__i386__)
  for (unsigned leaf : {4u, 0x8000001du})
    for (unsigned index = 0, a, b, c, d; index < 8 && __get_cpuid_count(leaf, index, &a, &b, &c, &d) && (a & 31);
         ++index)
      if ((a >> 5 & 7) == 2)
        return int64_t{(b >> 22) + 1} * ((b >> 12 & 1023) + 1) * ((b & 4095) + 1) * (int64_t{c} + 1);
#endif
  return 0;
}

int64_t from_system() {
#ifdef __APPLE__
  int64_t bytes = 0;
  size_t size = sizeof bytes;
  if (!sysctlbyname("hw.l2cachesize", &bytes, &size, nullptr, 0)) return bytes;
#endif
  return 0;
}

int64_t measured() {
  for (auto ask : {from_library, from_sys, from_processor, from_system})
    if (const int64_t bytes = ask(); bytes > 0)
      return bytes < kSmallest ? kSmallest : bytes > kLargest ? kLargest : bytes;
  return kUnknown;
}

std::atomic<int64_t> current = 0;

}  // namespace

int64_t l2_bytes() {
  const int64_t known = current.load(std::memory_order_relaxed);
  if (known) return known;
  const int64_t found = measured();
  current.store(found, std::memory_order_relaxed);
  return found;
}

int64_t set_l2_bytes(int64_t bytes) {
  const int64_t before = l2_bytes();
  current.store(bytes, std::memory_order_relaxed);
  return before;
}

}  // namespace dsae
