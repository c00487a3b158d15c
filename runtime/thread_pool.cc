#include "thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

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

// Forks between the start of the first process and this one.
std::atomic<unsigned> forks{0};

unsigned count_forks() {
  static const int registered =
      pthread_atfork(nullptr, nullptr, [] { ++forks; });
  static_cast<void>(registered);
  return forks;
}

}  // namespace

// The threads beside the caller's, and what they wait on.
class ThreadPool::Crew {
 public:
  explicit Crew(int size) {
    try {
      for (int i = 1; i <= size; ++i)
        workers_.emplace_back([this, i] { work(i); });
    } catch (const std::system_error&) {
      return;  // those that the system gave do it all
    }
  }

  ~Crew() {
    {
      std::lock_guard<std::mutex> lock(sleep_mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  // False, with nothing run, while another call is under way.
  bool run(Task task, void* state, int64_t units);

 private:
  void work(int thread);
  // Joins a call later than `last_call`, which becomes that; false at the end.
  bool join_call(uint64_t* last_call);
  void take_units(int thread);

  Task task_ = nullptr;
  void* state_ = nullptr;
  int64_t units_ = 0;
  int64_t chunk_ = 1;
  std::atomic<int64_t> next_{0};
  // The number of the call, whether threads may still join it, how many have.
  // A thread that another program keeps from running is not waited for.
  std::atomic<uint64_t> gate_{0};
  std::atomic<bool> stop_{false};
  std::atomic<int> sleepers_{0};
  std::mutex run_mutex_;
  std::mutex sleep_mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

void ThreadPool::Crew::take_units(int thread) {
  for (;;) {
    const int64_t begin = next_.fetch_add(chunk_);
    if (begin >= units_) return;
    task_(state_, thread, begin, std::min(units_, begin + chunk_));
  }
}

bool ThreadPool::Crew::join_call(uint64_t* last_call) {
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

void ThreadPool::Crew::work(int thread) {
  for (uint64_t last_call = 0; join_call(&last_call);) {
    take_units(thread);
    --gate_;
  }
}

bool ThreadPool::Crew::run(Task task, void* state, int64_t units) {
  std::unique_lock<std::mutex> only_call(run_mutex_, std::try_to_lock);
  if (!only_call.owns_lock()) return false;
  task_ = task;
  state_ = state;
  units_ = units;
  const auto threads = static_cast<int64_t>(workers_.size()) + 1;
  chunk_ = std::max<int64_t>(1, units / (4 * threads));
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
  return true;
}

ThreadPool::ThreadPool(int threads)
    : threads_(std::max(threads, 1)), forks_(count_forks()) {
  if (threads_ > 1) crew_ = std::make_unique<Crew>(threads_ - 1);
}

ThreadPool::~ThreadPool() {
  // Whoever joined, woke or destroyed these threads here would wait for them,
  // so their memory stays.
  if (is_forked()) static_cast<void>(crew_.release());
}

bool ThreadPool::is_forked() const { return forks_ != forks; }

void ThreadPool::run(Task task, void* state, int64_t units) {
  if (crew_ == nullptr || units < 2 || is_forked() ||
      !crew_->run(task, state, units)) {
    task(state, 0, 0, units);
  }
}

}  // namespace aqe
