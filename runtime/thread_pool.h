// Threads that share out the units of one kernel call. Nothing is allocated
// after construction.
#pragma once

#include <cstdint>
#include <memory>

namespace aqe {

class ThreadPool {
 public:
  // Computes the units [begin, end) as thread number `thread`.
  using Task = void (*)(void* state, int thread, int64_t begin, int64_t end);

  explicit ThreadPool(int threads);
  ~ThreadPool();

  int threads() const { return threads_; }

  // Runs all units on all threads, the caller's among them; on the caller's
  // alone while another call is under way, and in a process that was forked
  // after construction.
  void run(Task task, void* state, int64_t units);

 private:
  class Crew;

  // A fork copies the memory of the threads, but not the threads.
  bool is_forked() const;

  const int threads_;
  const unsigned forks_;
  std::unique_ptr<Crew> crew_;
};

}  // namespace aqe
