// What libtorch's allocators have given out, counted to the byte.
#include "internal.h"
#include <atomic>
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

namespace {
// Each block is rounded up to 512 bytes, as CUDA's caching allocator does, so that the CPU's figure means the same.
struct Count {
  std::atomic<int64_t> now{0}, peak{0}, blocks{0};
  void add(int64_t bytes) {
    int64_t n = now.fetch_add(r512(bytes), std::memory_order_relaxed) + r512(bytes);
    int64_t p = peak.load(std::memory_order_relaxed);
    while (n > p && !peak.compare_exchange_weak(p, n, std::memory_order_relaxed)) {}
    blocks.fetch_add(1, std::memory_order_relaxed);
  }
  void sub(int64_t bytes) {
    now.fetch_sub(r512(bytes), std::memory_order_relaxed);
    blocks.fetch_sub(1, std::memory_order_relaxed);
  }
};
Count g_cpu, g_meta;
// Where this thread's blocks on the CPU count. A thread that forecasts counts the few that libtorch makes there, scalars, with
// those of the meta device, and a second block for each: on the CPU an operator on floats converts its scalar first.
thread_local Count *t_count = &g_cpu;

struct Head {
  Count *count;
  int64_t bytes;
};
constexpr size_t kHead = 64; // keeps libtorch's 64-byte alignment
static_assert(sizeof(Head) <= kHead);

void release(void *p) {
  if (!p) return;
  char *base = static_cast<char *>(p) - kHead;
  auto *h = reinterpret_cast<Head *>(base);
  h->count->sub(h->bytes);
  c10::free_cpu(base);
}

struct CPUAllocator final : at::Allocator {
  at::DataPtr allocate(size_t n) override {
    if (n == 0) return {nullptr, nullptr, &release, at::Device(at::kCPU)};
    char *base = static_cast<char *>(c10::alloc_cpu(n + kHead));
    auto *h = new (base) Head{t_count, static_cast<int64_t>(n)};
    if (t_count == &g_meta && n == sizeof(double)) h->bytes += 512;
    h->count->add(h->bytes);
    return {base + kHead, base + kHead, &release, at::Device(at::kCPU)};
  }
  void copy_data(void *d, const void *s, std::size_t n) const override { default_copy_data(d, s, n); }
  at::DeleterFnPtr raw_deleter() const override { return &release; }
};

bool g_replaces = false; // the next block of the meta device is no peak: an equal one is freed right after

// The meta device's tensors have no memory; what they would take is counted all the same.
struct MetaAllocator final : at::Allocator {
  static void forget(void *p) {
    auto *bytes = static_cast<int64_t *>(p);
    g_meta.sub(*bytes);
    delete bytes;
  }
  at::DataPtr allocate(size_t n) override {
    if (n == 0) return {nullptr, nullptr, &forget, at::Device(at::kMeta)};
    if (g_replaces) {
      g_replaces = false;
      g_meta.now += r512(static_cast<int64_t>(n));
      g_meta.blocks++;
    } else {
      g_meta.add(static_cast<int64_t>(n));
    }
    return {nullptr, new int64_t(n), &forget, at::Device(at::kMeta)};
  }
  void copy_data(void *, const void *, std::size_t) const override {}
  at::DeleterFnPtr raw_deleter() const override { return &forget; }
};
CPUAllocator g_cpu_allocator;
MetaAllocator g_meta_allocator;

c10::CachingDeviceAllocator::DeviceStats cuda(int device) {
  return c10::getDeviceAllocator(at::kCUDA)->getDeviceStats(static_cast<c10::DeviceIndex>(device));
}
constexpr int kAll = static_cast<int>(c10::CachingAllocator::StatType::AGGREGATE);
} // namespace

int64_t peak_of(int device) {
  if (device >= 0) return cuda(device).allocated_bytes[kAll].peak;
  return (device == kMeta ? g_meta : g_cpu).peak.load(std::memory_order_relaxed);
}

void meta_replaces() { g_replaces = true; }

extern "C" {
void pm_count_enable(void) {
  c10::SetCPUAllocator(&g_cpu_allocator, 255);
  c10::SetAllocator(at::kMeta, &g_meta_allocator, 255);
}
void pm_forecast(int on) { t_count = on ? &g_meta : &g_cpu; }
int64_t pm_live_blocks(void) { return g_cpu.blocks; }
int pm_stats_get(int device, pm_stats *out) {
  if (device < 0) {
    Count &c = device == kMeta ? g_meta : g_cpu;
    *out = {c.now, c.peak, 0, 0};
    return 0;
  }
  PM_TRY(auto s = cuda(device);
         *out = {s.allocated_bytes[kAll].current, s.allocated_bytes[kAll].peak, s.reserved_bytes[kAll].current, s.reserved_bytes[kAll].peak};
         return 0;)
  return -1;
}
int pm_peak_reset(int device) {
  if (device < 0) {
    Count &c = device == kMeta ? g_meta : g_cpu;
    c.peak = c.now.load();
    return 0;
  }
  PM_TRY(c10::getDeviceAllocator(at::kCUDA)->resetPeakStats(static_cast<c10::DeviceIndex>(device)); return 0;)
  return -1;
}
}
