/* What the kernels with AVX512-VNNI share. */
#ifndef KNL_AVX512_H
#define KNL_AVX512_H

#include "knl_simd.h"
#include "knl_x86.h"

#ifdef KNL_X86

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define INLINE static inline __attribute__((always_inline)) TARGET

/* Sixteen elements of x. */
INLINE __m512i elements(const uint8_t *x, uint32_t type, uint32_t c, __mmask16 which) {
    if (type == KNL_S16)
        return _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(which, x + 2 * (size_t)c));
    return type == KNL_S8 ? _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(which, x + c))
                          : _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(which, x + c));
}

/* knl_avx512_results.c */
void knl_avx512_finish(const int32_t *sums, const knl_rounding *how, uint32_t first,
                       const knl_places *to, uint32_t residual, uint32_t channels, int wide);
void knl_avx512_requantize(const int32_t *sums, const knl_rounding *how, uint32_t first,
                           uint32_t channels, int32_t *values);
void knl_avx512_lines(const int32_t *sums, const knl_rounding *how, const knl_lines *table,
                      uint32_t first, const knl_places *to, uint32_t channels, int wide);
void knl_avx512_join(const uint8_t *x, const uint8_t *z, const knl_joining *how, size_t count,
                     uint8_t *y);

#endif

#endif
