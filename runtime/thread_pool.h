// Threads that share out the units of one kernel call after another. Nothing is
// allocated after construction.
//
// Operators of one inference follow each other within microseconds, so a thread
// that has been woken for one of them keeps looking for the next: the first
// wakes the threads, and all that follow find them awake. A caller wakes one
// thread at most, and a thread two others.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

namespace aqe {

// How a call is shared out.
struct Split {
  int threads = 1;  // at most, the caller's among them
  // Of about as many units each. A thread has its own, the same for layers that
  // are alike, and takes those of others when it has done them.
  int64_t parts = 1;
  bool wakes = false;  // else it is shared with threads that are awake already
};

// CPUs that this process may run on.
int available_cpus();

class ThreadPool {
 public:
  // Computes the units [begin, end) as thread number `thread`.
  using Task = void (*)(void* state, int thread, int64_t begin, int64_t end);

  // What the threads did since construction.
  struct Counts {
    int64_t calls = 0;  // shared out: those that ran alone are not in it
    int64_t parts = 0;  // that were computed, by whichever thread
    int64_t joins = 0;  // by which a thread beside the caller's took part
    int64_t caller_wakes = 0;  // of threads that slept, by callers
    int64_t wakes = 0;         // the same, by callers and threads
    int64_t sleepers = 0;      // threads that sleep now
  };

  // Threads begin asleep, and go back to it where there was no call for
  // `patience`, while they looked for one. They look without a pause: a system
  // with other work lets a thread that is woken run sooner than one that
  // yields.
  explicit ThreadPool(int threads, std::chrono::nanoseconds patience =
                                       std::chrono::microseconds(100));
  ~ThreadPool();

  int threads() const { return threads_; }
  Counts counts() const;

  // Nanoseconds until another thread that is awake has begun its part of a call
  // and the caller knows: where cores share a cache 100 and else 500. A
  // thousand if no other came, since there was other work.
  int64_t measure_hand_over();

  // Runs all units, on the caller's thread alone while another call is under
  // way, and in a process that was forked after construction.
  void run(Task task, void* state, int64_t units, const Split& split);

 private:
  class Crew;

  // A fork copies the memory of the threads, but not the threads.
  bool is_forked() const;

  const int threads_;
  const unsigned forks_;
  std::unique_ptr<Crew> crew_;
};

}  // namespace aqe
