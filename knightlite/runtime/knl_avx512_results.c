/* Results with AVX512: thirty-two sums at a time, rounded in float64 where that is exact. */
#include "knl_avx512.h"

#ifdef KNL_X86

enum { NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };

/* What eight channels are scaled with. */
typedef struct scaling {
    __m512d scale, offset;
} scaling;

/* Two halves of sixteen: channels c to c + 31 of a pixel, or c to c + 15 of two pixels. */
typedef struct halves {
    int paired;
    scaling by[4];
    const int32_t *sums[2];
    uint8_t *y[2];
    const uint8_t *residual[2];
    __mmask16 which[2];
} halves;

INLINE __mmask16 lanes_of(uint32_t channels) {
    return (__mmask16)(channels < 16 ? (1u << channels) - 1 : 0xffff);
}

INLINE void set_scaling(halves *now, const knl_rounding *how, uint32_t channel, uint32_t left) {
    unsigned i;
    now->paired = left <= 16;
    now->which[0] = lanes_of(left);
    now->which[1] = lanes_of(now->paired ? left : left - 16);
#pragma GCC unroll 4
    for (i = 0; i < 4; i++) {
        uint32_t at = channel + 8 * (now->paired ? i % 2 : i);
        now->by[i].scale = _mm512_loadu_pd(how->scale + at);
        now->by[i].offset = _mm512_loadu_pd(how->offset + at);
    }
}

/* From pixel i on; how many pixels are done with it. */
INLINE unsigned set_places(halves *now, const int32_t *sums, const knl_places *to, unsigned i,
                           size_t channel, size_t size) {
    int both = now->paired && i + 1 < to->count;
    const uint8_t *residual = to->residual[i];
    now->sums[0] = sums;
    now->y[0] = to->y[i] + channel * size;
    now->residual[0] = residual ? residual + channel : NULL;
    if (both) {
        now->sums[1] = sums + to->stride;
        now->y[1] = to->y[i + 1] + channel * size;
        now->residual[1] = residual ? to->residual[i + 1] + channel : NULL;
        return 2;
    }
    if (now->paired) /* the last one: its other half is nothing */
        now->which[1] = 0;
    now->sums[1] = now->paired ? sums : sums + 16;
    now->y[1] = now->y[0] + (now->paired ? 0 : 16 * size);
    now->residual[1] = residual ? now->residual[0] + (now->paired ? 0 : 16) : NULL;
    return 1;
}

INLINE __m512d clamped(__m512d value, double low, double high) {
    return _mm512_max_pd(_mm512_min_pd(value, _mm512_set1_pd(high)), _mm512_set1_pd(low));
}

INLINE __m512d scaled(const int32_t *sums, const scaling *by) {
    __m512d value = _mm512_cvtepi32_pd(_mm256_loadu_si256((const __m256i *)(const void *)sums));
    return _mm512_fmadd_pd(value, by->scale, by->offset);
}

/* The second tile behind eight that are rounded first; clamped again. */
INLINE __m512d joined(__m512d value, __m256i other, const knl_rounding *how) {
    value = _mm512_mul_pd(_mm512_roundscale_pd(value, NEAREST), _mm512_set1_pd(how->factor));
    value = _mm512_fmadd_pd(_mm512_cvtepi32_pd(other), _mm512_set1_pd(how->residual), value);
    return clamped(value, how->y_low, how->y_high);
}

/* Eight rounded, of 32 bits. */
INLINE __m256i whole(__m512d value) {
    return _mm512_cvt_roundpd_epi32(value, NEAREST);
}

/* Thirty-two of 16 bits and their bounds. */
typedef struct range {
    __m512i low, high;
} range;

INLINE range range_of(double low, double high) {
    range found;
    found.low = _mm512_set1_epi16((short)low);
    found.high = _mm512_set1_epi16((short)high);
    return found;
}

INLINE __m512i within(__m512i values, const range *bounds) {
    return _mm512_max_epi16(_mm512_min_epi16(values, bounds->high), bounds->low);
}

/* Four times eight of 32 bits to 16: [0-3 8-11 | 4-7 12-15 | 16-19 24-27 | 20-23 28-31]. */
INLINE __m512i narrowed(const __m256i four[4]) {
    __m512i found = _mm512_castsi256_si512(_mm256_packs_epi32(four[0], four[1]));
    return _mm512_inserti64x4(found, _mm256_packs_epi32(four[2], four[3]), 1);
}

/* To elements of y, from this order. */
INLINE void put(const halves *now, __m512i values, int wide) {
    const __m512i words = _mm512_set_epi64(7, 5, 6, 4, 3, 1, 2, 0);
    const __m256i bytes = _mm256_set_epi32(7, 5, 6, 4, 3, 1, 2, 0);
    if (wide) {
        values = _mm512_permutexvar_epi64(words, values);
        _mm256_mask_storeu_epi16(now->y[0], now->which[0], _mm512_castsi512_si256(values));
        _mm256_mask_storeu_epi16(now->y[1], now->which[1], _mm512_extracti64x4_epi64(values, 1));
    } else {
        __m256i found = _mm256_permutevar8x32_epi32(_mm512_cvtepi16_epi8(values), bytes);
        _mm_mask_storeu_epi8(now->y[0], now->which[0], _mm256_castsi256_si128(found));
        _mm_mask_storeu_epi8(now->y[1], now->which[1], _mm256_extracti128_si256(found, 1));
    }
}

/* Sixteen of the second tile. */
INLINE void put_apart(__m512i values, __m256i found[2]) {
    found[0] = _mm512_castsi512_si256(values);
    found[1] = _mm512_extracti64x4_epi64(values, 1);
}

INLINE void finish_of(const int32_t *sums, const knl_rounding *how, uint32_t first,
                      const knl_places *to, const uint32_t residual, uint32_t channels,
                      const int wide, const int fits) {
    const range bounds = residual == KNL_S16 ? range_of(how->low, how->high)
                                             : range_of(how->y_low, how->y_high);
    uint32_t c;
    unsigned i, part, done;
    for (c = 0; c < channels; c += 32) {
        const int32_t *from = sums + c;
        halves now;
        set_scaling(&now, how, first + c, channels - c);
        for (i = 0; i < to->count; i += done, from += done * to->stride) {
            __m256i found[4], other[4];
            done = set_places(&now, from, to, i, (size_t)first + c, wide ? 2 : 1);
            if (residual != KNL_S16) {
                put_apart(elements(now.residual[0], residual, 0, now.which[0]), other);
                put_apart(elements(now.residual[1], residual, 0, now.which[1]), other + 2);
            }
#pragma GCC unroll 4
            for (part = 0; part < 4; part++) {
                __m512d value = scaled(now.sums[part / 2] + 8 * (part % 2), &now.by[part]);
                if (!fits || residual != KNL_S16)
                    value = clamped(value, how->low, how->high);
                if (residual != KNL_S16)
                    value = joined(value, other[part], how);
                found[part] = whole(value);
            }
            put(&now, within(narrowed(found), &bounds), wide);
        }
    }
}

TARGET void knl_avx512_finish(const int32_t *sums, const knl_rounding *how, uint32_t first,
                              const knl_places *to, uint32_t residual, uint32_t channels,
                              int wide) {
    if (residual == KNL_S8)
        finish_of(sums, how, first, to, KNL_S8, channels, wide, 0);
    else if (residual == KNL_U8)
        finish_of(sums, how, first, to, KNL_U8, channels, wide, 0);
    else if (how->fits && !wide)
        finish_of(sums, how, first, to, KNL_S16, channels, 0, 1);
    else
        finish_of(sums, how, first, to, KNL_S16, channels, wide, how->fits);
}

TARGET void knl_avx512_requantize(const int32_t *sums, const knl_rounding *how, uint32_t first,
                                  uint32_t channels, int32_t *values) {
    uint32_t c;
    for (c = 0; c < channels; c += 8) {
        scaling by = {_mm512_loadu_pd(how->scale + first + c),
                      _mm512_loadu_pd(how->offset + first + c)};
        _mm256_storeu_si256((__m256i *)(void *)(values + c),
                            whole(clamped(scaled(sums + c, &by), how->low, how->high)));
    }
}

/* What a table with lines is read with. */
typedef struct ruler {
    const uint8_t *table;
    __m512i interval, most, half, one, zero;
    __m128i shift, down;
} ruler;

/* Sixteen places, of 32 bits, and the pairs of weights of their ends. */
INLINE __m512i line(const ruler *by, __m512i index, __m512i weights) {
    __m512i ends = _mm512_i32gather_epi32(index, by->table, 2); /* the lower half is the left one */
    __m512i value = _mm512_madd_epi16(ends, weights);
    __m512i odd = _mm512_and_si512(_mm512_sra_epi32(value, by->down), by->one);
    return _mm512_sra_epi32(_mm512_add_epi32(_mm512_add_epi32(value, by->half), odd), by->down);
}

INLINE void lines_of(const int32_t *sums, const knl_rounding *how, const knl_lines *table,
                     uint32_t first, const knl_places *to, uint32_t channels, const int wide,
                     const int fits) {
    const range before = range_of(how->low, how->high), bounds = range_of(table->low, table->high);
    const __m512i sign = _mm512_set1_epi16(INT16_MIN);
    uint32_t c;
    unsigned i, part, done;
    ruler by;
    by.table = table->table;
    by.shift = _mm_cvtsi32_si128((int)table->shift);
    by.down = _mm_cvtsi32_si128((int)(table->shift + table->fraction));
    by.interval = _mm512_set1_epi16((short)(1 << table->shift));
    by.most = _mm512_set1_epi16((short)((1 << table->shift) - 1));
    by.half = _mm512_set1_epi32((1 << (table->shift + table->fraction - 1)) - 1);
    by.one = _mm512_set1_epi32(1);
    by.zero = _mm512_setzero_si512();
    for (c = 0; c < channels; c += 32) {
        const int32_t *from = sums + c;
        halves now;
        set_scaling(&now, how, first + c, channels - c);
        for (i = 0; i < to->count; i += done, from += done * to->stride) {
            __m512i place, index, rest, left, low, high;
            __m256i found[4];
            done = set_places(&now, from, to, i, (size_t)first + c, wide ? 2 : 1);
#pragma GCC unroll 4
            for (part = 0; part < 4; part++) {
                __m512d value = scaled(now.sums[part / 2] + 8 * (part % 2), &now.by[part]);
                found[part] = whole(fits ? value : clamped(value, how->low, how->high));
            }
            /* what lies behind the channels is within the table, too: it is clamped */
            place = _mm512_xor_si512(within(narrowed(found), &before), sign);
            index = _mm512_srl_epi16(place, by.shift);
            rest = _mm512_and_si512(place, by.most);
            left = _mm512_sub_epi16(by.interval, rest);
            low = line(&by, _mm512_unpacklo_epi16(index, by.zero),
                       _mm512_unpacklo_epi16(left, rest));
            high = line(&by, _mm512_unpackhi_epi16(index, by.zero),
                        _mm512_unpackhi_epi16(left, rest));
            put(&now, within(_mm512_packs_epi32(low, high), &bounds), wide);
        }
    }
}

TARGET void knl_avx512_lines(const int32_t *sums, const knl_rounding *how, const knl_lines *table,
                             uint32_t first, const knl_places *to, uint32_t channels, int wide) {
    if (how->fits && !wide)
        lines_of(sums, how, table, first, to, channels, 0, 1);
    else
        lines_of(sums, how, table, first, to, channels, wide, how->fits);
}

/* Eight of two operands. */
INLINE __m256i joined_of(__m256i x, __m256i z, const knl_joining *how) {
    __m512d one = _mm512_mul_pd(_mm512_cvtepi32_pd(x), _mm512_set1_pd(how->x_factor));
    __m512d other = _mm512_cvtepi32_pd(z), found;
    if (how->mode != KNL_ELTWISE_MUL)
        other = _mm512_mul_pd(other, _mm512_set1_pd(how->z_factor));
    found = how->mode == KNL_ELTWISE_ADD   ? _mm512_add_pd(one, other)
            : how->mode == KNL_ELTWISE_MUL ? _mm512_mul_pd(one, other)
            : how->mode == KNL_ELTWISE_MAX ? _mm512_max_pd(one, other)
                                           : _mm512_min_pd(one, other);
    return whole(clamped(found, how->low, how->high));
}

TARGET void knl_avx512_join(const uint8_t *x, const uint8_t *z, const knl_joining *how,
                            size_t count, uint8_t *y) {
    size_t at, x_size = knl_size(how->x_type), z_size = knl_size(how->z_type);
    size_t y_size = knl_size(how->y_type);
    for (at = 0; at < count; at += 16) {
        __mmask16 which = (__mmask16)(count - at < 16 ? (1u << (count - at)) - 1 : 0xffff);
        __m512i one = elements(x + at * x_size, how->x_type, 0, which);
        __m512i other = elements(z + at * z_size, how->z_type, 0, which);
        __m512i found = _mm512_castsi256_si512(joined_of(
            _mm512_castsi512_si256(one), _mm512_castsi512_si256(other), how));
        found = _mm512_inserti64x4(found,
                                   joined_of(_mm512_extracti64x4_epi64(one, 1),
                                             _mm512_extracti64x4_epi64(other, 1), how),
                                   1);
        if (y_size == 2)
            _mm256_mask_storeu_epi16(y + 2 * at, which, _mm512_cvtepi32_epi16(found));
        else
            _mm_mask_storeu_epi8(y + at, which, _mm512_cvtepi32_epi8(found));
    }
}

#else

typedef int knl_nothing; /* a file must hold something */

#endif
