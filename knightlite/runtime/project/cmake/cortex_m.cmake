# A Cortex-M3 without an operating system. Debian: gcc-arm-none-eabi, libnewlib-arm-none-eabi,
# qemu-system-arm.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR arm)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_C_FLAGS_INIT "-mcpu=cortex-m3 -mthumb")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-nostartfiles --specs=rdimon.specs")
set(CMAKE_CROSSCOMPILING_EMULATOR
    qemu-system-arm -M mps2-an385 -nographic -semihosting-config enable=on,target=native -kernel)
