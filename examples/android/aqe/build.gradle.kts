// The library: the delegate, what it takes to load it, and its header.
plugins {
    alias(libs.plugins.android.library)
    alias(libs.plugins.kotlin.android)
}

val headers = layout.buildDirectory.dir("headers")
val copyHeaders = tasks.register<Sync>("copyHeaders") {
    from("../../../runtime/include") { include("keras_aqe/aqe_delegate.h") }
    into(headers)
}
tasks.named("preBuild") { dependsOn(copyHeaders) }

android {
    namespace = "org.kerasaqe"
    compileSdk = libs.versions.compile.sdk.get().toInt()

    defaultConfig {
        minSdk = libs.versions.min.sdk.get().toInt()
        consumerProguardFiles("consumer-rules.pro")
        ndk { abiFilters += listOf("arm64-v8a", "armeabi-v7a", "x86_64") }
        externalNativeBuild {
            cmake {
                // The library has what it needs of the C++ runtime in itself;
                // Prefab would say of c++_static that no C++ can use it.
                arguments += listOf("-DANDROID_STL=c++_shared", "-DCMAKE_BUILD_TYPE=Release")
            }
        }
    }
    packaging { jniLibs { excludes += "**/libc++_shared.so" } }

    externalNativeBuild { cmake { path = file("src/main/cpp/CMakeLists.txt") } }
    buildFeatures { prefabPublishing = true }
    prefab {
        create("keras_aqe_delegate") { headers = layout.buildDirectory.dir("headers").get().asFile.path }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

kotlin { jvmToolchain(17) }

// An app has one of the two: see README.md.
dependencies {
    compileOnly(libs.litert)
    compileOnly(libs.tensorflow.lite.api)
}
