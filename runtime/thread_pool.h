// Threads that share out the units of one kernel call. Nothing is allocated
// after construction.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace aqe {

class ThreadPool {
 public:
  // Computes the units [begin, end) as thread number `thread`.
  using Task = void (*)(void* state, int thread, int64_t begin, int64_t end);

  explicit ThreadPool(int threads);
  ~ThreadPool();

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Runs all units on all threads, the caller's among them; on the caller's
  // alone while another call is under way.
  void run(Task task, void* state, int64_t units);

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

}  // namespace aqe
