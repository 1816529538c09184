/* Whether vector kernels for x86 can be built, and whether the processor has what they use. */
#ifndef KNL_X86_H
#define KNL_X86_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(KNL_NO_SIMD)
#define KNL_X86 1

#include <cpuid.h>
#include <immintrin.h>

#include "knl_simd.h"

/* Registers that the system keeps: bits of XCR0, 0 where it cannot be asked. */
static inline unsigned knl_kept_registers(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

/* Whether the system keeps `registers` and leaf 7 has all these bits. */
static inline int knl_has(unsigned registers, unsigned in_b, unsigned in_c) {
    unsigned a, b, c, d;
    if ((knl_kept_registers() & registers) != registers || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    return (b & in_b) == in_b && (c & in_c) == in_c;
}

#endif

#endif
