import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.Environment.Option
import org.kerasaqe.AqeAccelerator
import org.kerasaqe.AqeDelegate
import org.kerasaqe.demo.squarePixels

inline fun <reified E : Exception> throws(action: () -> Unit) =
    try {
        action()
        error("nothing was thrown")
    } catch (error: Exception) {
        check(error is E) { "$error" }
    }

fun misuse() {
    val delegate = AqeDelegate(2)
    check(delegate.getNativeHandle() != 0L && delegate.getNativeHandle() == delegate.getNativeHandle())
    AqeDelegate().use { check(it.getNativeHandle() != delegate.getNativeHandle()) }
    delegate.close()
    delegate.close()
    throws<IllegalStateException> { delegate.getNativeHandle() }
    throws<IllegalArgumentException> { AqeDelegate(-1) }
    throws<IllegalArgumentException> { AqeDelegate(257) }
}

fun environment() {
    val options = AqeAccelerator.environment(mapOf(Option.DispatchLibraryDir to "folder")).options
    check(options[Option.DispatchLibraryDir] == "folder")
    check(options.getValue(Option.SystemGpuAcceleratorHandle).toLong() > 0)
    check(AqeAccelerator.environment().options.size == 1)
}

/** Prints what the network would get of an image that comes as one line of numbers. */
fun main(arguments: Array<String>) {
    misuse()
    environment()
    for (line in generateSequence(::readLine)) {
        val (width, height, rotation, side) = line.split(" ").map { it.toInt() }
        val pixels = readln().split(" ").map { it.toInt() }.toIntArray()
        println(squarePixels(pixels, width, height, rotation, side).joinToString(" "))
    }
}
