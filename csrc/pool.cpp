#include "pool.hpp"

#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace dsae {
namespace {

constexpr size_t kLine = 64, kSmall = 64 << 10, kHugePage = 2 << 20;
constexpr size_t kMaxKept = 256 << 20;

struct Block {
  void* data;
  size_t size;
};

std::mutex mutex;
std::vector<Block> kept;  // the longest unused first
size_t kept_bytes = 0;

// Eight sizes for every doubling, so that a block serves requests of nearly its size.
size_t rounded(size_t bytes) {
  size_t step = kLine;
  while (step * 16 <= bytes) step *= 2;
  return (bytes + step) / step * step;
}

void* fresh(size_t size) {
  void* data = nullptr;
  if (posix_memalign(&data, size < kHugePage ? kLine : kHugePage, size)) throw std::bad_alloc();
#ifdef __linux__
  if (size >= kHugePage) madvise(data, size, MADV_HUGEPAGE);
#endif
  return data;
}

}  // namespace

void* take(size_t bytes) {
  if (bytes > PTRDIFF_MAX / 2) throw std::bad_alloc();
  const size_t size = rounded(bytes);
  if (size >= kSmall) {
    const std::lock_guard lock(mutex);
    for (auto block = kept.rbegin(); block != kept.rend(); ++block)
      if (block->size == size) {
        void* const data = block->data;
        kept.erase(std::next(block).base());
        kept_bytes -= size;
        return data;
      }
  }
  return fresh(size);
}

void give_back(void* data, size_t bytes) noexcept {
  const size_t size = rounded(bytes);
  if (size < kSmall || size > kMaxKept) return std::free(data);
  const std::lock_guard lock(mutex);
  while (kept_bytes + size > kMaxKept) {
    kept_bytes -= kept.front().size;
    std::free(kept.front().data);
    kept.erase(kept.begin());
  }
  kept.push_back({data, size});
  kept_bytes += size;
}

}  // namespace dsae
