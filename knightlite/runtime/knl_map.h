/* A program whose tiles, or weights alone, stay where they lie in DDR: knl_map.c, knl_far.c. */
#ifndef KNL_MAP_H
#define KNL_MAP_H

#include "knl_core.h"

enum {
    KNL_FROM_X,
    KNL_FROM_OTHER, /* the second operand, or the residual tile */
    KNL_FROM_WEIGHTS,
    KNL_FROM_BEFORE, /* the cut over input channels that comes before */
    KNL_TO_Y,
    KNL_PLACES
};

enum { KNL_MOST_CUTS = 32, KNL_CODE_UNIT = 4 };

/* Which tiles of a program are in DDR: none; weights, so that there is no WSPM; all, so that there
 * is no FSPM either. */
enum { KNL_NOT_MAPPED, KNL_WEIGHTS_MAPPED, KNL_ALL_MAPPED };

/* Of an instruction that computes, or of a store that copies: how far away in the code, in words,
 * the transfers of its tiles are, 0 for none; how many records before is that of KNL_FROM_BEFORE. */
typedef struct knl_source {
    int16_t to[KNL_PLACES];
    uint16_t back;
} knl_source;

/* What a walk through the program finds; `records` and `copies` may be NULL. */
typedef struct knl_map {
    knl_source *records; /* [count] */
    uint8_t *copies;     /* a bit per store: it copies, and has a record */
    uint32_t count, stores;
    uint64_t sums_bytes; /* partial sums of some rows */
} knl_map;

/* A tile in DDR: its first byte, and the strides of its loops. */
typedef struct knl_far {
    uint64_t address, strides[KNL_LOOPS];
} knl_far;

/* Where a tile begins inside a transfer, and how far it goes on. */
typedef struct knl_inside {
    uint64_t row, column, byte, rows, columns, bytes;
} knl_inside;

/* Whether every tile of the program lies in DDR too. */
int knl_map_program(const knl_network *net, knl_map *map);

/* Whether all weights are constants as their loads bring them; records of matrix instructions. */
int knl_map_weights(const knl_network *net, knl_map *map);

/* A tile of a scratchpad where a transfer has it in DDR; 0 where it is not wholly inside. */
int knl_place(const knl_item *transfer, const knl_operand *tile, knl_far *far, knl_inside *where);

/* Which distance of a record an operand's is; -1 for what does not lie in DDR. */
static inline int knl_record_place(const knl_operand *operand) {
    return operand->part == KNL_PART_X         ? KNL_FROM_X
           : operand->part == KNL_PART_OTHER   ? KNL_FROM_OTHER
           : operand->part == KNL_PART_WEIGHTS ? KNL_FROM_WEIGHTS
           : operand->part == KNL_PART_Y       ? KNL_TO_Y
                                               : -1;
}

/* What of a layer that is cut over its input channels runs at a time: rows and output channels
 * whose partial sums are kept, and their bytes. */
typedef struct knl_share {
    uint32_t rows, channels;
    uint64_t bytes;
} knl_share;

/* Of the last cut. */
knl_share knl_share_of(const knl_item *item);

#endif
