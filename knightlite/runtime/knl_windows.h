/* What the walk through a program (knl_map.c) knows of scratchpads and DDR: knl_windows.c. */
#ifndef KNL_WINDOWS_H
#define KNL_WINDOWS_H

#include "knl_map.h"

enum { KNL_WINDOWS = 32 };

typedef enum knl_window_kind {
    KNL_NOTHING,
    KNL_LOADED,  /* bytes of a scratchpad that are those of DDR */
    KNL_PENDING, /* the same, written before the store that leaves them there */
    KNL_HELD     /* what a cut will read when the last one runs */
} knl_window_kind;

/* Strided runs in DDR. */
typedef struct knl_far_side {
    uint64_t address, end;
    uint32_t row_stride, column_stride, rows, columns, run;
} knl_far_side;

typedef struct knl_window {
    knl_far_side far;
    uint32_t kind, space, code;
    uint32_t low, high;   /* in the scratchpad */
    uint32_t bytes, rows; /* of a pending store: what of each run, or how many rows, is there */
    uint32_t is_stale;    /* DDR has something else by now */
    uint32_t used;        /* when last: a byte of the code */
} knl_window;

/* A layer's cuts over its input channels, of which the last one has not come yet. */
typedef struct knl_cuts {
    uint32_t is_open, code, record, low, high;
    uint64_t mspm_low, mspm_high; /* parameters that they will read */
    uint32_t height, width, channels, opcode, groups, depthwise, address, sum_bytes, count;
} knl_cuts;

typedef struct knl_scene {
    const knl_network *net;
    knl_window windows[KNL_WINDOWS];
    knl_cuts open;
    knl_map *map;
    uint32_t code, next; /* of the instruction */
    knl_source record;
} knl_scene;

/* The DDR side of a load or store. */
knl_far_side knl_far_side_of(const knl_item *item);

/* Whether two surely share no byte: apart, or channels of the same pixels. */
int knl_are_apart(const knl_far_side *one, const knl_far_side *other);

/* NULL where there is no room: what was loaded and not used for longest makes some. */
knl_window *knl_open_window(knl_scene *all, knl_window_kind kind, const knl_item *transfer,
                            uint32_t code);
void knl_close_window(knl_window *item);

/* DDR is written: what was loaded from there and not read yet is stale. 0 where that must not be. */
int knl_write_far(knl_scene *all, const knl_far_side *far);

/* Bytes of a scratchpad are written: what was known of them is no more. 0 where it is needed. */
int knl_write_near(knl_scene *all, uint32_t space, uint64_t low, uint64_t high);

/* The load that brought what an operand reads, or NULL; the operand in DDR. */
knl_window *knl_find_source(knl_scene *all, const knl_operand *tile, knl_far *far);

knl_item knl_decoded(const knl_network *net, uint32_t code);

#endif
