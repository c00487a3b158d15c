package org.kerasaqe.demo

import android.os.Bundle
import android.widget.Button
import android.widget.SeekBar
import android.widget.TextView
import androidx.activity.ComponentActivity
import java.util.concurrent.Executors
import kotlin.random.Random

private const val WARM_UP = 20
private const val RUNS = 200

/** Times the packed file against the same network in int8, by turns. */
class BenchmarkActivity : ComponentActivity() {
    private val worker = Executors.newSingleThreadExecutor()

    private val report by lazy { findViewById<TextView>(R.id.report) }
    private val measure by lazy { findViewById<Button>(R.id.measure) }
    private val threadCount by lazy { findViewById<SeekBar>(R.id.thread_count) }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.benchmark)
        val threads = findViewById<TextView>(R.id.threads)
        threads.text = getString(R.string.threads, 1)
        threadCount.max = Runtime.getRuntime().availableProcessors() - 1
        threadCount.setOnSeekBarChangeListener(
            object : SeekBar.OnSeekBarChangeListener {
                override fun onProgressChanged(bar: SeekBar, progress: Int, isUser: Boolean) {
                    threads.text = getString(R.string.threads, progress + 1)
                }

                override fun onStartTrackingTouch(bar: SeekBar) {}

                override fun onStopTrackingTouch(bar: SeekBar) {}
            }
        )
        measure.setOnClickListener { start() }
        start()
    }

    override fun onDestroy() {
        super.onDestroy()
        worker.shutdownNow()
    }

    private fun start() {
        val threads = threadCount.progress + 1
        measure.isEnabled = false
        report.setText(R.string.measuring)
        worker.execute {
            val text =
                try {
                    compare(threads)
                } catch (error: Exception) {
                    getString(R.string.failed, error.message)
                }
            runOnUiThread {
                report.text = text
                measure.isEnabled = true
            }
        }
    }

    private fun compare(threads: Int): String {
        val files = listOf(Network.PACKED, Network.INT8)
        val random = Random(1)
        val image = FloatArray(3 * Network.SIDE * Network.SIDE) { 2 * random.nextFloat() - 1 }
        val results =
            files.map { Classifier(this, it, threads) }.run {
                try {
                    repeat(WARM_UP) { forEach { it.classify(image) } }
                    List(RUNS) { map { it.classify(image) } }
                } finally {
                    forEach { it.close() }
                }
            }
        val times = files.indices.map { file -> results.map { it[file].milliseconds }.sorted() }
        val sizes = files.map { file -> assets.openFd(file).use { it.length } }
        val lines =
            files.indices.map { i ->
                getString(R.string.timing, files[i], times[i][RUNS / 2], times[i][0], sizes[i] / 1000)
            }
        val (packed, int8) = results.last().map { it.label }
        val labels =
            if (packed == int8) {
                getString(R.string.same_label, packed)
            } else {
                getString(R.string.other_label, packed, int8)
            }
        val gains =
            getString(
                R.string.faster,
                times[1][RUNS / 2] / times[0][RUNS / 2],
                sizes[1].toDouble() / sizes[0],
            )
        return (lines + labels + gains).joinToString("\n\n")
    }
}
