/* How a matrix instruction goes through vector kernels: shared by what stages, packs, finishes. */
#ifndef KNL_PLAN_H
#define KNL_PLAN_H

#include "knl_simd.h"

enum { KNL_ALIGN = 64 };

static inline size_t knl_aligned(size_t bytes) {
    return (bytes + KNL_ALIGN - 1) / KNL_ALIGN * KNL_ALIGN;
}

/* What an instruction needs, and where in the work memory it lies. */
typedef struct knl_plan {
    const knl_simd *simd;
    uint32_t wide;        /* of the staged tile */
    uint32_t inputs;      /* channels that an output reads */
    uint32_t outputs;     /* channels of a group */
    uint32_t blocks;      /* of lanes, per group */
    size_t pixel_bytes;   /* of a staged pixel */
    size_t element;       /* of a staged x */
    size_t weight_steps;  /* of a block */
    size_t block_bytes;   /* of a block's packed weights */
    size_t packed, start, prologue, rounding, table, sums, stage, end; /* places */
    uint32_t packed_blocks; /* of all groups, that are packed at a time */
    uint32_t rows;          /* of results, whose x is staged at a time */
    int is_direct;          /* x may be read where it lies: no border, nothing to change in it */
    int is_signed;          /* x behind its prologue */
    int is_turned;          /* it is staged with the kernels' offset */
} knl_plan;

/* Where results go, and how they are made of sums. */
typedef struct knl_target {
    knl_network *net;
    const knl_item *item;
    const knl_tiles *tiles;
    const knl_plan *p;
    const knl_rounding *how; /* NULL: one by one */
    int64_t most;            /* magnitude up to which a sum with partial ones surely fits */
    const uint8_t *table;    /* of an activation, clamped, by the middle value's byte */
    knl_lines lines;         /* of an activation of 16 bits; its table may be NULL */
} knl_target;

/* knl_stage.c: x behind its prologue with the border that windows see; 0 where 32 bits might not
 * hold what the prologue rounds. */
int knl_set_prologue(const knl_network *net, const knl_item *item, const knl_plan *p,
                     knl_prologue *how);
/* For rows of results from `first` on. */
void knl_stage(const knl_network *net, const knl_item *item, const knl_plan *p, const uint8_t *x,
               const knl_prologue *how, uint32_t first, uint32_t rows);

/* Blocks of weights from `first` on as kernels read them, once for all instructions that use the
 * same. */
void knl_pack(knl_network *net, const knl_item *item, const knl_plan *p, const knl_tiles *tiles,
              uint32_t first);
void knl_pack_lanewise(knl_network *net, const knl_item *item, const knl_plan *p,
                       const uint8_t *weights);

/* knl_results.c: `rounding` is filled where it is used. */
/* Rows of x that so many rows of results see. */
static inline uint32_t knl_covered(uint32_t count, uint32_t stride, uint32_t taps,
                                   uint32_t dilation) {
    return (count - 1) * stride + (taps - 1) * dilation + 1;
}

void knl_set_target(knl_target *to, const knl_item *item, const knl_plan *p,
                    knl_rounding *rounding);

/* Add a pixel to those whose results are put. */
static inline void knl_add_place(const knl_target *to, knl_places *places, uint32_t row,
                                 uint32_t column) {
    const knl_item *item = to->item;
    unsigned at = places->count++;
    places->rows[at] = row;
    places->columns[at] = column;
    places->y[at] = item->accumulate_out ? NULL
                                         : to->tiles->y + (size_t)row * item->y_row_stride +
                                               (size_t)column * item->y_column_stride;
    places->residual[at] = item->residual
                               ? to->tiles->other + (size_t)row * item->residual_row_stride +
                                     (size_t)column * item->residual_column_stride
                               : NULL;
}

/* Sums of `channels` channels of some pixels, from `channel` on, to what the instruction leaves. */
void knl_put_results(const knl_target *to, const knl_places *places, uint32_t channel,
                     uint32_t channels, const int32_t *sums);

#endif
