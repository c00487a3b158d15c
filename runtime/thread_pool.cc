#include "thread_pool.h"

#include <pthread.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace aqe {
namespace {

using Clock = std::chrono::steady_clock;

// A thread that waits looks without a pause for so long, before it lets other
// threads have the CPU between one look and the next.
constexpr std::chrono::microseconds kEager{100};

// The gate of a call, in one word that threads pass around: threads beside the
// caller's that are inside, parts that nobody has taken, how many threads the
// call is for. Who takes a part of it is inside until there is none left.
constexpr uint64_t kInside = 1, kLeft = uint64_t{1} << 16,
                   kWidth = uint64_t{1} << 48;

constexpr uint64_t inside_of(uint64_t gate) { return gate % kLeft; }
constexpr int64_t left_of(uint64_t gate) {
  return static_cast<int64_t>(gate % kWidth / kLeft);
}
constexpr int width_of(uint64_t gate) {
  return static_cast<int>(gate / kWidth);
}

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until something holds: without a pause at first, then politely.
class Wait {
 public:
  // False when it has been waited for so long.
  bool once_more(std::chrono::nanoseconds patience) {
    if (is_eager_) {
      pause();
      if (++rounds_ % 32 != 0) return true;
      const auto now = Clock::now();
      if (rounds_ == 32) began_ = now;
      is_eager_ = now - began_ < kEager;
      return true;
    }
    if (Clock::now() - began_ >= patience) return false;
    std::this_thread::yield();
    return true;
  }

 private:
  bool is_eager_ = true;
  int rounds_ = 0;
  Clock::time_point began_;
};

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
  Crew(int size, std::chrono::nanoseconds patience)
      : patience_(patience), seats_(size + 1) {
    try {
      for (int i = 1; i <= size; ++i)
        workers_.emplace_back([this, i] { work(i); });
    } catch (const std::system_error&) {
      return;  // those that the system gave do it all
    }
  }

  ~Crew() {
    stop_ = true;
    for (Seat& seat : seats_) wake(seat);
    for (std::thread& worker : workers_) worker.join();
  }

  // False, with nothing run, while another call is under way.
  bool run(Task task, void* state, int64_t units, const Split& split);

  Counts counts() const;

 private:
  // Of one thread, 0 being whichever calls. Counts are its own, so that threads
  // do not pass one cache line around.
  struct alignas(64) Seat {
    std::mutex mutex;
    std::condition_variable condition;
    std::atomic<bool> sleeps{false};
    std::atomic<int64_t> calls{0}, parts{0}, joins{0}, wakes{0};
  };

  // Adds to a counter that one thread alone writes.
  static void add(std::atomic<int64_t>& count, int64_t more) {
    count.store(count.load(std::memory_order_relaxed) + more,
                std::memory_order_relaxed);
  }

  // What is shared out, on one cache line. Written while nobody is inside.
  struct alignas(64) Call {
    std::atomic<uint64_t> gate{0};
    Task task = nullptr;
    void* state = nullptr;
    int64_t parts = 0, units_of_part = 0, larger_parts = 0;
    bool wakes = false;
  };

  void work(int thread);
  // Comes inside with a part of a call; -1 at the end.
  int64_t join_call(int thread);
  // The next part, or -1 where there is none: then the thread is outside.
  int64_t take_part(uint64_t leaving);
  // Computes this part and all that it can get.
  void compute(int thread, int64_t part, uint64_t leaving);
  static bool is_wanted(int thread, uint64_t gate) {
    return left_of(gate) > 0 && width_of(gate) > thread;
  }
  // Whether it slept: not if there is a call for it.
  bool sleep(int thread);
  void rest(int thread);
  // Whether the thread of the seat slept.
  bool wake(Seat& seat);
  // Wakes threads out of `width`: the caller one that sleeps, and each thread
  // the two that are its own to wake.
  void wake_first(int width);
  void wake_next(int thread, int width);

  const std::chrono::nanoseconds patience_;
  Call call_;
  std::mutex run_mutex_;
  std::atomic<bool> stop_{false};
  std::vector<Seat> seats_;
  std::vector<std::thread> workers_;
};

int64_t ThreadPool::Crew::take_part(uint64_t leaving) {
  for (uint64_t gate = call_.gate;;) {
    const int64_t left = left_of(gate);
    const uint64_t after = left > 0 ? gate - kLeft : gate - leaving;
    if (call_.gate.compare_exchange_weak(gate, after))
      return left > 0 ? call_.parts - left : -1;
  }
}

void ThreadPool::Crew::compute(int thread, int64_t part, uint64_t leaving) {
  const Call& call = call_;
  int64_t computed = 0;
  for (; part >= 0; part = take_part(leaving), ++computed) {
    const int64_t begin =
        part * call.units_of_part + std::min(part, call.larger_parts);
    const int64_t end = begin + call.units_of_part + (part < call.larger_parts);
    call.task(call.state, thread, begin, end);
  }
  add(seats_[thread].parts, computed);
}

bool ThreadPool::Crew::wake(Seat& seat) {
  if (!seat.sleeps) return false;
  std::lock_guard<std::mutex> lock(seat.mutex);
  if (!seat.sleeps) return false;
  seat.sleeps = false;
  seat.condition.notify_one();
  return true;
}

void ThreadPool::Crew::wake_first(int width) {
  for (int next = 1; next < width; ++next) {
    if (!wake(seats_[next])) continue;
    add(seats_[0].wakes, 1);
    return;
  }
}

void ThreadPool::Crew::wake_next(int thread, int width) {
  for (int next = 2 * thread; next <= 2 * thread + 1 && next < width; ++next) {
    if (wake(seats_[next])) add(seats_[thread].wakes, 1);
  }
}

bool ThreadPool::Crew::sleep(int thread) {
  Seat& seat = seats_[thread];
  std::unique_lock<std::mutex> lock(seat.mutex);
  seat.sleeps = true;
  // From here on a caller sees that the thread sleeps; before, the thread sees
  // the call.
  if (stop_ || is_wanted(thread, call_.gate)) {
    seat.sleeps = false;
    return false;
  }
  seat.condition.wait(lock, [&] { return !seat.sleeps; });
  return true;
}

void ThreadPool::Crew::rest(int thread) {
  // Whoever was woken wakes others, though the call may be over by now.
  if (sleep(thread)) wake_next(thread, width_of(call_.gate));
}

int64_t ThreadPool::Crew::join_call(int thread) {
  Wait wait;
  while (!stop_) {
    uint64_t gate = call_.gate;
    if (is_wanted(thread, gate)) {
      if (call_.gate.compare_exchange_weak(gate, gate + kInside - kLeft))
        return call_.parts - left_of(gate);
    } else if (!wait.once_more(patience_)) {
      rest(thread);
      wait = Wait();
    }
  }
  return -1;
}

void ThreadPool::Crew::work(int thread) {
  rest(thread);
  for (int64_t part; (part = join_call(thread)) >= 0;) {
    add(seats_[thread].joins, 1);
    if (call_.wakes) wake_next(thread, width_of(call_.gate));
    compute(thread, part, kInside);
  }
}

bool ThreadPool::Crew::run(Task task, void* state, int64_t units,
                           const Split& split) {
  std::unique_lock<std::mutex> only_call(run_mutex_, std::try_to_lock);
  if (!only_call.owns_lock()) return false;
  const int64_t parts = std::min(split.parts, units);
  const int width =
      std::min(split.threads, static_cast<int>(workers_.size()) + 1);
  call_.task = task;
  call_.state = state;
  call_.parts = parts;
  call_.units_of_part = units / parts;
  call_.larger_parts = units % parts;
  call_.wakes = split.wakes;
  // The caller has the first part.
  call_.gate = static_cast<uint64_t>(width) * kWidth +
               static_cast<uint64_t>(parts - 1) * kLeft;
  add(seats_[0].calls, 1);
  if (split.wakes) wake_first(width);
  compute(0, 0, 0);
  for (Wait wait; inside_of(call_.gate) != 0;)
    wait.once_more(std::chrono::nanoseconds::max());
  return true;
}

ThreadPool::Counts ThreadPool::Crew::counts() const {
  Counts counts;
  counts.calls = seats_[0].calls;
  counts.caller_wakes = seats_[0].wakes;
  for (const Seat& seat : seats_) {
    counts.parts += seat.parts;
    counts.joins += seat.joins;
    counts.wakes += seat.wakes;
    counts.sleepers += seat.sleeps;
  }
  return counts;
}

int available_cpus() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

ThreadPool::ThreadPool(int threads, std::chrono::nanoseconds patience)
    : threads_(std::max(threads, 1)), forks_(count_forks()) {
  if (threads_ > 1) crew_ = std::make_unique<Crew>(threads_ - 1, patience);
}

ThreadPool::~ThreadPool() {
  // Whoever joined, woke or destroyed these threads here would wait for them,
  // so their memory stays.
  if (is_forked()) static_cast<void>(crew_.release());
}

bool ThreadPool::is_forked() const { return forks_ != forks; }

ThreadPool::Counts ThreadPool::counts() const {
  return crew_ == nullptr ? Counts() : crew_->counts();
}

void ThreadPool::run(Task task, void* state, int64_t units,
                     const Split& split) {
  if (crew_ == nullptr || units < 2 || split.threads < 2 || is_forked() ||
      !crew_->run(task, state, units, split)) {
    task(state, 0, 0, units);
  }
}

}  // namespace aqe
