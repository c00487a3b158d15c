plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "org.kerasaqe.demo"
    compileSdk = libs.versions.compile.sdk.get().toInt()

    defaultConfig {
        applicationId = "org.kerasaqe.demo"
        minSdk = libs.versions.min.sdk.get().toInt()
        targetSdk = libs.versions.compile.sdk.get().toInt()
        versionCode = 1
        versionName = "0.1"
        ndk { abiFilters += listOf("arm64-v8a", "armeabi-v7a", "x86_64") }
    }

    flavorDimensions += "api"
    productFlavors {
        create("compiled") {
            dimension = "api"
            isDefault = true
        }
        create("interpreter") {
            dimension = "api"
            applicationIdSuffix = ".interpreter"
        }
    }

    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"))
            // To be installed beside a debug build; sign it for others.
            signingConfig = signingConfigs.getByName("debug")
        }
    }

    // The interpreter maps files, which it cannot when they are compressed.
    androidResources { noCompress += "tflite" }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

kotlin { jvmToolchain(17) }

dependencies {
    implementation(project(":aqe"))
    "compiledImplementation"(libs.litert)
    "interpreterImplementation"(libs.litert.interpreter)
    implementation(libs.activity)
    implementation(libs.camera.camera2)
    implementation(libs.camera.lifecycle)
    implementation(libs.camera.view)
    implementation(libs.core)
    implementation(libs.exifinterface)
}

val models = listOf("packed", "int8").map { file("src/main/assets/$it.tflite") }
tasks.named("preBuild") {
    doFirst {
        val missing = models.filterNot { it.exists() }
        check(missing.isEmpty()) { "No ${missing.joinToString()}: README.md says how to make them." }
    }
}
