package org.kerasaqe.demo

/**
 * The upright square in the middle of an image, as the network takes it: RGB
 * from -1 to 1, each value the mean of the pixels that it stands for.
 *
 * @param argb Rows of pixels, as `Bitmap.getPixels` gives them.
 * @param rotation Degrees, clockwise, by which the image has to be turned.
 * @param side Width and height of the result.
 */
fun squarePixels(argb: IntArray, width: Int, height: Int, rotation: Int, side: Int): FloatArray {
    val isTurned = rotation % 180 != 0
    val edge = minOf(width, height)
    val left = ((if (isTurned) height else width) - edge) / 2
    val top = ((if (isTurned) width else height) - edge) / 2

    fun pixel(x: Int, y: Int): Int =
        when (rotation) {
            90 -> argb[(height - 1 - x) * width + y]
            180 -> argb[(height - 1 - y) * width + width - 1 - x]
            270 -> argb[x * width + width - 1 - y]
            else -> argb[y * width + x]
        }

    fun span(index: Int): IntRange {
        val first = index * edge / side
        return first until maxOf(first + 1, (index + 1) * edge / side)
    }

    val square = FloatArray(3 * side * side)
    for (row in 0 until side) {
        for (column in 0 until side) {
            val sums = LongArray(3)
            for (y in span(row)) {
                for (x in span(column)) {
                    val color = pixel(left + x, top + y)
                    for (channel in 0..2) sums[channel] += (color shr (16 - 8 * channel) and 255).toLong()
                }
            }
            val count = span(row).count() * span(column).count()
            for (channel in 0..2) {
                square[3 * (row * side + column) + channel] = sums[channel] / (127.5f * count) - 1
            }
        }
    }
    return square
}
