/* Two real numbers at a time, for kernels with NEON: results are rounded in float64, exactly. */
#ifndef KNL_NEON_H
#define KNL_NEON_H

#include <arm_neon.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

#ifdef __aarch64__

typedef float64x2_t reals;

INLINE reals same(double value) {
    return vdupq_n_f64(value);
}

INLINE reals some(const double *values) {
    return vld1q_f64(values);
}

INLINE reals product(reals one, reals other) {
    return vmulq_f64(one, other);
}

INLINE reals sum(reals one, reals other) {
    return vaddq_f64(one, other);
}

INLINE reals larger(reals one, reals other) {
    return vmaxq_f64(one, other);
}

INLINE reals smaller(reals one, reals other) {
    return vminq_f64(one, other);
}

INLINE reals pair(const int32_t *values) {
    return vcvtq_f64_s64(vmovl_s32(vld1_s32(values)));
}

INLINE void whole(reals value, int32_t found[2]) {
    vst1_s32(found, vmovn_s64(vcvtq_s64_f64(value)));
}

/* Bounds are whole numbers. */
INLINE reals rounded(reals value, double low, double high) {
    return larger(smaller(vrndnq_f64(value), same(high)), same(low));
}

#else /* 32-bit processors have no vectors of them */

typedef struct reals {
    double first, second;
} reals;

INLINE reals two(double first, double second) {
    reals found;
    found.first = first;
    found.second = second;
    return found;
}

INLINE reals same(double value) {
    return two(value, value);
}

INLINE reals some(const double *values) {
    return two(values[0], values[1]);
}

INLINE reals product(reals one, reals other) {
    return two(one.first * other.first, one.second * other.second);
}

INLINE reals sum(reals one, reals other) {
    return two(one.first + other.first, one.second + other.second);
}

INLINE reals larger(reals one, reals other) {
    return two(one.first > other.first ? one.first : other.first,
               one.second > other.second ? one.second : other.second);
}

INLINE reals smaller(reals one, reals other) {
    return two(one.first < other.first ? one.first : other.first,
               one.second < other.second ? one.second : other.second);
}

INLINE reals pair(const int32_t *values) {
    return two(values[0], values[1]);
}

INLINE void whole(reals value, int32_t found[2]) {
    found[0] = (int32_t)value.first;
    found[1] = (int32_t)value.second;
}

/* Bounds are whole numbers; where a double's last bit is 1 nothing is left behind the point. */
INLINE reals rounded(reals value, double low, double high) {
    const double shifter = 6755399441055744.0; /* 1.5 * 2^52 */
    value = larger(smaller(value, same(high)), same(low));
    return two((value.first + shifter) - shifter, (value.second + shifter) - shifter);
}

#endif

#endif
