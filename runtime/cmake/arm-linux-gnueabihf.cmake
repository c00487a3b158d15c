# 32-bit ARM Linux with NEON (ARMv7-A: Raspberry Pi 2 and later with a 32-bit system) with the distribution's
# cross compiler (Debian, Ubuntu: g++-arm-linux-gnueabihf). Its kernels are the portable ones.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv7-a)
set(CMAKE_CXX_COMPILER arm-linux-gnueabihf-g++)
set(CMAKE_CXX_FLAGS_INIT "-march=armv7-a -mfpu=neon -mfloat-abi=hard")
find_program(QEMU_ARM NAMES qemu-arm-static qemu-arm)
if(QEMU_ARM)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${QEMU_ARM} -cpu cortex-a8 -L /usr/arm-linux-gnueabihf)
endif()
