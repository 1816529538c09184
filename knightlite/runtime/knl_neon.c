/* Kernels with NEON: products of 16 bits added up in 32, or, where a processor with AArch64 has
 * them, dot products of four products of 8 bits. */
#include "knl_simd.h"

#if defined(__ARM_NEON) && defined(__GNUC__) && !defined(KNL_NO_SIMD)
#define NEON 1
#endif

#ifdef NEON

#include "knl_neon.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#define DOT 1
#define DOT_TARGET
#elif defined(__aarch64__) && !defined(__clang__)
#define DOT 1
#define DOT_TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#endif

#if __STDC_HOSTED__ && defined(__linux__)
#include <sys/auxv.h>
#define ASKS_SYSTEM 1
#endif

enum { LANES = 8, DOT_LANES = 16, PIXELS = 4, STEP = LANES * KNL_STEP };

/* ---- sums by products of 16 bits: weights are [step][input][lane] */

INLINE void dot_of(const uint8_t *const *x, const unsigned count, const uint8_t *weights,
                   const knl_taps *taps, const int32_t *start, int32_t *sums) {
    int32x4_t found[PIXELS][2];
    uint32_t row, column;
    size_t step;
    unsigned i;
#pragma GCC unroll 4
    for (i = 0; i < count; i++) {
        found[i][0] = vld1q_s32(start);
        found[i][1] = vld1q_s32(start + 4);
    }
    for (row = 0; row < taps->rows; row++)
        for (column = 0; column < taps->columns; column++) {
            size_t at = row * taps->row_bytes + column * taps->column_bytes;
            for (step = 0; step < taps->steps; step++, at += 2 * KNL_STEP, weights += 2 * STEP) {
                const int16_t *w = (const int16_t *)(const void *)weights;
                int16x8_t w0 = vld1q_s16(w), w1 = vld1q_s16(w + 8);
                int16x8_t w2 = vld1q_s16(w + 16), w3 = vld1q_s16(w + 24);
#pragma GCC unroll 4
                for (i = 0; i < count; i++) {
                    int16x4_t v = vld1_s16((const int16_t *)(const void *)(x[i] + at));
                    found[i][0] = vmlal_lane_s16(found[i][0], vget_low_s16(w0), v, 0);
                    found[i][1] = vmlal_lane_s16(found[i][1], vget_high_s16(w0), v, 0);
                    found[i][0] = vmlal_lane_s16(found[i][0], vget_low_s16(w1), v, 1);
                    found[i][1] = vmlal_lane_s16(found[i][1], vget_high_s16(w1), v, 1);
                    found[i][0] = vmlal_lane_s16(found[i][0], vget_low_s16(w2), v, 2);
                    found[i][1] = vmlal_lane_s16(found[i][1], vget_high_s16(w2), v, 2);
                    found[i][0] = vmlal_lane_s16(found[i][0], vget_low_s16(w3), v, 3);
                    found[i][1] = vmlal_lane_s16(found[i][1], vget_high_s16(w3), v, 3);
                }
            }
        }
#pragma GCC unroll 4
    for (i = 0; i < count; i++) {
        vst1q_s32(sums + i * LANES, found[i][0]);
        vst1q_s32(sums + i * LANES + 4, found[i][1]);
    }
}

static void dot(const uint8_t *const *x, unsigned count, uint32_t channels,
                const uint8_t *weights, const knl_taps *taps, const int32_t *start,
                int32_t *sums) {
    (void)channels; /* all lanes, always */
    if (count == PIXELS) {
        dot_of(x, PIXELS, weights, taps, start, sums);
        return;
    }
    for (; count--; x++, sums += LANES)
        dot_of(x, 1, weights, taps, start, sums);
}

/* Eight weights of a row, zeros behind `channels`; NULL is a row of zeros. */
INLINE int8x8_t eight(const uint8_t *row, uint32_t channels) {
    int8_t found[8] = {0};
    if (row && channels)
        memcpy(found, row, channels < 8 ? channels : 8);
    return vld1_s8(found);
}

static void pack(const uint8_t *const *rows, uint32_t channels, int32_t offset, uint8_t *to,
                 int32_t *start) {
    unsigned i;
    (void)offset;
    (void)start;
    for (i = 0; i < KNL_STEP; i++)
        vst1q_s16((int16_t *)(void *)to + LANES * i, vmovl_s8(eight(rows[i], channels)));
}

/* Of eight channels of so many pixels, a constant. */
INLINE void lanewise_of(const uint8_t *x, size_t step, const unsigned count,
                        const int16_t *weights, size_t weight_row, const knl_taps *taps,
                        int32_t *sums) {
    int32x4_t low[PIXELS], high[PIXELS];
    uint32_t row, column;
    unsigned i;
#pragma GCC unroll 4
    for (i = 0; i < count; i++)
        low[i] = high[i] = vdupq_n_s32(0);
    for (row = 0; row < taps->rows; row++)
        for (column = 0; column < taps->columns; column++, weights += weight_row) {
            const uint8_t *at = x + row * taps->row_bytes + column * taps->column_bytes;
            int16x8_t b = vld1q_s16(weights);
#pragma GCC unroll 4
            for (i = 0; i < count; i++) {
                int16x8_t a = vld1q_s16((const int16_t *)(const void *)(at + i * step));
                low[i] = vmlal_s16(low[i], vget_low_s16(a), vget_low_s16(b));
                high[i] = vmlal_s16(high[i], vget_high_s16(a), vget_high_s16(b));
            }
        }
#pragma GCC unroll 4
    for (i = 0; i < count; i++) {
        vst1q_s32(sums + i * KNL_MOST_LANES, low[i]);
        vst1q_s32(sums + i * KNL_MOST_LANES + 4, high[i]);
    }
}

static void lanewise(const uint8_t *x, size_t step, unsigned count, const int16_t *weights,
                     size_t row, const knl_taps *taps, uint32_t channels, int32_t *sums) {
    uint32_t c;
    for (c = 0; c < channels; c += 8) {
        const uint8_t *from = x + 2 * (size_t)c;
        int32_t *to = sums + c;
        unsigned left = count;
        for (; left >= PIXELS; left -= PIXELS, from += PIXELS * step, to += PIXELS * KNL_MOST_LANES)
            lanewise_of(from, step, PIXELS, weights + c, row, taps, to);
        for (; left; left--, from += step, to += KNL_MOST_LANES)
            lanewise_of(from, step, 1, weights + c, row, taps, to);
    }
}

/* ---- x */

static void convert(const uint8_t *x, int is_signed, int wide, int32_t add, size_t count,
                    uint8_t *to) {
    const uint8x16_t turned = vdupq_n_u8((uint8_t)(add & 0xff));
    size_t at = 0;
    for (; !wide && at + 16 <= count; at += 16) /* 128 more or less is the highest bit turned */
        vst1q_u8(to + at, veorq_u8(vld1q_u8(x + at), turned));
    for (; !wide && at < count; at++)
        to[at] = (uint8_t)(x[at] ^ (uint8_t)(add & 0xff));
    for (; at + 8 <= count; at += 8) {
        uint8x8_t bytes = vld1_u8(x + at);
        int16x8_t found = is_signed ? vmovl_s8(vreinterpret_s8_u8(bytes))
                                    : vreinterpretq_s16_u16(vmovl_u8(bytes));
        vst1q_s16((int16_t *)(void *)(to + 2 * at), found);
    }
    for (; at < count; at++) {
        int16_t value = (int16_t)(is_signed ? knl_s8(x + at) : x[at]);
        memcpy(to + 2 * at, &value, 2);
    }
}

/* Up to four elements of x. */
INLINE int32x4_t elements(const uint8_t *x, uint32_t type, uint32_t c, uint32_t channels) {
    int32_t found[4] = {0};
    uint32_t i, left = channels - c < 4 ? channels - c : 4;
    for (i = 0; i < left; i++)
        found[i] = knl_element(x + (size_t)(c + i) * knl_size(type), type);
    return vld1q_s32(found);
}

static void prologue(const uint8_t *x, uint32_t x_type, const knl_prologue *how, int wide,
                     int32_t add, uint32_t channels, uint8_t *to) {
    const int32x4_t low = vdupq_n_s32(how->low), high = vdupq_n_s32(how->high);
    const int32x4_t one = vdupq_n_s32(1);
    uint32_t c, i;
    for (c = 0; c < channels; c += 4) {
        int32x4_t q = vld1q_s32(how->q + c), down = vnegq_s32(q), odd, value;
        int32_t found[4];
        value = vmlaq_s32(vld1q_s32(how->b + c), elements(x, x_type, c, channels),
                          vld1q_s32(how->m + c));
        odd = vandq_s32(vshlq_s32(value, down), one);
        odd = vandq_s32(odd, vreinterpretq_s32_u32(vcgtq_s32(q, vdupq_n_s32(0))));
        value = vaddq_s32(value, vaddq_s32(odd, vld1q_s32(how->half + c)));
        value = vmaxq_s32(vminq_s32(vshlq_s32(value, down), high), low);
        vst1q_s32(found, value);
        for (i = 0; i < 4 && c + i < channels; i++) {
            size_t place = (size_t)c + i;
            knl_put_element(to + (wide ? 2 : 1) * place, wide ? KNL_S16 : KNL_U8,
                            wide ? found[i] : found[i] ^ (add & 0x80));
        }
    }
}

/* ---- results, two at a time: exact in float64 */

INLINE reals requantized(const int32_t *sums, const knl_rounding *how, uint32_t channel) {
    reals value = sum(product(pair(sums), some(how->scale + channel)), some(how->offset + channel));
    return rounded(value, how->low, how->high);
}

static void finish(const int32_t *sums, const knl_rounding *how, uint32_t first,
                   const knl_places *to, uint32_t residual, uint32_t channels, int wide) {
    uint32_t c, i, place, size = wide ? 2 : 1;
    for (place = 0; place < to->count; place++, sums += to->stride)
        for (c = 0; c < channels; c += 2) {
            size_t channel = (size_t)first + c;
            reals value = requantized(sums + c, how, first + c);
            int32_t found[2] = {0};
            if (residual != KNL_S16) {
                for (i = 0; i < 2 && c + i < channels; i++)
                    found[i] = knl_element(to->residual[place] + channel + i, residual);
                value = sum(product(value, same(how->factor)),
                            product(pair(found), same(how->residual)));
                value = rounded(value, how->y_low, how->y_high);
            }
            whole(value, found);
            for (i = 0; i < 2 && c + i < channels; i++)
                knl_put_element(to->y[place] + size * (channel + i), wide ? KNL_S16 : KNL_U8,
                                found[i]);
        }
}

static void requantize(const int32_t *sums, const knl_rounding *how, uint32_t first,
                       uint32_t channels, int32_t *values) {
    uint32_t c;
    for (c = 0; c < channels; c += 2)
        whole(requantized(sums + c, how, first + c), values + c);
}

static void lines(const int32_t *sums, const knl_rounding *how, const knl_lines *table,
                  uint32_t first, const knl_places *to, uint32_t channels, int wide) {
    uint32_t c, i, rest, at, size = wide ? 2 : 1;
    for (i = 0; i < to->count; i++, sums += to->stride)
        for (c = 0; c < channels; c++) { /* a table is gathered entry by entry */
            const uint8_t *left;
            int32_t values[2];
            int64_t value;
            if (c % 2 == 0)
                whole(requantized(sums + c, how, first + c), values);
            at = (uint32_t)(values[c % 2] + 32768);
            rest = at & ((1u << table->shift) - 1);
            left = table->table + 2 * (size_t)(at >> table->shift);
            value = (int64_t)knl_s16(left) * (int32_t)((1u << table->shift) - rest) +
                    (int64_t)knl_s16(left + 2) * (int32_t)rest;
            value = knl_clamp(knl_round(value, table->shift + table->fraction), table->low,
                              table->high);
            knl_put_element(to->y[i] + size * ((size_t)first + c), wide ? KNL_S16 : KNL_U8, value);
        }
}

static void join(const uint8_t *x, const uint8_t *z, const knl_joining *how, size_t count,
                 uint8_t *y) {
    size_t at, i, x_size = knl_size(how->x_type), z_size = knl_size(how->z_type);
    for (at = 0; at < count; at += 2) {
        int32_t one[2] = {0}, other[2] = {0};
        reals a, b, found;
        for (i = 0; i < 2 && at + i < count; i++) {
            one[i] = knl_element(x + (at + i) * x_size, how->x_type);
            other[i] = knl_element(z + (at + i) * z_size, how->z_type);
        }
        a = product(pair(one), same(how->x_factor));
        b = how->mode == KNL_ELTWISE_MUL ? pair(other) : product(pair(other), same(how->z_factor));
        found = how->mode == KNL_ELTWISE_ADD   ? sum(a, b)
                : how->mode == KNL_ELTWISE_MUL ? product(a, b)
                : how->mode == KNL_ELTWISE_MAX ? larger(a, b)
                                               : smaller(a, b);
        whole(rounded(found, how->low, how->high), one);
        for (i = 0; i < 2 && at + i < count; i++)
            knl_put_element(y + (at + i) * knl_size(how->y_type), how->y_type, one[i]);
    }
}

const knl_simd *knl_neon(void) {
    static const knl_simd kernels = {LANES,    PIXELS, 2,      0,          0,    dot,  lanewise,
                                     convert,  prologue, pack,  finish, requantize, lines, join};
    return &kernels;
}

/* ---- sums by dot products: weights are [step][lane][input], x is signed */

#ifdef DOT

INLINE DOT_TARGET void dot_bytes_of(const uint8_t *const *x, const unsigned count,
                                    const uint8_t *weights, const knl_taps *taps,
                                    const int32_t *start, int32_t *sums) {
    int32x4_t found[PIXELS][4];
    uint32_t row, column;
    size_t step;
    unsigned i, part;
#pragma GCC unroll 4
    for (i = 0; i < count; i++)
#pragma GCC unroll 4
        for (part = 0; part < 4; part++)
            found[i][part] = vld1q_s32(start + 4 * part);
    for (row = 0; row < taps->rows; row++)
        for (column = 0; column < taps->columns; column++) {
            size_t at = row * taps->row_bytes + column * taps->column_bytes;
            for (step = 0; step < taps->steps;
                 step++, at += KNL_STEP, weights += DOT_LANES * KNL_STEP) {
                int8x16_t w[4];
#pragma GCC unroll 4
                for (part = 0; part < 4; part++)
                    w[part] = vld1q_s8((const int8_t *)(const void *)(weights + 16 * part));
#pragma GCC unroll 4
                for (i = 0; i < count; i++) {
                    int32_t four;
                    int8x16_t value;
                    memcpy(&four, x[i] + at, KNL_STEP);
                    value = vreinterpretq_s8_s32(vdupq_n_s32(four));
#pragma GCC unroll 4
                    for (part = 0; part < 4; part++)
                        found[i][part] = vdotq_s32(found[i][part], w[part], value);
                }
            }
        }
#pragma GCC unroll 4
    for (i = 0; i < count; i++)
#pragma GCC unroll 4
        for (part = 0; part < 4; part++)
            vst1q_s32(sums + i * DOT_LANES + 4 * part, found[i][part]);
}

DOT_TARGET static void dot_bytes(const uint8_t *const *x, unsigned count, uint32_t channels,
                                 const uint8_t *weights, const knl_taps *taps,
                                 const int32_t *start, int32_t *sums) {
    (void)channels;
    if (count == PIXELS) {
        dot_bytes_of(x, PIXELS, weights, taps, start, sums);
        return;
    }
    for (; count--; x++, sums += DOT_LANES)
        dot_bytes_of(x, 1, weights, taps, start, sums);
}

static void pack_bytes(const uint8_t *const *rows, uint32_t channels, int32_t offset, uint8_t *to,
                       int32_t *start) {
    uint32_t c, i;
    for (c = 0; c < DOT_LANES; c++) {
        int32_t sum = 0;
        for (i = 0; i < KNL_STEP; i++) {
            uint8_t weight = rows[i] && c < channels ? rows[i][c] : 0;
            to[KNL_STEP * c + i] = weight;
            sum += knl_s8(&weight);
        }
        start[c] -= offset * sum;
    }
}

static int has_dot_products(void) {
#if defined(ASKS_SYSTEM)
    return (getauxval(AT_HWCAP) >> 20 & 1) != 0; /* asimddp */
#elif defined(__ARM_FEATURE_DOTPROD)
    return 1;
#else
    return 0;
#endif
}

const knl_simd *knl_neon_dot(void) {
    static const knl_simd kernels = {DOT_LANES,  PIXELS,  1,        -128,       1,
                                     dot_bytes,  lanewise, convert, prologue,   pack_bytes,
                                     finish,     requantize, lines,  join};
    return has_dot_products() ? &kernels : NULL;
}

#endif

#else

const knl_simd *knl_neon(void) {
    return NULL;
}

#endif

#ifndef DOT

const knl_simd *knl_neon_dot(void) {
    return NULL;
}

#endif
