// What AqeAccelerator takes of LiteRT 2.
package com.google.ai.edge.litert

class Environment(val options: Map<Option, String>) {
    enum class Option { DispatchLibraryDir, SystemGpuAcceleratorHandle }

    companion object {
        fun create(options: Map<Option, String>) = Environment(options)
    }
}
