// What thread pools do, by their counts and not by time: every unit once, one
// wake-up for all layers of a graph, no more threads than a layer pays for.
//
//   pool_tester
//
// Prints what does not hold; exit status 1 if there is any. Threads are more
// than the machine's CPUs, so a test waits for what they are to do, however
// long that takes; whoever waits for ever is ended.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "thread_pool.h"
#include "work_split.h"

namespace aqe {
namespace {

constexpr unsigned kSeconds = 120;  // after which it counts as hanging
constexpr std::chrono::nanoseconds kForEver = std::chrono::nanoseconds::max();
constexpr std::chrono::nanoseconds kAtOnce{0};
constexpr int kThreads[] = {1, 2, 3, 4, 7, 8, 16};
constexpr int kLayers = 110;      // of a graph
constexpr int64_t kShare = 3000;  // nanoseconds

int failures = 0;

void expect(bool holds, const std::string& what) {
  if (holds) return;
  std::printf("not so: %s\n", what.c_str());
  ++failures;
}

void expect_equal(int64_t actual, int64_t expected, const std::string& what) {
  expect(actual == expected, what + " is " + std::to_string(actual) + ", not " +
                                 std::to_string(expected));
}

template <class Condition>
void wait_until(Condition holds) {
  while (!holds()) std::this_thread::yield();
}

int64_t sleepers(const ThreadPool& pool) { return pool.counts().sleepers; }

// A call that says who computed what.
class Call {
 public:
  explicit Call(int64_t units) : times_(units), threads_(64) {}

  void run(ThreadPool& pool, const Split& split) {
    pool.run(compute, this, static_cast<int64_t>(times_.size()), split);
  }

  bool each_unit_was_computed(int times) const {
    return std::all_of(
        times_.begin(), times_.end(),
        [times](const std::atomic<int>& count) { return count == times; });
  }
  int64_t parts() const { return parts_; }
  int last_thread() const { return last_thread_; }
  // Whether two were the same thread at once, and shared its scratch memory.
  bool collided() const { return collided_; }

 private:
  static void compute(void* state, int thread, int64_t begin, int64_t end) {
    Call& call = *static_cast<Call*>(state);
    if (call.threads_[thread].exchange(true)) call.collided_ = true;
    for (int64_t unit = begin; unit < end; ++unit) ++call.times_[unit];
    ++call.parts_;
    int last = call.last_thread_;
    while (thread > last &&
           !call.last_thread_.compare_exchange_weak(last, thread)) {
    }
    call.threads_[thread] = false;
  }

  std::vector<std::atomic<int>> times_;
  std::vector<std::atomic<bool>> threads_;
  std::atomic<int64_t> parts_{0};
  std::atomic<int> last_thread_{0};
  std::atomic<bool> collided_{false};
};

void test_every_unit_is_computed_once() {
  for (const int threads : kThreads) {
    for (const auto patience : {kAtOnce, kForEver}) {
      ThreadPool pool(threads, patience);
      for (const int64_t units : {1, 2, 3, 5, 31, 256}) {
        for (const int64_t parts : {1, 2, 3, 16, 300}) {
          Call call(units);
          for (int i = 0; i < 20; ++i)
            call.run(pool, {threads, parts, i % 2 == 0});
          expect(call.each_unit_was_computed(20), "each unit is computed once");
          expect(!call.collided(), "a thread's number is its own");
          const bool is_shared = threads > 1 && units > 1;
          expect_equal(call.parts(),
                       is_shared ? 20 * std::min(units, parts) : 20,
                       "number of parts");
        }
      }
    }
  }
}

// Threads that have been woken look for the next layer, so that a graph's first
// wakes them all, and the caller wakes one of them.
void test_a_graph_wakes_threads_once() {
  for (const int threads : kThreads) {
    ThreadPool pool(threads, kForEver);
    wait_until([&] { return sleepers(pool) == threads - 1; });
    Call call(64);
    const Split split = {threads, 2 * threads, true};
    call.run(pool, split);
    // One wakes the other, which may take longer than the first layer.
    wait_until([&] { return pool.counts().wakes == threads - 1; });
    for (int i = 1; i < kLayers; ++i) call.run(pool, split);
    const ThreadPool::Counts counts = pool.counts();
    expect_equal(counts.caller_wakes, threads > 1, "wake-ups by the caller");
    expect_equal(counts.wakes, threads - 1, "wake-ups");
    expect_equal(counts.sleepers, 0, "threads asleep in a graph");
    expect_equal(counts.calls, threads > 1 ? kLayers : 0, "shared layers");
    expect(call.each_unit_was_computed(kLayers), "each unit is computed");
  }
}

void test_threads_sleep_when_there_is_nothing_to_do() {
  for (const int threads : kThreads) {
    ThreadPool pool(threads, kAtOnce);
    for (int graph = 1; graph <= 5; ++graph) {
      wait_until([&] { return sleepers(pool) == threads - 1; });
      Call call(64);
      call.run(pool, {threads, threads, true});
    }
    wait_until([&] { return sleepers(pool) == threads - 1; });
    expect_equal(pool.counts().caller_wakes, threads > 1 ? 5 : 0,
                 "wake-ups by the caller of five graphs");
  }
}

// A layer for two threads wakes, and is computed by, no third.
void test_threads_that_do_not_pay_sleep_on() {
  ThreadPool pool(16, kForEver);
  wait_until([&] { return sleepers(pool) == 15; });
  Call call(64);
  for (int i = 0; i < kLayers; ++i) call.run(pool, {2, 4, true});
  expect_equal(pool.counts().wakes, 1, "wake-ups for two threads");
  expect(call.last_thread() <= 1, "no third thread takes part");
  // Nor do threads that are awake.
  wait_until([&] {
    call.run(pool, {16, 16, true});
    return sleepers(pool) == 0;
  });
  Call narrow(64);
  for (int i = 0; i < kLayers; ++i) narrow.run(pool, {3, 12, true});
  expect(narrow.last_thread() <= 2, "no fourth thread takes part");
}

void test_small_graphs_wake_nobody() {
  ThreadPool pool(16, kForEver);
  wait_until([&] { return sleepers(pool) == 15; });
  Call call(64);
  for (int i = 0; i < kLayers; ++i) call.run(pool, {16, 64, false});
  const ThreadPool::Counts counts = pool.counts();
  expect_equal(counts.wakes, 0, "wake-ups for a small graph");
  expect_equal(counts.joins, 0, "threads that joined it");
  expect(call.each_unit_was_computed(kLayers), "it is computed");
}

// Of two callers at once, one computes alone.
void test_callers_do_not_wait_for_each_other() {
  ThreadPool pool(8, kForEver);
  struct Outer {
    ThreadPool& pool;
    Call inner{8};
    std::atomic<int> outer{0};
  } both{pool};
  pool.run(
      [](void* state, int, int64_t begin, int64_t end) {
        auto& both = *static_cast<Outer*>(state);
        both.outer += static_cast<int>(end - begin);
        both.inner.run(both.pool, {8, 8, true});
      },
      &both, 8, {8, 8, true});
  expect_equal(both.outer, 8, "units of the outer call");
  expect(both.inner.each_unit_was_computed(8), "inner calls are computed");
  expect_equal(pool.counts().calls, 1, "shared calls");
}

// What a layer takes by the estimate if all threads are there.
double makespan(int64_t nanoseconds, const Split& split) {
  const int64_t rounds = (split.parts + split.threads - 1) / split.threads;
  return static_cast<double>(nanoseconds) * static_cast<double>(rounds) /
         static_cast<double>(split.parts);
}

void test_more_threads_are_not_slower(int64_t share) {
  for (int64_t nanoseconds = 0; nanoseconds < 1000000;
       nanoseconds += 1 + nanoseconds / 7) {
    Split fewer;
    for (int threads = 1; threads <= 16; ++threads) {
      const Split split = split_work(nanoseconds, threads, share);
      const std::string what = std::to_string(nanoseconds) + " ns on " +
                               std::to_string(threads) + " threads: ";
      expect(split.threads >= 1 && split.threads <= threads,
             what + "not more threads than there are");
      expect(split.threads == 1 || nanoseconds / split.threads >= share,
             what + "every thread has work that pays");
      expect(split.parts >= split.threads && split.parts <= 4 * split.threads,
             what + "one to four parts for each thread");
      expect(split.threads >= fewer.threads, what + "no fewer threads");
      expect(makespan(nanoseconds, split) <= makespan(nanoseconds, fewer),
             what + "not slower than on fewer");
      fewer = split;
    }
  }
}

// Whether or not another thread comes to help meanwhile.
void test_hand_overs_are_measured() {
  for (const int threads : kThreads) {
    ThreadPool pool(threads);
    const int64_t hand_over = pool.measure_hand_over();
    expect(hand_over > 0 && hand_over <= 1000, "a hand-over is measured");
    expect(share_nanoseconds(hand_over) > 0, "a share of work pays");
    Call call(64);
    call.run(pool, {threads, threads, true});
    expect(call.each_unit_was_computed(1), "a pool that was measured works");
  }
}

// A 3x3 convolution.
Layer convolution(int size, int channels) {
  Layer layer;
  layer.in_height = layer.conv_height = layer.out_height = size;
  layer.in_width = layer.conv_width = layer.out_width = size;
  layer.in_channels = layer.out_channels = channels;
  layer.window.height = layer.window.width = 3;
  layer.window.pad_top = layer.window.pad_left = 1;
  layer.weight_bits = 1;
  return layer;
}

void test_estimates_grow_with_work() {
  for (const Kernel* const* at = kernel_table; *at != nullptr; ++at) {
    const Kernel& kernel = **at;
    if (kernel.op != Operator::kConv2D) continue;
    for (const int size : {8, 16, 32}) {
      for (const int channels : {16, 64, 256}) {
        const Layer layer = convolution(size, channels);
        const int64_t taken = estimate_nanoseconds(kernel, layer);
        expect(taken > 0, "a layer takes time");
        expect(estimate_nanoseconds(kernel, convolution(2 * size, channels)) >
                   taken,
               "larger images take longer");
        expect(estimate_nanoseconds(kernel, convolution(size, 2 * channels)) >
                   taken,
               "more channels take longer");
        Layer wide = layer;
        wide.input = Type::kPacked3;
        wide.weight_bits = 3;
        // A tile of AMX multiplies bytes, whatever their bits are.
        const int64_t more = kernel.features & kAmx ? 0 : 1;
        expect(estimate_nanoseconds(kernel, wide) >= taken + more,
               "more bits take longer");
      }
    }
    // A few hundred products are computed where they are.
    expect_equal(
        split_work(estimate_nanoseconds(kernel, convolution(1, 8)), 16, kShare)
            .threads,
        1, "threads of a tiny layer");
    expect_equal(split_work(estimate_nanoseconds(kernel, convolution(64, 256)),
                            16, kShare)
                     .threads,
                 16, "threads of a large layer");
  }
}

}  // namespace
}  // namespace aqe

int main() {
  alarm(aqe::kSeconds);
  aqe::test_every_unit_is_computed_once();
  aqe::test_a_graph_wakes_threads_once();
  aqe::test_threads_sleep_when_there_is_nothing_to_do();
  aqe::test_threads_that_do_not_pay_sleep_on();
  aqe::test_small_graphs_wake_nobody();
  aqe::test_callers_do_not_wait_for_each_other();
  for (const int64_t hand_over : {0, 100, 500, 1000})
    aqe::test_more_threads_are_not_slower(aqe::share_nanoseconds(hand_over));
  aqe::test_hand_overs_are_measured();
  aqe::test_estimates_grow_with_work();
  return aqe::failures != 0;
}
