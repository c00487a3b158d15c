package org.kerasaqe;

/** What the Kotlin object of this name declares as native. */
final class AqeAccelerator {
  static native long definition();

  private AqeAccelerator() {}
}
