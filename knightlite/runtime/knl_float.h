/* Floating point that makes the same bytes everywhere: what the compiler must not do. */
#ifndef KNL_FLOAT_H
#define KNL_FLOAT_H

#include <float.h>

/* No multiplication is fused with an addition: gcc fuses none with -std=c99, clang unless told. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif

#if defined(__FAST_MATH__)
#error "real numbers must be computed as they are written: leave -ffast-math out"
#endif

#if FLT_EVAL_METHOD != 0
#error "float and double must be computed in their own precision: on x86 take -msse2 -mfpmath=sse"
#endif

#if defined(__FP_FAST_FMA) && defined(__GNUC__) && !defined(__clang__) && !defined(__STRICT_ANSI__)
#error "multiplications must not be fused with additions: take -std=c99"
#endif

/* rne(x) of |x| < 2^22. */
static inline float knl_rint(float x) {
    const float shift = 12582912.0f; /* 1.5 * 2^23: the sum has no bits behind the point */
    volatile float sum = x + shift;
    return sum - shift;
}

#endif
