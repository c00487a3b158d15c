// Forks while thread pools sleep, work and are being made; each child uses and
// destroys what it has of its parent's, and makes a pool of its own.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include "thread_pool.h"

namespace {

constexpr int kUnits = 1000, kForks = 50;
constexpr unsigned kSeconds = 60;  // after which a child counts as hanging

// Sanitizers have locks of their own, which a fork while a thread starts can
// leave locked, and ThreadSanitizer knows no threads made after a fork.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kForksWhileOthersStart = false, kStartsInChild = true;
#elif defined(__SANITIZE_THREAD__)
constexpr bool kForksWhileOthersStart = false, kStartsInChild = false;
#else
constexpr bool kForksWhileOthersStart = true, kStartsInChild = true;
#endif

using Counts = std::array<std::atomic<int>, kUnits>;

// Whether a pool computes each unit of a call once. On the stack: a fork while
// a thread allocates can leave the lock of a sanitizer's allocator locked.
bool computes(aqe::ThreadPool& pool) {
  Counts times{};
  pool.run(
      [](void* state, int, int64_t begin, int64_t end) {
        for (int64_t unit = begin; unit < end; ++unit)
          ++(*static_cast<Counts*>(state))[unit];
      },
      &times, kUnits, {pool.threads(), 4 * pool.threads(), true});
  return std::all_of(times.begin(), times.end(),
                     [](const std::atomic<int>& count) { return count == 1; });
}

using Pools = std::vector<std::unique_ptr<aqe::ThreadPool>>;

// As a child: 0 if all is well.
int run_child(Pools* pools, int depth) {
  alarm(kSeconds);
  for (auto& pool : *pools) {
    if (!computes(*pool)) return 1;
  }
  auto own = std::make_unique<aqe::ThreadPool>(kStartsInChild ? 3 : 1);
  if (!computes(*own)) return 2;
  if (depth > 0) {
    // A child of the child, with pools of both.
    pools->push_back(std::move(own));
    const pid_t child = fork();
    if (child == 0) _exit(run_child(pools, depth - 1));
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0) return 3;
    if (!computes(*pools->back())) return 4;
  }
  pools->clear();
  return 0;
}

}  // namespace

int main() {
  Pools pools;
  for (const int threads : {1, 2, 4})
    pools.push_back(std::make_unique<aqe::ThreadPool>(threads));
  std::atomic<bool> stop{false};
  std::atomic<bool> agrees{true};
  std::vector<std::thread> others;
  for (const auto& pool : pools) {
    others.emplace_back([&agrees, &stop, pool = pool.get()] {
      while (!stop) agrees = agrees && computes(*pool);
    });
  }
  others.emplace_back([&] {
    while (!stop) aqe::ThreadPool(kForksWhileOthersStart ? 2 : 1);
  });

  if (!kForksWhileOthersStart) sleep(1);
  int failed = 0;
  for (int i = 0; i < 2 * kForks; ++i) {
    if (i == kForks) {  // from now on the pools sleep
      stop = true;
      for (std::thread& other : others) other.join();
    }
    const pid_t child = fork();
    if (child == 0)
      _exit(run_child(&pools, kForksWhileOthersStart ? i % 2 : 0));
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0) {
      std::printf("child %d ended with status %d\n", i, status);
      ++failed;
    }
  }
  for (auto& pool : pools) agrees = agrees && computes(*pool);
  std::printf("%d of %d children failed\n", failed, 2 * kForks);
  return failed != 0 || !agrees;
}
