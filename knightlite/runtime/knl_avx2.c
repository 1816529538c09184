/* Kernels with AVX2: pairs of products of 16 bits, added up in 32 bits. */
#include "knl_simd.h"
#include "knl_x86.h"

#ifdef KNL_X86

#define TARGET __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline)) TARGET

/* A register holds the two pairs of four channels: added up behind all steps. */
enum { LANES = 8, PIXELS = 6, STEP_BYTES = LANES * KNL_STEP * 2 };

INLINE __m256i load(const void *at) {
    return _mm256_loadu_si256((const __m256i *)at);
}

INLINE void store(void *at, __m256i value) {
    _mm256_storeu_si256((__m256i *)at, value);
}

INLINE void dot_of(const uint8_t *const *x, const unsigned count, const uint8_t *weights,
                   const knl_taps *taps, const int32_t *start, int32_t *sums) {
    __m256i found[PIXELS][2];
    unsigned i;
    uint32_t row, column;
    size_t step;
#pragma GCC unroll 6
    for (i = 0; i < count; i++)
        found[i][0] = found[i][1] = _mm256_setzero_si256();
    for (row = 0; row < taps->rows; row++)
        for (column = 0; column < taps->columns; column++) {
            size_t at = row * taps->row_bytes + column * taps->column_bytes;
            for (step = 0; step < taps->steps; step++, at += 2 * KNL_STEP, weights += STEP_BYTES) {
                __m256i one = load(weights), two = load(weights + STEP_BYTES / 2);
#pragma GCC unroll 6
                for (i = 0; i < count; i++) {
                    long long four;
                    __m256i value;
                    memcpy(&four, x[i] + at, 2 * KNL_STEP);
                    value = _mm256_set1_epi64x(four);
                    found[i][0] = _mm256_add_epi32(found[i][0], _mm256_madd_epi16(value, one));
                    found[i][1] = _mm256_add_epi32(found[i][1], _mm256_madd_epi16(value, two));
                }
            }
        }
#pragma GCC unroll 6
    for (i = 0; i < count; i++) { /* [0 1 4 5 2 3 6 7] */
        __m256i both = _mm256_hadd_epi32(found[i][0], found[i][1]);
        both = _mm256_permute4x64_epi64(both, 0xd8);
        store(sums + i * LANES, _mm256_add_epi32(both, load(start)));
    }
}

TARGET static void dot(const uint8_t *const *x, unsigned count, uint32_t channels,
                       const uint8_t *weights, const knl_taps *taps, const int32_t *start,
                       int32_t *sums) {
    (void)channels; /* all lanes, always */
    while (count) { /* the largest of these that there are, then the rest */
        unsigned part = count >= 6 ? 6 : count >= 4 ? 4 : count >= 2 ? 2 : 1;
        if (part == 6)
            dot_of(x, 6, weights, taps, start, sums);
        else if (part == 4)
            dot_of(x, 4, weights, taps, start, sums);
        else if (part == 2)
            dot_of(x, 2, weights, taps, start, sums);
        else
            dot_of(x, 1, weights, taps, start, sums);
        x += part;
        sums += part * LANES;
        count -= part;
    }
}

/* Of sixteen channels of so many pixels, a constant. Taps of a row go by two: pairs of 16 bits. */
INLINE void lanewise_of(const uint8_t *x, size_t step, const unsigned count,
                        const int16_t *weights, size_t weight_row, const knl_taps *taps,
                        int32_t *sums) {
    __m256i low[4], high[4];
    uint32_t row, column;
    unsigned i;
#pragma GCC unroll 4
    for (i = 0; i < count; i++)
        low[i] = high[i] = _mm256_setzero_si256();
    for (row = 0; row < taps->rows; row++)
        for (column = 0; column < taps->columns; column += 2) {
            const uint8_t *at = x + row * taps->row_bytes + column * taps->column_bytes;
            int alone = column + 1 == taps->columns;
            size_t beside = alone ? 0 : taps->column_bytes;
            __m256i one = load(weights), two = _mm256_setzero_si256(), lower, upper;
            if (!alone)
                two = load(weights + weight_row);
            weights += alone ? weight_row : 2 * weight_row;
            lower = _mm256_unpacklo_epi16(one, two);
            upper = _mm256_unpackhi_epi16(one, two);
#pragma GCC unroll 4
            for (i = 0; i < count; i++) {
                __m256i a = load(at + i * step), b = load(at + i * step + beside);
                low[i] = _mm256_add_epi32(
                    low[i], _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), lower));
                high[i] = _mm256_add_epi32(
                    high[i], _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), upper));
            }
        }
#pragma GCC unroll 4
    for (i = 0; i < count; i++) {
        int32_t *to = sums + i * KNL_MOST_LANES;
        store(to, _mm256_permute2x128_si256(low[i], high[i], 0x20));
        store(to + 8, _mm256_permute2x128_si256(low[i], high[i], 0x31));
    }
}

TARGET static void lanewise(const uint8_t *x, size_t step, unsigned count, const int16_t *weights,
                            size_t row, const knl_taps *taps, uint32_t channels, int32_t *sums) {
    uint32_t c;
    for (c = 0; c < channels; c += 16) {
        const uint8_t *from = x + 2 * (size_t)c;
        int32_t *to = sums + c;
        unsigned left = count;
        for (; left >= 4; left -= 4, from += 4 * step, to += 4 * KNL_MOST_LANES)
            lanewise_of(from, step, 4, weights + c, row, taps, to);
        for (; left; left--, from += step, to += KNL_MOST_LANES)
            lanewise_of(from, step, 1, weights + c, row, taps, to);
    }
}

TARGET static void convert(const uint8_t *x, int is_signed, int wide, int32_t add, size_t count,
                           uint8_t *to) {
    size_t at = 0;
    (void)add;
    (void)wide; /* always: a signed x needs no offset */
    for (; at + 16 <= count; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(x + at));
        store(to + 2 * at, is_signed ? _mm256_cvtepi8_epi16(bytes) : _mm256_cvtepu8_epi16(bytes));
    }
    for (; at < count; at++) {
        int16_t value = (int16_t)(is_signed ? knl_s8(x + at) : x[at]);
        memcpy(to + 2 * at, &value, 2);
    }
}

/* Eight elements of x; what lies behind the channels is read too. */
INLINE __m256i elements(const uint8_t *x, uint32_t type, uint32_t c) {
    if (type == KNL_S16)
        return _mm256_cvtepi16_epi32(
            _mm_loadu_si128((const __m128i *)(const void *)(x + 2 * (size_t)c)));
    return type == KNL_S8
               ? _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(x + c)))
               : _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(x + c)));
}

TARGET static void prologue(const uint8_t *x, uint32_t x_type, const knl_prologue *how, int wide,
                            int32_t add, uint32_t channels, uint8_t *to) {
    const __m256i low = _mm256_set1_epi32(how->low), high = _mm256_set1_epi32(how->high);
    uint32_t c, i;
    (void)add;
    (void)wide;
    for (c = 0; c < channels; c += 8) {
        __m256i value = elements(x, x_type, c);
        __m256i q = load(how->q + c), odd;
        int16_t found[8];
        __m128i narrow;
        value = _mm256_add_epi32(_mm256_mullo_epi32(value, load(how->m + c)), load(how->b + c));
        odd = _mm256_and_si256(_mm256_srav_epi32(value, q), _mm256_set1_epi32(1));
        odd = _mm256_and_si256(odd, _mm256_cmpgt_epi32(q, _mm256_setzero_si256()));
        value = _mm256_add_epi32(value, _mm256_add_epi32(odd, load(how->half + c)));
        value = _mm256_srav_epi32(value, q);
        value = _mm256_max_epi32(_mm256_min_epi32(value, high), low);
        narrow = _mm_packs_epi32(_mm256_castsi256_si128(value),
                                 _mm256_extracti128_si256(value, 1));
        _mm_storeu_si128((__m128i *)(void *)found, narrow);
        i = channels - c < 8 ? channels - c : 8;
        memcpy(to + 2 * (size_t)c, found, 2 * (size_t)i);
    }
}

INLINE __m256d rounded(__m256d value, double low, double high) {
    value = _mm256_round_pd(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return _mm256_max_pd(_mm256_min_pd(value, _mm256_set1_pd(high)), _mm256_set1_pd(low));
}

INLINE __m256d requantized(const int32_t *sums, const knl_rounding *how, uint32_t channel) {
    __m256d value = _mm256_cvtepi32_pd(_mm_loadu_si128((const __m128i *)(const void *)sums));
    value = _mm256_mul_pd(value, _mm256_loadu_pd(how->scale + channel));
    value = _mm256_add_pd(value, _mm256_loadu_pd(how->offset + channel));
    return rounded(value, how->low, how->high);
}

/* Four elements of 8 bits. */
INLINE __m256d four(const uint8_t *x, uint32_t type) {
    int found;
    __m128i bytes;
    memcpy(&found, x, 4);
    bytes = _mm_cvtsi32_si128(found);
    return _mm256_cvtepi32_pd(type == KNL_S8 ? _mm_cvtepi8_epi32(bytes)
                                             : _mm_cvtepu8_epi32(bytes));
}

/* Up to four whole numbers to elements of y. */
INLINE void put(__m128i found, int wide, size_t count, uint8_t *y) {
    /* to bytes, whatever their type: the lowest of each lane */
    const __m128i lowest = _mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                         -1, -1);
    uint8_t bytes[16];
    found = wide ? _mm_packs_epi32(found, found) : _mm_shuffle_epi8(found, lowest);
    _mm_storeu_si128((__m128i *)(void *)bytes, found);
    if (count >= 4)
        memcpy(y, bytes, wide ? 8 : 4);
    else
        memcpy(y, bytes, (wide ? 2 : 1) * count);
}

TARGET static void finish(const int32_t *sums, const knl_rounding *how, uint32_t first,
                          const knl_places *to, uint32_t residual, uint32_t channels, int wide) {
    uint32_t c;
    unsigned i;
    for (i = 0; i < to->count; i++, sums += to->stride)
        for (c = 0; c < channels; c += 4) {
            size_t channel = (size_t)first + c;
            __m256d value = requantized(sums + c, how, first + c);
            if (residual != KNL_S16) {
                __m256d other = _mm256_mul_pd(four(to->residual[i] + channel, residual),
                                              _mm256_set1_pd(how->residual));
                value = _mm256_add_pd(_mm256_mul_pd(value, _mm256_set1_pd(how->factor)), other);
                value = rounded(value, how->y_low, how->y_high);
            }
            put(_mm256_cvtpd_epi32(value), wide, channels - c, to->y[i] + (wide ? 2 : 1) * channel);
        }
}

TARGET static void requantize(const int32_t *sums, const knl_rounding *how, uint32_t first,
                              uint32_t channels, int32_t *values) {
    uint32_t c;
    for (c = 0; c < channels; c += 4)
        _mm_storeu_si128((__m128i *)(void *)(values + c),
                         _mm256_cvtpd_epi32(requantized(sums + c, how, first + c)));
}

TARGET static void pack(const uint8_t *const *rows, uint32_t channels, int32_t offset, uint8_t *to,
                        int32_t *start) {
    uint8_t eight[KNL_STEP][LANES] = {{0}};
    __m128i row[KNL_STEP], low, high;
    uint32_t i;
    (void)offset;
    (void)start;
    for (i = 0; i < KNL_STEP; i++) {
        if (rows[i])
            memcpy(eight[i], rows[i], channels < LANES ? channels : LANES);
        row[i] = _mm_loadl_epi64((const __m128i *)(const void *)eight[i]);
    }
    low = _mm_unpacklo_epi8(row[0], row[1]);
    high = _mm_unpacklo_epi8(row[2], row[3]);
    store(to, _mm256_cvtepi8_epi16(_mm_unpacklo_epi16(low, high)));
    store(to + STEP_BYTES / 2, _mm256_cvtepi8_epi16(_mm_unpackhi_epi16(low, high)));
}

TARGET static void lines(const int32_t *sums, const knl_rounding *how, const knl_lines *table,
                         uint32_t first, const knl_places *to, uint32_t channels, int wide) {
    const __m128i shift = _mm_cvtsi32_si128((int)table->shift);
    const __m128i down = _mm_cvtsi32_si128((int)(table->shift + table->fraction));
    const __m256i interval = _mm256_set1_epi32(1 << table->shift), one = _mm256_set1_epi32(1);
    const __m256i half = _mm256_set1_epi32((1 << (table->shift + table->fraction - 1)) - 1);
    const __m256i low = _mm256_set1_epi32(table->low), high = _mm256_set1_epi32(table->high);
    uint32_t c, size = wide ? 2 : 1;
    unsigned i;
    for (i = 0; i < to->count; i++, sums += to->stride)
        for (c = 0; c < channels; c += 8) {
            uint8_t *y = to->y[i] + ((size_t)first + c) * size;
            __m256i place, index, rest, ends, weights, value;
            /* what lies behind the channels is within the table, too: it is clamped */
            place = _mm256_castsi128_si256(
                _mm256_cvtpd_epi32(requantized(sums + c, how, first + c)));
            place = _mm256_inserti128_si256(
                place, _mm256_cvtpd_epi32(requantized(sums + c + 4, how, first + c + 4)), 1);
            place = _mm256_add_epi32(place, _mm256_set1_epi32(32768));
            index = _mm256_srl_epi32(place, shift);
            rest = _mm256_and_si256(place, _mm256_sub_epi32(interval, one));
            /* both ends of the line: the lower half is the left one */
            ends = _mm256_i32gather_epi32((const int *)(const void *)table->table, index, 2);
            /* left * (interval - rest) + right * rest, as pairs of 16 bits */
            weights = _mm256_or_si256(_mm256_slli_epi32(rest, 16),
                                      _mm256_sub_epi32(interval, rest));
            value = _mm256_madd_epi16(ends, weights);
            value = _mm256_add_epi32(
                value,
                _mm256_add_epi32(half, _mm256_and_si256(_mm256_sra_epi32(value, down), one)));
            value = _mm256_sra_epi32(value, down);
            value = _mm256_max_epi32(_mm256_min_epi32(value, high), low);
            put(_mm256_castsi256_si128(value), wide, channels - c, y);
            if (channels - c > 4)
                put(_mm256_extracti128_si256(value, 1), wide, channels - c - 4,
                    y + 4 * (size_t)size);
        }
}

/* Up to four elements. */
INLINE __m256d some(const uint8_t *x, uint32_t type, size_t count) {
    int32_t found[4] = {0};
    size_t i;
    if (type != KNL_S16 && count >= 4)
        return four(x, type);
    for (i = 0; i < 4 && i < count; i++)
        found[i] = knl_element(x + i * knl_size(type), type);
    return _mm256_cvtepi32_pd(_mm_loadu_si128((const __m128i *)(const void *)found));
}

TARGET static void join(const uint8_t *x, const uint8_t *z, const knl_joining *how, size_t count,
                        uint8_t *y) {
    const __m256d x_factor = _mm256_set1_pd(how->x_factor);
    const __m256d z_factor = _mm256_set1_pd(how->z_factor);
    size_t at;
    for (at = 0; at < count; at += 4) {
        __m256d one = some(x + at * knl_size(how->x_type), how->x_type, count - at), found;
        __m256d other = some(z + at * knl_size(how->z_type), how->z_type, count - at);
        one = _mm256_mul_pd(one, x_factor);
        if (how->mode != KNL_ELTWISE_MUL)
            other = _mm256_mul_pd(other, z_factor);
        found = how->mode == KNL_ELTWISE_ADD   ? _mm256_add_pd(one, other)
                : how->mode == KNL_ELTWISE_MUL ? _mm256_mul_pd(one, other)
                : how->mode == KNL_ELTWISE_MAX ? _mm256_max_pd(one, other)
                                               : _mm256_min_pd(one, other);
        found = rounded(found, how->low, how->high);
        put(_mm256_cvtpd_epi32(found), how->y_type == KNL_S16, count - at,
            y + at * knl_size(how->y_type));
    }
}

const knl_simd *knl_avx2(void) {
    static const knl_simd kernels = {LANES,   PIXELS,   2,    0,      0,          dot,  lanewise,
                                     convert, prologue, pack, finish, requantize, lines, join};
    return knl_has(0x06, bit_AVX2, 0) ? &kernels : NULL;
}

#else

const knl_simd *knl_avx2(void) {
    return NULL;
}

#endif
