/* Kernels with AVX512-VNNI: four products of 8 bits to a lane and cycle, added up in 32 bits. */
#include "knl_simd.h"
#include "knl_x86.h"

#ifdef KNL_X86

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define INLINE static inline __attribute__((always_inline)) TARGET

enum { LANES = 32, STEP_BYTES = LANES * KNL_STEP };

/* Sums of so many pixels, a constant, in registers. */
INLINE void dot_of(const uint8_t *const *x, const unsigned count, const uint8_t *weights,
                   const knl_taps *taps, const int32_t *start, int32_t *sums) {
    __m512i found[KNL_MOST_PIXELS][2];
    unsigned i;
    uint32_t row, column;
    size_t step;
#pragma GCC unroll 12
    for (i = 0; i < count; i++) {
        found[i][0] = _mm512_loadu_si512(start);
        found[i][1] = _mm512_loadu_si512(start + LANES / 2);
    }
    for (row = 0; row < taps->rows; row++)
        for (column = 0; column < taps->columns; column++) {
            size_t at = row * taps->row_bytes + column * taps->column_bytes;
            for (step = 0; step < taps->steps; step++, at += KNL_STEP, weights += STEP_BYTES) {
                __m512i one = _mm512_loadu_si512(weights);
                __m512i two = _mm512_loadu_si512(weights + STEP_BYTES / 2);
#pragma GCC unroll 12
                for (i = 0; i < count; i++) {
                    int four;
                    __m512i value;
                    memcpy(&four, x[i] + at, KNL_STEP);
                    value = _mm512_set1_epi32(four);
                    found[i][0] = _mm512_dpbusd_epi32(found[i][0], value, one);
                    found[i][1] = _mm512_dpbusd_epi32(found[i][1], value, two);
                }
            }
        }
#pragma GCC unroll 12
    for (i = 0; i < count; i++) {
        _mm512_storeu_si512(sums + i * LANES, found[i][0]);
        _mm512_storeu_si512(sums + i * LANES + LANES / 2, found[i][1]);
    }
}

TARGET static void dot(const uint8_t *const *x, unsigned count, const uint8_t *weights,
                       const knl_taps *taps, const int32_t *start, int32_t *sums) {
    while (count) { /* the largest of these that there are, then the rest */
        unsigned part = count >= 12 ? 12 : count >= 8 ? 8 : count >= 4 ? 4 : 1;
        if (part == 12)
            dot_of(x, 12, weights, taps, start, sums);
        else if (part == 8)
            dot_of(x, 8, weights, taps, start, sums);
        else if (part == 4)
            dot_of(x, 4, weights, taps, start, sums);
        else
            dot_of(x, 1, weights, taps, start, sums);
        x += part;
        sums += part * LANES;
        count -= part;
    }
}

TARGET static void lanewise(const uint8_t *x, const int16_t *weights, const knl_taps *taps,
                            uint32_t channels, int32_t *sums) {
    uint32_t c, row, column;
    for (c = 0; c < channels; c += LANES) {
        __m512i low = _mm512_setzero_si512(), high = low;
        const int16_t *w = weights + c;
        for (row = 0; row < taps->rows; row++)
            for (column = 0; column < taps->columns; column++, w += channels) {
                const uint8_t *at = x + row * taps->row_bytes + column * taps->column_bytes +
                                    2 * (size_t)c;
                __m512i a = _mm512_loadu_si512(at), b = _mm512_loadu_si512(w);
                __m512i least = _mm512_mullo_epi16(a, b), most = _mm512_mulhi_epi16(a, b);
                low = _mm512_add_epi32(low, _mm512_unpacklo_epi16(least, most));
                high = _mm512_add_epi32(high, _mm512_unpackhi_epi16(least, most));
            }
        /* unpacking went by quarters of a register */
        _mm512_storeu_si512(sums + c, _mm512_permutex2var_epi64(
            low, _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), high));
        _mm512_storeu_si512(sums + c + 16, _mm512_permutex2var_epi64(
            low, _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4), high));
    }
}

TARGET static void convert(const uint8_t *x, int is_signed, int wide, int32_t add, size_t count,
                           uint8_t *to) {
    size_t at;
    if (!wide) { /* the offset of a signed value is its sign bit turned */
        __m512i turned = _mm512_set1_epi8((char)add);
        for (at = 0; at < count; at += 64) {
            __mmask64 which = count - at < 64 ? (UINT64_C(1) << (count - at)) - 1 : ~UINT64_C(0);
            __m512i found = _mm512_maskz_loadu_epi8(which, x + at);
            _mm512_mask_storeu_epi8(to + at, which, _mm512_xor_si512(found, turned));
        }
        return;
    }
    for (at = 0; at < count; at += 32) {
        __mmask32 which = count - at < 32 ? (1u << (count - at)) - 1 : ~0u;
        __m256i found = _mm256_maskz_loadu_epi8(which, x + at);
        _mm512_mask_storeu_epi16(to + 2 * at, which,
                                 is_signed ? _mm512_cvtepi8_epi16(found)
                                           : _mm512_cvtepu8_epi16(found));
    }
}

/* Sixteen elements of x. */
INLINE __m512i elements(const uint8_t *x, uint32_t type, uint32_t c, __mmask16 which) {
    if (type == KNL_S16)
        return _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(which, x + 2 * (size_t)c));
    return type == KNL_S8 ? _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(which, x + c))
                          : _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(which, x + c));
}

TARGET static void prologue(const uint8_t *x, uint32_t x_type, const knl_prologue *how, int wide,
                            int32_t add, uint32_t channels, uint8_t *to) {
    const __m512i low = _mm512_set1_epi32(how->low), high = _mm512_set1_epi32(how->high);
    const __m512i one = _mm512_set1_epi32(1);
    const __m128i turned = _mm_set1_epi8((char)add);
    uint32_t c;
    for (c = 0; c < channels; c += 16) {
        __mmask16 which = (__mmask16)(channels - c < 16 ? (1u << (channels - c)) - 1 : 0xffff);
        __m512i value = elements(x, x_type, c, which);
        __m512i q = _mm512_loadu_si512(how->q + c), odd;
        value = _mm512_add_epi32(_mm512_mullo_epi32(value, _mm512_loadu_si512(how->m + c)),
                                 _mm512_loadu_si512(how->b + c));
        odd = _mm512_and_si512(_mm512_srav_epi32(value, q), one);
        /* a shift by 0 adds nothing */
        odd = _mm512_maskz_mov_epi32(_mm512_cmpgt_epi32_mask(q, _mm512_setzero_si512()), odd);
        value = _mm512_add_epi32(value, _mm512_add_epi32(odd, _mm512_loadu_si512(how->half + c)));
        value = _mm512_srav_epi32(value, q);
        value = _mm512_max_epi32(_mm512_min_epi32(value, high), low);
        if (wide)
            _mm256_mask_storeu_epi16(to + 2 * (size_t)c, which, _mm512_cvtepi32_epi16(value));
        else
            _mm_mask_storeu_epi8(to + c, which,
                                 _mm_xor_si128(_mm512_cvtepi32_epi8(value), turned));
    }
}

enum { NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };

/* Eight of them clamped; the bounds are whole numbers, so rounding may follow. */
INLINE __m512d scaled(const int32_t *sums, const knl_rounding *how, uint32_t first, uint32_t c) {
    const void *at = sums + c;
    __m512d value = _mm512_cvtepi32_pd(_mm256_loadu_si256((const __m256i *)at));
    value = _mm512_fmadd_pd(value, _mm512_loadu_pd(how->scale + first + c),
                            _mm512_loadu_pd(how->offset + first + c));
    return _mm512_max_pd(_mm512_min_pd(value, _mm512_set1_pd(how->high)),
                         _mm512_set1_pd(how->low));
}

/* The second tile behind eight that are rounded first; clamped again. */
INLINE __m512d joined(__m512d value, __m256i other, const knl_rounding *how) {
    value = _mm512_mul_pd(_mm512_roundscale_pd(value, NEAREST), _mm512_set1_pd(how->factor));
    value = _mm512_fmadd_pd(_mm512_cvtepi32_pd(other), _mm512_set1_pd(how->residual), value);
    return _mm512_max_pd(_mm512_min_pd(value, _mm512_set1_pd(how->y_high)),
                         _mm512_set1_pd(how->y_low));
}

/* Sixteen rounded: their 32 bits. */
INLINE __m512i whole(__m512d one, __m512d other) {
    __m512i found = _mm512_castsi256_si512(_mm512_cvt_roundpd_epi32(one, NEAREST));
    return _mm512_inserti64x4(found, _mm512_cvt_roundpd_epi32(other, NEAREST), 1);
}

TARGET static void finish(const int32_t *sums, const knl_rounding *how, uint32_t first,
                          const uint8_t *residual, int residual_is_signed, uint32_t channels,
                          int wide, uint8_t *y) {
    uint32_t c;
    for (c = 0; c < channels; c += 16) {
        __mmask16 which = (__mmask16)(channels - c < 16 ? (1u << (channels - c)) - 1 : 0xffff);
        __m512d one = scaled(sums, how, first, c), two = scaled(sums, how, first, c + 8);
        __m512i found;
        if (residual) {
            __m512i other = elements(residual, residual_is_signed ? KNL_S8 : KNL_U8, c, which);
            one = joined(one, _mm512_castsi512_si256(other), how);
            two = joined(two, _mm512_extracti64x4_epi64(other, 1), how);
        }
        found = whole(one, two);
        if (wide)
            _mm256_mask_storeu_epi16(y + 2 * (size_t)c, which, _mm512_cvtepi32_epi16(found));
        else
            _mm_mask_storeu_epi8(y + c, which, _mm512_cvtepi32_epi8(found));
    }
}

TARGET static void requantize(const int32_t *sums, const knl_rounding *how, uint32_t first,
                              uint32_t channels, int32_t *values) {
    uint32_t c;
    for (c = 0; c < channels; c += 16)
        _mm512_storeu_si512(values + c, whole(scaled(sums, how, first, c),
                                              scaled(sums, how, first, c + 8)));
}

TARGET static void pack(const uint8_t *const *rows, uint32_t channels, int32_t offset, uint8_t *to,
                        int32_t *start) {
    uint32_t c, i;
    for (c = 0; c < LANES; c += 16) {
        uint32_t left = channels > c ? channels - c : 0;
        __mmask16 which = (__mmask16)(left < 16 ? (1u << left) - 1 : 0xffff);
        __m128i row[KNL_STEP], low, high;
        __m512i sums = _mm512_setzero_si512(), all;
        for (i = 0; i < KNL_STEP; i++)
            row[i] = rows[i] ? _mm_maskz_loadu_epi8(which, rows[i] + c) : _mm_setzero_si128();
        low = _mm_unpacklo_epi8(row[0], row[1]);
        high = _mm_unpacklo_epi8(row[2], row[3]);
        all = _mm512_castsi128_si512(_mm_unpacklo_epi16(low, high));
        all = _mm512_inserti32x4(all, _mm_unpackhi_epi16(low, high), 1);
        low = _mm_unpackhi_epi8(row[0], row[1]);
        high = _mm_unpackhi_epi8(row[2], row[3]);
        all = _mm512_inserti32x4(all, _mm_unpacklo_epi16(low, high), 2);
        all = _mm512_inserti32x4(all, _mm_unpackhi_epi16(low, high), 3);
        _mm512_storeu_si512(to + KNL_STEP * c, all);
        sums = _mm512_dpbusd_epi32(sums, _mm512_set1_epi8(1), all);
        sums = _mm512_mullo_epi32(sums, _mm512_set1_epi32(offset));
        _mm512_storeu_si512(start + c, _mm512_sub_epi32(_mm512_loadu_si512(start + c), sums));
    }
}

TARGET static void lines(const int32_t *values, const knl_lines *how, uint32_t channels, int wide,
                         uint8_t *y) {
    const __m128i shift = _mm_cvtsi32_si128((int)how->shift);
    const __m128i down = _mm_cvtsi32_si128((int)(how->shift + how->fraction));
    const __m512i interval = _mm512_set1_epi32(1 << how->shift), one = _mm512_set1_epi32(1);
    const __m512i half = _mm512_set1_epi32((1 << (how->shift + how->fraction - 1)) - 1);
    uint32_t c;
    for (c = 0; c < channels; c += 16) {
        __mmask16 which = (__mmask16)(channels - c < 16 ? (1u << (channels - c)) - 1 : 0xffff);
        __m512i place = _mm512_add_epi32(_mm512_maskz_loadu_epi32(which, values + c),
                                         _mm512_set1_epi32(32768));
        __m512i index = _mm512_srl_epi32(place, shift);
        __m512i rest = _mm512_and_si512(place, _mm512_sub_epi32(interval, one));
        /* both ends of the line: the lower half is the left one */
        __m512i ends = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), which, index,
                                                   how->table, 2);
        /* left * (interval - rest) + right * rest, as pairs of 16 bits */
        __m512i weights = _mm512_or_si512(_mm512_slli_epi32(rest, 16),
                                          _mm512_sub_epi32(interval, rest));
        __m512i value = _mm512_madd_epi16(ends, weights);
        value = _mm512_add_epi32(
            value, _mm512_add_epi32(half, _mm512_and_si512(_mm512_sra_epi32(value, down), one)));
        value = _mm512_sra_epi32(value, down);
        value = _mm512_max_epi32(_mm512_min_epi32(value, _mm512_set1_epi32(how->high)),
                                 _mm512_set1_epi32(how->low));
        if (wide)
            _mm256_mask_storeu_epi16(y + 2 * (size_t)c, which, _mm512_cvtepi32_epi16(value));
        else
            _mm_mask_storeu_epi8(y + c, which, _mm512_cvtepi32_epi8(value));
    }
}

const knl_simd *knl_avx512(void) {
    static const knl_simd kernels = {LANES,   KNL_MOST_PIXELS, 1,    128,    0,          dot,
                                     lanewise, convert,        prologue, pack, finish, requantize,
                                     lines};
    return knl_has(0xe6, bit_AVX2 | bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ,
                   bit_AVX512VNNI)
               ? &kernels
               : NULL;
}

#else

const knl_simd *knl_avx512(void) {
    return NULL;
}

#endif
