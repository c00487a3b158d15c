package org.kerasaqe.demo

import android.content.Context
import org.kerasaqe.AqeDelegate
import org.tensorflow.lite.Interpreter
import java.io.Closeable
import java.io.FileInputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import java.nio.channels.FileChannel

/** A file of one image and one vector, in LiteRT's interpreter with our delegate. */
class Engine(context: Context, asset: String, threads: Int) : Closeable {
    private val delegate = AqeDelegate()
    private val interpreter =
        Interpreter(
            context.assets.openFd(asset).use {
                FileInputStream(it.fileDescriptor).channel
                    .map(FileChannel.MapMode.READ_ONLY, it.startOffset, it.length)
            },
            Interpreter.Options().setNumThreads(threads).addDelegate(delegate),
        )
    private val input = floats(interpreter.getInputTensor(0).numBytes())
    private val output = floats(interpreter.getOutputTensor(0).numBytes())

    fun run(pixels: FloatArray): FloatArray {
        input.rewind()
        input.put(pixels)
        input.rewind()
        output.rewind()
        interpreter.run(input, output)
        output.rewind()
        return FloatArray(output.remaining()).also { output.get(it) }
    }

    override fun close() {
        interpreter.close()
        delegate.close()
    }

    private fun floats(bytes: Int): FloatBuffer =
        ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder()).asFloatBuffer()
}
