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

// A thread that has none left of its own parts waits so long before it looks
// for those of others: to look takes a cache line from the thread that needs it
// to take the next, two or three times as long as a line takes from core to
// core.
constexpr std::chrono::nanoseconds kGrace{1000};

// A call in one word: its number, its parts and how many threads it is for, of
// which each has as many of the parts for itself, in order.
struct Ticket {
  static constexpr int kParts = 1 << 12, kWidth = 1 << 9;
  // Numbers: a million calls a second for three months.
  static constexpr uint64_t kCalls = uint64_t{1} << 43;

  uint64_t word;

  Ticket(uint64_t number, int64_t parts, int width)
      : word((number * kParts + static_cast<uint64_t>(parts)) * kWidth +
             static_cast<uint64_t>(width)) {}
  explicit Ticket(uint64_t of) : word(of) {}

  uint64_t number() const { return word / kWidth / kParts; }
  int64_t parts() const { return static_cast<int64_t>(word / kWidth % kParts); }
  int width() const { return static_cast<int>(word % kWidth); }
  // The first part of a thread, which is the end of the one before.
  int64_t first(int thread) const { return parts() * thread / width(); }
};

// How many parts of a call, in one word: none of a call before it.
struct Progress {
  uint64_t word;

  Progress(const Ticket& call, int64_t parts)
      : word(call.number() * Ticket::kParts + static_cast<uint64_t>(parts)) {}
  explicit Progress(uint64_t of) : word(of) {}

  bool is_beyond(const Ticket& call) const {
    return word / Ticket::kParts > call.number();
  }
  int64_t parts_of(const Ticket& call) const {
    return word / Ticket::kParts == call.number()
               ? static_cast<int64_t>(word % Ticket::kParts)
               : 0;
  }
};

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
  // What is shared out, on the one cache line that threads look at while they
  // wait. Who has taken a part may read it, until the part has been computed.
  struct alignas(64) Call {
    Task task = nullptr;
    void* state = nullptr;
    int64_t units_of_part = 0, larger_parts = 0;
    std::atomic<uint64_t> ticket{0};  // last

    void compute(int thread, int64_t part) const {
      const int64_t begin = part * units_of_part + std::min(part, larger_parts);
      const int64_t end = begin + units_of_part + (part < larger_parts);
      task(state, thread, begin, end);
    }
  };

  // Of one thread, 0 being whichever calls: what it computes by, what it sleeps
  // by and what it counts, each on lines that the others leave alone.
  struct alignas(64) Seat {
    std::atomic<uint64_t> taken{0};  // of its parts, by whomever: Progress
    alignas(64) std::atomic<uint64_t> computed{0};  // by itself, of anyone's
    alignas(64) std::mutex mutex;
    std::condition_variable condition;
    std::atomic<bool> sleeps{false};
    alignas(64) std::atomic<int64_t> calls{0}, parts{0}, joins{0}, wakes{0};
  };

  // Adds to a counter that one thread alone writes.
  static void add(std::atomic<int64_t>& count, int64_t more) {
    count.store(count.load(std::memory_order_relaxed) + more,
                std::memory_order_relaxed);
  }

  void work(int thread);
  // The call that is under way, or the last.
  Ticket ticket() const {
    return Ticket(call_.ticket.load(std::memory_order_acquire));
  }
  // The next part of those of `owner`, or -1.
  int64_t take(int owner, const Ticket& call);
  bool is_wanted(int thread) const;
  // Computes this part, if it is one, and all that it can get.
  void compute(int thread, const Ticket& call, int64_t part);
  int64_t computed_parts(const Ticket& call) const;
  // Whether a call ends before others' parts are worth to look at.
  bool ends_soon(int thread, const Ticket& call) const;
  // Whether it slept: not if there is a part for it.
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
  bool was_helped_ = false;  // in the last call
  std::mutex run_mutex_;
  std::atomic<int> waking_width_{1};  // of the last call that wakes threads
  std::atomic<bool> stop_{false};
  std::vector<Seat> seats_;
  std::vector<std::thread> workers_;
};

// Of a call that is over all parts have been taken, so whoever is late gets
// none.
int64_t ThreadPool::Crew::take(int owner, const Ticket& call) {
  std::atomic<uint64_t>& taken = seats_[owner].taken;
  uint64_t word = taken.load(std::memory_order_acquire);
  for (;;) {
    const Progress progress(word);
    const int64_t part = call.first(owner) + progress.parts_of(call);
    if (progress.is_beyond(call) || part >= call.first(owner + 1)) return -1;
    const Progress after(call, progress.parts_of(call) + 1);
    if (taken.compare_exchange_weak(word, after.word, std::memory_order_acq_rel,
                                    std::memory_order_acquire))
      return part;
  }
}

bool ThreadPool::Crew::is_wanted(int thread) const {
  const Ticket call = ticket();
  const Progress taken(seats_[thread].taken);
  return thread < call.width() &&
         call.first(thread) + taken.parts_of(call) < call.first(thread + 1);
}

void ThreadPool::Crew::compute(int thread, const Ticket& call, int64_t part) {
  Seat& seat = seats_[thread];
  const int width = call.width();
  int64_t computed = 0;
  for (int others = 0; others < width;) {
    if (part < 0) {
      // Of its own parts first, then of others'.
      part = take((thread + others) % width, call);
      if (part >= 0) continue;
      if (others++ == 0 && ends_soon(thread, call)) break;
      continue;
    }
    call_.compute(thread, part);
    ++computed;
    seat.computed.store(Progress(call, computed).word,
                        std::memory_order_release);
    part = -1;  // and the call may be over
  }
  add(seat.parts, computed);
}

bool ThreadPool::Crew::ends_soon(int thread, const Ticket& call) const {
  if (thread == 0 && !was_helped_) return false;
  const auto began = Clock::now();
  do {
    if (thread == 0 ? computed_parts(call) == call.parts()
                    : ticket().word != call.word)
      return true;
    pause();
  } while (Clock::now() - began < kGrace);
  return false;
}

int64_t ThreadPool::Crew::computed_parts(const Ticket& call) const {
  int64_t parts = 0;
  for (int thread = 0; thread < call.width(); ++thread) {
    const auto& computed = seats_[thread].computed;
    parts += Progress(computed.load(std::memory_order_acquire)).parts_of(call);
  }
  return parts;
}

bool ThreadPool::Crew::wake(Seat& seat) {
  if (!seat.sleeps.load(std::memory_order_relaxed)) return false;
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
  // A caller that does not see it yet computes the parts itself, and wakes the
  // thread with the next call: to make sure would cost each call more.
  if (stop_ || is_wanted(thread)) {
    seat.sleeps = false;
    return false;
  }
  seat.condition.wait(lock, [&] { return !seat.sleeps; });
  return true;
}

void ThreadPool::Crew::rest(int thread) {
  // Whoever was woken wakes others, though the call may be over by now.
  if (sleep(thread)) wake_next(thread, waking_width_);
}

void ThreadPool::Crew::work(int thread) {
  rest(thread);
  for (Wait wait; !stop_;) {
    const Ticket call = ticket();
    const int64_t part = thread < call.width() ? take(thread, call) : -1;
    if (part >= 0) {
      add(seats_[thread].joins, 1);
      compute(thread, call, part);
    } else if (wait.once_more(patience_)) {
      continue;
    } else {
      rest(thread);
    }
    wait = Wait();
  }
}

bool ThreadPool::Crew::run(Task task, void* state, int64_t units,
                           const Split& split) {
  std::unique_lock<std::mutex> only_call(run_mutex_, std::try_to_lock);
  if (!only_call.owns_lock()) return false;
  const uint64_t number = ticket().number() + 1;
  if (number == Ticket::kCalls) return false;  // from now on callers go alone
  const int64_t parts =
      std::min({split.parts, units, int64_t{Ticket::kParts - 1}});
  const int64_t most = static_cast<int64_t>(workers_.size()) + 1;
  const int width =
      static_cast<int>(std::min({parts, most, int64_t{split.threads}}));
  const Ticket call(number, parts, width);
  call_.task = task;
  call_.state = state;
  call_.units_of_part = units / parts;
  call_.larger_parts = units % parts;
  call_.ticket.store(call.word, std::memory_order_release);
  add(seats_[0].calls, 1);
  if (split.wakes) {
    waking_width_.store(width, std::memory_order_relaxed);
    wake_first(width);
  }
  compute(0, call, -1);
  for (Wait wait; computed_parts(call) < parts;)
    wait.once_more(std::chrono::nanoseconds::max());
  was_helped_ = Progress(seats_[0].computed).parts_of(call) < parts;
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

int64_t ThreadPool::measure_hand_over() {
  constexpr std::chrono::nanoseconds kMost{1000};
  static constexpr std::chrono::microseconds kPatience{20}, kWhole{300};
  if (threads_ < 2) return kMost.count();
  // The second part says that it was begun, and the first waits for that.
  std::atomic<bool> has_begun{false};
  const Task probe = [](void* state, int, int64_t part, int64_t) {
    auto& flag = *static_cast<std::atomic<bool>*>(state);
    const auto began = Clock::now();
    if (part == 1) flag.store(true, std::memory_order_release);
    while (!flag.load(std::memory_order_acquire) &&
           Clock::now() - began < kPatience) {
    }
  };
  std::chrono::nanoseconds least = kMost;
  const auto first = Clock::now();
  for (auto now = first; now - first < kWhole;) {
    has_begun.store(false, std::memory_order_relaxed);
    const auto began = Clock::now();
    run(probe, &has_begun, 2, {2, 2, true});
    now = Clock::now();
    least = std::min<std::chrono::nanoseconds>(least, now - began);
  }
  return least.count();
}

void ThreadPool::run(Task task, void* state, int64_t units,
                     const Split& split) {
  if (crew_ == nullptr || units < 2 || split.threads < 2 || is_forked() ||
      !crew_->run(task, state, units, split)) {
    task(state, 0, 0, units);
  }
}

}  // namespace aqe
