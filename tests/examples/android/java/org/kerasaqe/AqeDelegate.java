package org.kerasaqe;

/** What the Kotlin class of this name declares as native. */
final class AqeDelegate {
  static native long create(int numThreads);

  static native void destroy(long handle);

  private AqeDelegate() {}
}
