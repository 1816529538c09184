# Cortex-A7 with Linux. Debian: gcc-arm-linux-gnueabihf, qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR arm)
set(CMAKE_C_COMPILER arm-linux-gnueabihf-gcc)
set(CMAKE_C_FLAGS_INIT "-mcpu=cortex-a7 -mfpu=neon-vfpv4")
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-arm)
