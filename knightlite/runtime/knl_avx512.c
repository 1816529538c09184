/* Kernels with AVX512-VNNI: four products of 8 bits to a lane and cycle, added up in 32 bits. */
#include "knl_avx512.h"

#ifdef KNL_X86

enum { LANES = 32, STEP_BYTES = LANES * KNL_STEP };

/* Sums of so many pixels and halves of the lanes, constants, in registers. */
INLINE void dot_of(const uint8_t *const *x, const unsigned count, const unsigned halves,
                   const uint8_t *weights, const knl_taps *taps, const int32_t *start,
                   int32_t *sums) {
    __m512i found[KNL_MOST_PIXELS][2];
    unsigned i;
    uint32_t row, column;
    size_t step;
#pragma GCC unroll 12
    for (i = 0; i < count; i++) {
        found[i][0] = _mm512_loadu_si512(start);
        if (halves == 2)
            found[i][1] = _mm512_loadu_si512(start + LANES / 2);
    }
    for (row = 0; row < taps->rows; row++)
        for (column = 0; column < taps->columns; column++) {
            size_t at = row * taps->row_bytes + column * taps->column_bytes;
            for (step = 0; step < taps->steps; step++, at += KNL_STEP, weights += STEP_BYTES) {
                __m512i one = _mm512_loadu_si512(weights), two = one;
                if (halves == 2)
                    two = _mm512_loadu_si512(weights + STEP_BYTES / 2);
#pragma GCC unroll 12
                for (i = 0; i < count; i++) {
                    int four;
                    __m512i value;
                    memcpy(&four, x[i] + at, KNL_STEP);
                    value = _mm512_set1_epi32(four);
                    found[i][0] = _mm512_dpbusd_epi32(found[i][0], value, one);
                    if (halves == 2)
                        found[i][1] = _mm512_dpbusd_epi32(found[i][1], value, two);
                }
            }
        }
#pragma GCC unroll 12
    for (i = 0; i < count; i++) {
        _mm512_storeu_si512(sums + i * LANES, found[i][0]);
        if (halves == 2)
            _mm512_storeu_si512(sums + i * LANES + LANES / 2, found[i][1]);
    }
}

TARGET static void dot(const uint8_t *const *x, unsigned count, uint32_t channels,
                       const uint8_t *weights, const knl_taps *taps, const int32_t *start,
                       int32_t *sums) {
    while (count) { /* the largest of these that there are, then the rest */
        unsigned part = count >= 12 ? 12 : count >= 8 ? 8 : count >= 4 ? 4 : 1;
        if (part == 12 && channels <= LANES / 2)
            dot_of(x, 12, 1, weights, taps, start, sums);
        else if (part == 12)
            dot_of(x, 12, 2, weights, taps, start, sums);
        else if (part == 8)
            dot_of(x, 8, 2, weights, taps, start, sums);
        else if (part == 4)
            dot_of(x, 4, 2, weights, taps, start, sums);
        else
            dot_of(x, 1, 2, weights, taps, start, sums);
        x += part;
        sums += part * LANES;
        count -= part;
    }
}

/* Of 32 channels of so many pixels, a constant. Taps of a row go by two: pairs of 16 bits. */
INLINE void lanewise_of(const uint8_t *x, size_t step, const unsigned count,
                        const int16_t *weights, size_t weight_row, const knl_taps *taps,
                        int32_t *sums) {
    const __m512i first = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    const __m512i second = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    __m512i low[4], high[4];
    uint32_t row, column;
    unsigned i;
#pragma GCC unroll 4
    for (i = 0; i < count; i++)
        low[i] = high[i] = _mm512_setzero_si512();
    for (row = 0; row < taps->rows; row++)
        for (column = 0; column < taps->columns; column += 2) {
            const uint8_t *at = x + row * taps->row_bytes + column * taps->column_bytes;
            int alone = column + 1 == taps->columns;
            size_t beside = alone ? 0 : taps->column_bytes;
            __m512i one = _mm512_loadu_si512(weights), two = _mm512_setzero_si512();
            __m512i lower, upper;
            if (!alone)
                two = _mm512_loadu_si512(weights + weight_row);
            weights += alone ? weight_row : 2 * weight_row;
            lower = _mm512_unpacklo_epi16(one, two);
            upper = _mm512_unpackhi_epi16(one, two);
#pragma GCC unroll 4
            for (i = 0; i < count; i++) {
                __m512i a = _mm512_loadu_si512(at + i * step);
                __m512i b = _mm512_loadu_si512(at + i * step + beside);
                low[i] = _mm512_dpwssd_epi32(low[i], _mm512_unpacklo_epi16(a, b), lower);
                high[i] = _mm512_dpwssd_epi32(high[i], _mm512_unpackhi_epi16(a, b), upper);
            }
        }
#pragma GCC unroll 4
    for (i = 0; i < count; i++) { /* unpacking went by quarters of a register */
        int32_t *to = sums + i * KNL_MOST_LANES;
        _mm512_storeu_si512(to, _mm512_permutex2var_epi64(low[i], first, high[i]));
        _mm512_storeu_si512(to + 16, _mm512_permutex2var_epi64(low[i], second, high[i]));
    }
}

TARGET static void lanewise(const uint8_t *x, size_t step, unsigned count, const int16_t *weights,
                            size_t row, const knl_taps *taps, uint32_t channels, int32_t *sums) {
    (void)channels; /* what lies behind them is computed and left */
    for (; count >= 4; count -= 4, x += 4 * step, sums += 4 * KNL_MOST_LANES)
        lanewise_of(x, step, 4, weights, row, taps, sums);
    for (; count >= 2; count -= 2, x += 2 * step, sums += 2 * KNL_MOST_LANES)
        lanewise_of(x, step, 2, weights, row, taps, sums);
    if (count)
        lanewise_of(x, step, 1, weights, row, taps, sums);
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

const knl_simd *knl_avx512(void) {
    static const knl_simd kernels = {
        LANES, KNL_MOST_PIXELS, 1, 128, 0, dot, lanewise, convert, prologue, pack,
        knl_avx512_finish, knl_avx512_requantize, knl_avx512_lines, knl_avx512_join};
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
