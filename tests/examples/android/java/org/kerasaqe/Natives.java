package org.kerasaqe;

import java.util.HashSet;
import java.util.Set;

/** Calls the native functions as Kotlin does, and as it must not. */
public final class Natives {
  public static void main(String[] arguments) throws InterruptedException {
    System.load(arguments[0]);
    Set<Long> handles = new HashSet<>();
    for (int threads : new int[] {0, 1, 2, 256}) handles.add(AqeDelegate.create(threads));
    check(handles.size() == 4 && !handles.contains(0L), "a handle for each delegate");
    // Once too often, too, and what never was one.
    for (int i = 0; i < 2; ++i) handles.forEach(AqeDelegate::destroy);
    for (long strange : new long[] {0, 1, -1}) AqeDelegate.destroy(strange);
    for (int threads : new int[] {-1, 257, Integer.MIN_VALUE, Integer.MAX_VALUE}) refuses(threads);

    Thread[] workers = new Thread[4];
    for (int i = 0; i < workers.length; ++i) {
      workers[i] = new Thread(() -> {
        for (int j = 0; j < 1000; ++j) AqeDelegate.destroy(AqeDelegate.create(2));
      });
      workers[i].start();
    }
    for (Thread worker : workers) worker.join();

    long definition = AqeAccelerator.definition();
    check(definition > 0 && definition == AqeAccelerator.definition(), "one definition");
    System.out.println("done");
  }

  private static void refuses(int threads) {
    try {
      AqeDelegate.create(threads);
    } catch (IllegalArgumentException error) {
      check(error.getMessage().contains("0 to 256"), error.getMessage());
      return;
    }
    check(false, "a delegate of " + threads + " threads");
  }

  private static void check(boolean isTrue, String what) {
    if (!isTrue) throw new AssertionError(what);
  }
}
