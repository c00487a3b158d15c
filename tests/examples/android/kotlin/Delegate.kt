// What AqeDelegate takes of LiteRT 1.
package org.tensorflow.lite

interface Delegate : java.io.Closeable {
    fun getNativeHandle(): Long

    override fun close() {}
}
