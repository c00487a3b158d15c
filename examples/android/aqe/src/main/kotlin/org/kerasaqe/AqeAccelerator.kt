package org.kerasaqe

import com.google.ai.edge.litert.Environment

/** Runs the operators of packed files in LiteRT's `CompiledModel`, since 2.3. */
object AqeAccelerator {
    init {
        System.loadLibrary("keras_aqe_jni")
    }

    /**
     * An environment whose compiled models run packed files, on the threads of
     * their `CpuOptions`; other files run in it as ever.
     *
     * The accelerator takes the place of LiteRT's own for GPUs, so a model for
     * the GPU needs another environment. LiteRT means the option that it is
     * given by for itself: it is of 2.3, and may change.
     *
     * @param options Further options of [Environment.create].
     */
    @JvmStatic
    @JvmOverloads
    fun environment(options: Map<Environment.Option, String> = mapOf()): Environment =
        Environment.create(
            options + (Environment.Option.SystemGpuAcceleratorHandle to definition().toString())
        )

    @JvmStatic private external fun definition(): Long
}
