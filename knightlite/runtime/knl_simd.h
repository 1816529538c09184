/* Kernels of a kind of vectors, and what they are told. docs/runtime.md
 *
 * A matrix instruction of 8-bit operands goes this way: x is staged (behind its prologue, with its
 * border, four channels to a step), weights are packed step by step, and blocks of output pixels
 * times output channels are added up in registers and finished. */
#ifndef KNL_SIMD_H
#define KNL_SIMD_H

#include "knl_core.h"

enum { KNL_STEP = 4, KNL_MOST_PIXELS = 12, KNL_MOST_LANES = 32 };

/* Where a block reads: for each of rows x columns taps, `steps` steps of four elements. */
typedef struct knl_taps {
    uint32_t rows, columns;
    size_t row_bytes, column_bytes;
    size_t steps;
} knl_taps;

/* A prologue, per channel: clamp((x * m + b + half - 1 + last bit) >> q), in 32 bits. */
typedef struct knl_prologue {
    const int32_t *m, *b, *q, *half;
    int32_t low, high;
} knl_prologue;

/* What becomes of sums, per channel: clamp(rne(sum * scale + offset)), exact in float64. */
typedef struct knl_rounding {
    const double *scale, *offset;
    double low, high;         /* of the requantized value */
    int fits;                 /* unclamped, no sum leaves 32 bits */
    double factor, residual;  /* of it and of the second tile, where there is one */
    double y_low, y_high;     /* behind the second tile */
} knl_rounding;

/* Where the results of some pixels go, from their first channel on. */
typedef struct knl_places {
    unsigned count;
    size_t stride; /* sums from a pixel's to those of the next */
    uint32_t rows[KNL_MOST_PIXELS], columns[KNL_MOST_PIXELS];
    uint8_t *y[KNL_MOST_PIXELS];
    const uint8_t *residual[KNL_MOST_PIXELS]; /* where there is one, of 8 bits */
} knl_places;

/* A table of entries s16 at the ends of intervals: interval bits, and those of the result. */
typedef struct knl_lines {
    const uint8_t *table;
    uint32_t shift, fraction;
    int32_t low, high;
} knl_lines;

/* Two operands, exact in float64: clamp(rne(x and z as the mode has them)). */
typedef struct knl_joining {
    uint32_t x_type, z_type, y_type, mode;
    double x_factor, z_factor; /* of a product: the whole factor, and none */
    double low, high;
} knl_joining;

typedef struct knl_simd {
    unsigned lanes, pixels; /* of a block */
    unsigned element;       /* bytes of a staged x and of a packed weight */
    int32_t offset;         /* what 8-bit x of the other sign is staged with: 128, or -128 */
    int is_signed;          /* 8-bit x as it is multiplied */
    /* Sums of `count` pixels; `sums` is [pixel][lanes], of which `channels` are asked for. */
    void (*dot)(const uint8_t *const *x, unsigned count, uint32_t channels, const uint8_t *weights,
                const knl_taps *taps, const int32_t *start, int32_t *sums);
    /* The same where each output channel has its own input: pixels `step` bytes apart, up to
     * KNL_MOST_LANES channels of them; `sums` is [pixel][KNL_MOST_LANES], weights of a tap come
     * `row` behind those of the tap before. */
    void (*lanewise)(const uint8_t *x, size_t step, unsigned count, const int16_t *weights,
                     size_t row, const knl_taps *taps, uint32_t channels, int32_t *sums);
    /* 8-bit x to staged ones: `add` is 0 or the offset, `wide` asks for 16 bits. */
    void (*convert)(const uint8_t *x, int is_signed, int wide, int32_t add, size_t count,
                    uint8_t *to);
    void (*prologue)(const uint8_t *x, uint32_t x_type, const knl_prologue *how, int wide,
                     int32_t add, uint32_t channels, uint8_t *to);
    /* Four rows of weights, NULL where there is none, as one step of a block of lanes; `start`
     * loses what `offset` adds. */
    void (*pack)(const uint8_t *const *rows, uint32_t channels, int32_t offset, uint8_t *to,
                 int32_t *start);
    /* Sums of channels from `first` on to elements of y, of 8 bits or 16; `residual`: the second
     * tile's type, KNL_S16 where there is none. */
    void (*finish)(const int32_t *sums, const knl_rounding *how, uint32_t first,
                   const knl_places *to, uint32_t residual, uint32_t channels, int wide);
    /* The same to requantized integers, for what reads them one by one. */
    void (*requantize)(const int32_t *sums, const knl_rounding *how, uint32_t first,
                       uint32_t channels, int32_t *values);
    /* Sums to values of 16 bits, through a table with lines between entries, to elements of y. */
    void (*lines)(const int32_t *sums, const knl_rounding *how, const knl_lines *table,
                  uint32_t first, const knl_places *to, uint32_t channels, int wide);
    /* Two operands: elements of y. */
    void (*join)(const uint8_t *x, const uint8_t *z, const knl_joining *how, size_t count,
                 uint8_t *y);
} knl_simd;

/* NULL where the build or the processor has none. */
const knl_simd *knl_avx2(void);
const knl_simd *knl_avx512(void);
const knl_simd *knl_neon(void);
const knl_simd *knl_neon_dot(void);

#endif
