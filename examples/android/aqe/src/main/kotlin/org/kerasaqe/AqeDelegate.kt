package org.kerasaqe

import org.tensorflow.lite.Delegate

/**
 * Runs the operators of packed files in `org.tensorflow.lite.Interpreter`, to
 * LiteRT 1.4; LiteRT 2 has no delegates, and [AqeAccelerator] instead.
 *
 * Add it to the interpreter's options; close it after the interpreter.
 *
 * @param numThreads 1 to 256; 0 is as many as the interpreter has.
 * @throws IllegalArgumentException if [numThreads] is another number.
 */
class AqeDelegate @JvmOverloads constructor(numThreads: Int = 0) : Delegate {
    private var handle = create(numThreads)

    /** @throws IllegalStateException if it is closed. */
    @Synchronized
    override fun getNativeHandle(): Long {
        check(handle != 0L) { "the AqeDelegate is closed" }
        return handle
    }

    /** Closing it again does nothing. */
    @Synchronized
    override fun close() {
        destroy(handle)
        handle = 0
    }

    private companion object {
        init {
            System.loadLibrary("keras_aqe_jni")
        }

        @JvmStatic private external fun create(numThreads: Int): Long

        @JvmStatic private external fun destroy(handle: Long)
    }
}
