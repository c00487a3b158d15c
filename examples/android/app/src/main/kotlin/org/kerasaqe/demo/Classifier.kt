package org.kerasaqe.demo

import android.content.Context
import android.graphics.Bitmap
import android.os.SystemClock
import java.io.Closeable
import kotlin.math.exp

/** The network of this app: another has another side, labels and files. */
object Network {
    const val SIDE = 32
    const val LABELS = "labels.txt"
    const val PACKED = "packed.tflite"
    const val INT8 = "int8.tflite"
}

/** What an image shows, with which probability, and how long that took to say. */
data class Result(val label: String, val probability: Double, val milliseconds: Double)

/** Classifies images, on one thread at a time. */
class Classifier(context: Context, asset: String, threads: Int) : Closeable {
    private val labels =
        context.assets.open(Network.LABELS).bufferedReader().use { it.readLines() }
    private val engine = Engine(context, asset, threads)

    fun classify(pixels: FloatArray): Result {
        val start = SystemClock.elapsedRealtimeNanos()
        val logits = engine.run(pixels)
        val nanoseconds = SystemClock.elapsedRealtimeNanos() - start
        val best = logits.indices.maxBy { logits[it] }
        return Result(
            labels[best],
            1 / logits.sumOf { exp((it - logits[best]).toDouble()) },
            nanoseconds / 1e6,
        )
    }

    override fun close() = engine.close()
}

/** What the network takes of a bitmap that is upright after [rotation]. */
fun pixelsOf(bitmap: Bitmap, rotation: Int = 0): FloatArray {
    val argb = IntArray(bitmap.width * bitmap.height)
    bitmap.getPixels(argb, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
    return squarePixels(argb, bitmap.width, bitmap.height, rotation, Network.SIDE)
}
