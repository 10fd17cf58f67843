#include "pool.hpp"

#include <cstdint>
#include <iterator>
#include <mutex>
#include <new>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace dsae {
namespace {

constexpr size_t kLine = 64, kSmall = 64 << 10, kHugePage = 2 << 20;
constexpr size_t kMaxKept = 256 << 20;

struct Block {
  void* data;
  size_t size;
};

// Eight sizes for every doubling, so that a block serves requests of nearly its size.
size_t rounded(size_t bytes) {
  size_t step = kLine;
  while (step * 16 <= bytes) step *= 2;
  return (bytes + step) / step * step;
}

std::align_val_t alignment(size_t size) { return std::align_val_t{size < kHugePage ? kLine : kHugePage}; }

void* fresh(size_t size) {
  void* const data = operator new(size, alignment(size));
#ifdef __linux__
  if (size >= kHugePage) madvise(data, size, MADV_HUGEPAGE);
#endif
  return data;
}

void free_block(const Block& block) noexcept { operator delete(block.data, alignment(block.size)); }

struct Pool {
  std::mutex mutex;
  std::vector<Block> kept;  // the longest unused first
  size_t kept_bytes = 0;

  Pool() { kept.reserve(kMaxKept / kSmall); }  // so that keeping a block cannot fail
};

// Never destroyed: the last array may be freed when statics are gone.
Pool& pool() {
  static Pool& only = [&]() -> Pool& {
    static Pool* const made = new Pool;
#if defined(__unix__) || defined(__APPLE__)
    pthread_atfork([] { made->mutex.lock(); }, [] { made->mutex.unlock(); }, [] { made->mutex.unlock(); });
#endif
    return *made;
  }();
  return only;
}

}  // namespace

void* allocate(size_t bytes) {
  if (bytes > PTRDIFF_MAX / 2) throw std::bad_alloc();
  const size_t size = rounded(bytes);
  if (size >= kSmall) {
    Pool& p = pool();
    const std::lock_guard lock(p.mutex);
    for (auto block = p.kept.rbegin(); block != p.kept.rend(); ++block)
      if (block->size == size) {
        void* const data = block->data;
        p.kept.erase(std::next(block).base());
        p.kept_bytes -= size;
        return data;
      }
  }
  return fresh(size);
}

void release(void* data, size_t bytes) noexcept {
  const size_t size = rounded(bytes);
  if (size < kSmall || size > kMaxKept) return free_block({data, size});
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  while (p.kept_bytes + size > kMaxKept) {
    p.kept_bytes -= p.kept.front().size;
    free_block(p.kept.front());
    p.kept.erase(p.kept.begin());
  }
  p.kept.push_back({data, size});
  p.kept_bytes += size;
}

void clear_cache() noexcept {
  Pool& p = pool();
  const std::lock_guard lock(p.mutex);
  for (const Block& block : p.kept) free_block(block);
  p.kept.clear();
  p.kept_bytes = 0;
}

}  // namespace dsae
