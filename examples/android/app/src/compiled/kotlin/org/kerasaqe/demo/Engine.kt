package org.kerasaqe.demo

import android.content.Context
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import org.kerasaqe.AqeAccelerator
import java.io.Closeable

/** A file of one image and one vector, in LiteRT's CompiledModel. */
class Engine(context: Context, asset: String, threads: Int) : Closeable {
    private val environment = AqeAccelerator.environment()
    private val model =
        CompiledModel.create(
            context.assets,
            asset,
            CompiledModel.Options(Accelerator.CPU).apply {
                cpuOptions = CompiledModel.CpuOptions(numThreads = threads)
            },
            environment,
        )
    private val inputs = model.createInputBuffers()
    private val outputs = model.createOutputBuffers()

    fun run(pixels: FloatArray): FloatArray {
        inputs[0].writeFloat(pixels)
        model.run(inputs, outputs)
        return outputs[0].readFloat()
    }

    override fun close() {
        (inputs + outputs).forEach { it.close() }
        model.close()
        environment.close()
    }
}
