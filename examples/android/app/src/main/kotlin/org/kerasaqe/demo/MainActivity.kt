package org.kerasaqe.demo

import android.Manifest
import android.content.Intent
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.net.Uri
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.ImageView
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.activity.result.PickVisualMediaRequest
import androidx.activity.result.contract.ActivityResultContracts
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.Preview
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.camera.view.PreviewView
import androidx.core.content.ContextCompat
import java.util.concurrent.Executors

private const val THREADS = 1

/** Says what the camera sees, or what a photo shows. */
class MainActivity : ComponentActivity() {
    // The classifier is made, used and closed on this thread alone.
    private val worker = Executors.newSingleThreadExecutor()
    private var classifier: Classifier? = null

    private var cameras: ProcessCameraProvider? = null
    @Volatile private var isLive = false

    private val preview by lazy { findViewById<PreviewView>(R.id.preview) }
    private val photo by lazy { findViewById<ImageView>(R.id.photo) }
    private val result by lazy { findViewById<TextView>(R.id.result) }
    private val source by lazy { findViewById<Button>(R.id.source) }

    private val askForCamera =
        registerForActivityResult(ActivityResultContracts.RequestPermission()) { isGranted ->
            if (isGranted) startCamera() else result.setText(R.string.camera_denied)
        }
    private val choosePhoto =
        registerForActivityResult(ActivityResultContracts.PickVisualMedia()) { uri ->
            if (uri != null) classifyPhoto(uri)
        }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.main)
        findViewById<Button>(R.id.benchmark).setOnClickListener {
            startActivity(Intent(this, BenchmarkActivity::class.java))
        }
        worker.execute {
            attempt { classifier = Classifier(this, Network.PACKED, THREADS) }
        }
        useCamera()
    }

    override fun onDestroy() {
        super.onDestroy()
        isLive = false
        cameras?.unbindAll()
        worker.execute { classifier?.close() }
        worker.shutdown()
    }

    private fun useCamera() {
        photo.visibility = View.GONE
        source.setText(R.string.choose_photo)
        source.setOnClickListener {
            choosePhoto.launch(
                PickVisualMediaRequest(ActivityResultContracts.PickVisualMedia.ImageOnly)
            )
        }
        val permission = ContextCompat.checkSelfPermission(this, Manifest.permission.CAMERA)
        if (permission == PackageManager.PERMISSION_GRANTED) {
            startCamera()
        } else {
            askForCamera.launch(Manifest.permission.CAMERA)
        }
    }

    private fun startCamera() {
        val provider = ProcessCameraProvider.getInstance(this)
        provider.addListener(
            {
                try {
                    if (!isDestroyed) bindCamera(provider.get())
                } catch (error: Exception) {
                    result.setText(R.string.no_camera)
                }
            },
            ContextCompat.getMainExecutor(this),
        )
    }

    private fun bindCamera(provider: ProcessCameraProvider) {
        val frames =
            ImageAnalysis.Builder()
                .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
                .setOutputImageFormat(ImageAnalysis.OUTPUT_IMAGE_FORMAT_RGBA_8888)
                .build()
        frames.setAnalyzer(worker) { image ->
            attempt {
                image.use {
                    if (isLive) classify(it.toBitmap(), it.imageInfo.rotationDegrees)
                }
            }
        }
        val view = Preview.Builder().build()
        view.setSurfaceProvider(preview.surfaceProvider)
        val camera =
            listOf(CameraSelector.DEFAULT_BACK_CAMERA, CameraSelector.DEFAULT_FRONT_CAMERA)
                .first { provider.hasCamera(it) }
        provider.unbindAll()
        provider.bindToLifecycle(this, camera, view, frames)
        cameras = provider
        isLive = true
    }

    private fun classifyPhoto(uri: Uri) {
        isLive = false
        cameras?.unbindAll()
        source.setText(R.string.use_camera)
        source.setOnClickListener { useCamera() }
        worker.execute {
            attempt {
                val bitmap = readPhoto(contentResolver, uri)
                runOnUiThread {
                    photo.setImageBitmap(bitmap)
                    photo.visibility = View.VISIBLE
                }
                classify(bitmap)
            }
        }
    }

    private fun classify(bitmap: Bitmap, rotation: Int = 0) {
        val (label, probability, milliseconds) =
            classifier?.classify(pixelsOf(bitmap, rotation)) ?: return
        show(getString(R.string.result, label, 100 * probability, milliseconds))
    }

    /** For what the worker does: says where it failed. */
    private fun attempt(action: () -> Unit) =
        try {
            action()
        } catch (error: Exception) {
            show(getString(R.string.failed, error.message))
        }

    private fun show(text: String) = runOnUiThread { result.text = text }
}
