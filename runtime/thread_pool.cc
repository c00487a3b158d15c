#include "thread_pool.h"

#include <algorithm>

namespace aqe {
namespace {

// Layers follow each other within microseconds, so a thread waits this many
// rounds awake before it sleeps or yields.
constexpr int kSpinRounds = 1000;

constexpr uint64_t kJoined = 0xffff, kOpen = 1 << 16, kCall = 1 << 17;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i)
    workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(sleep_mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::take_units(int thread) {
  for (;;) {
    const int64_t begin = next_.fetch_add(chunk_);
    if (begin >= units_) return;
    task_(state_, thread, begin, std::min(units_, begin + chunk_));
  }
}

bool ThreadPool::join_call(uint64_t* last_call) {
  for (int round = 0; !stop_; ++round) {
    uint64_t gate = gate_;
    if ((gate & kOpen) && gate / kCall != *last_call) {
      if (!gate_.compare_exchange_weak(gate, gate + 1)) continue;
      *last_call = gate / kCall;
      return true;
    }
    if (round < kSpinRounds) {
      pause();
      continue;
    }
    std::unique_lock<std::mutex> lock(sleep_mutex_);
    ++sleepers_;
    wake_.wait(lock, [&] {
      const uint64_t now = gate_;
      return stop_ || ((now & kOpen) && now / kCall != *last_call);
    });
    --sleepers_;
  }
  return false;
}

void ThreadPool::work(int thread) {
  for (uint64_t last_call = 0; join_call(&last_call);) {
    take_units(thread);
    --gate_;
  }
}

void ThreadPool::run(Task task, void* state, int64_t units) {
  std::unique_lock<std::mutex> only_call(run_mutex_, std::try_to_lock);
  if (!only_call.owns_lock() || workers_.empty() || units < 2) {
    task(state, 0, 0, units);
    return;
  }
  task_ = task;
  state_ = state;
  units_ = units;
  chunk_ = std::max<int64_t>(1, units / (4 * threads()));
  next_ = 0;
  gate_ = (gate_ / kCall + 1) * kCall + kOpen;
  if (sleepers_ > 0) {
    {
      std::lock_guard<std::mutex> lock(sleep_mutex_);
    }
    wake_.notify_all();
  }
  take_units(0);
  gate_ &= ~kOpen;
  for (int round = 0; (gate_ & kJoined) != 0; ++round) {
    round < kSpinRounds ? pause() : std::this_thread::yield();
  }
}

}  // namespace aqe
