package org.kerasaqe.demo

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Matrix
import android.net.Uri
import androidx.exifinterface.media.ExifInterface
import java.io.FileNotFoundException
import java.io.IOException
import java.io.InputStream

private const val ENOUGH = 1024

/**
 * Reads a photo, turned upright, at about the size of a screen.
 *
 * @throws IOException if it is none, or cannot be read.
 */
fun readPhoto(resolver: ContentResolver, uri: Uri): Bitmap {
    fun <T> read(action: (InputStream) -> T): T =
        (resolver.openInputStream(uri) ?: throw FileNotFoundException("$uri")).use(action)

    val options = BitmapFactory.Options().apply { inJustDecodeBounds = true }
    read { BitmapFactory.decodeStream(it, null, options) }
    options.inJustDecodeBounds = false
    options.inSampleSize = maxOf(1, minOf(options.outWidth, options.outHeight) / ENOUGH)
    val bitmap =
        read { BitmapFactory.decodeStream(it, null, options) }
            ?: throw IOException("$uri is no image that Android reads")
    val rotation = read { ExifInterface(it).rotationDegrees }
    if (rotation == 0) return bitmap
    val turn = Matrix().apply { postRotate(rotation.toFloat()) }
    return Bitmap.createBitmap(bitmap, 0, 0, bitmap.width, bitmap.height, turn, true)
}
