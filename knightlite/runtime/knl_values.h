/* Values that the host computes with, and how its operators read them; not for users. */
#ifndef KNL_VALUES_H
#define KNL_VALUES_H

#include "knl_core.h"
#include "knl_layers.h"

/* A layer: the tensors that it reads, then its operators. */
typedef struct knl_layer {
    knl_text name;
    uint32_t first_operator, operators;
    uint32_t first_read, reads; /* of the tensors that layers read */
    uint32_t layer_type, output, result;
    uint64_t at;
} knl_layer;

/* An operator at work. */
typedef struct knl_step {
    const knl_network *net;
    const knl_layer *layer;
    knl_host_operator op;
    uint8_t *memory; /* of the layer's values; NULL: only whether it could be computed */
} knl_step;

/* What becomes of a step. */
enum {
    KNL_DONE,
    KNL_UNFIT,   /* operands or attributes that the operator cannot have */
    KNL_STRANGE, /* a form of it that is not computed here */
    KNL_OUTSIDE  /* an index that leads nowhere */
};

typedef int (*knl_operation)(const knl_step *step, unsigned kind);

/* How to compute an operator: which of those that share a function it is, how many inputs it has at
 * most (0: any number), the names of its attributes, apart by spaces. */
typedef struct knl_known {
    const char *op;
    knl_operation operation;
    unsigned kind, inputs;
    const char *attributes;
} knl_known;

/* NULL where an operator is not known. */
const knl_known *knl_known_operation(const knl_text *op);

/* Operators: knl_host_moves.c, knl_host_picks.c, knl_host_sums.c, knl_host_math.c */
int knl_host_view(const knl_step *step, unsigned kind);
int knl_host_transpose(const knl_step *step, unsigned kind);
int knl_host_slice(const knl_step *step, unsigned kind);
int knl_host_pad(const knl_step *step, unsigned kind);
int knl_host_concat(const knl_step *step, unsigned kind);
int knl_host_expand(const knl_step *step, unsigned kind);
int knl_host_tile(const knl_step *step, unsigned kind);
int knl_host_depth(const knl_step *step, unsigned kind);
int knl_host_gather(const knl_step *step, unsigned kind);
int knl_host_gather_elements(const knl_step *step, unsigned kind);
int knl_host_gather_nd(const knl_step *step, unsigned kind);
int knl_host_scatter(const knl_step *step, unsigned kind);
int knl_host_where(const knl_step *step, unsigned kind);
int knl_host_arg(const knl_step *step, unsigned kind);
int knl_host_top(const knl_step *step, unsigned kind);
int knl_host_hardmax(const knl_step *step, unsigned kind);
int knl_host_reduce(const knl_step *step, unsigned kind);
int knl_host_soft(const knl_step *step, unsigned kind);
int knl_host_sum(const knl_step *step, unsigned kind);
int knl_host_running_sum(const knl_step *step, unsigned kind);
int knl_host_of_one(const knl_step *step, unsigned kind);
int knl_host_function(const knl_step *step, unsigned kind);
int knl_host_of_two(const knl_step *step, unsigned kind);
int knl_host_power(const knl_step *step, unsigned kind);
int knl_host_compare(const knl_step *step, unsigned kind);
int knl_host_cast(const knl_step *step, unsigned kind);
int knl_host_clip(const knl_step *step, unsigned kind);

/* ---- values and attributes: knl_values.c */

int knl_is(const knl_text *text, const char *name);

/* A value of a layer by its number; `offset` in the layer's memory is that of the first byte. */
knl_value knl_numbered(const knl_network *net, const knl_layer *layer, uint32_t number,
                       uint8_t *memory);
/* Bytes of all of them: UINT64_MAX where one is not known, or too large. */
uint64_t knl_values_bytes(const knl_network *net, const knl_layer *layer);

/* An operand; axes 0 and no type (UINT32_MAX) where it is left out. */
knl_value knl_input_of(const knl_step *step, uint32_t index);
knl_value knl_output_of(const knl_step *step, uint32_t index);

/* An attribute that is a whole number. */
int64_t knl_whole(const knl_step *step, const char *name, int64_t otherwise);
/* Whole numbers of an attribute, or else of a constant input: how many; -1 where neither is there,
 * -2 where they are computed, or more than `most`. */
int knl_wholes(const knl_step *step, const char *name, uint32_t input, int64_t *to, uint32_t most);
int knl_find_attribute(const knl_step *step, const char *name, knl_host_attribute *found);
/* Whether an attribute is this text; where it is absent, `otherwise`. */
int knl_says(const knl_step *step, const char *name, const char *text, int otherwise);

/* An axis counted from the end where it is negative; -1 where there is none. */
int knl_axis(const knl_value *of, int64_t axis);
int knl_same_sizes(const knl_value *one, const knl_value *other);
/* Elements in front of an axis, along it and behind. */
void knl_around(const knl_value *of, int axis, size_t *outer, size_t *along, size_t *within);
/* Elements from one to the next along each axis. */
void knl_strides(const knl_value *of, ptrdiff_t *strides);

/* All indices of a value in order, and where up to three others are read at each. */
typedef struct knl_odometer {
    uint32_t axes, sides;
    size_t sizes[KNL_MOST_DIMENSIONS], index[KNL_MOST_DIMENSIONS];
    ptrdiff_t strides[3][KNL_MOST_DIMENSIONS], at[3];
} knl_odometer;

void knl_begin_places(knl_odometer *places, const knl_value *of);
/* The next side: where a value that is broadcast lies; 0 where its sizes do not fit. */
int knl_broadcast(knl_odometer *places, const knl_value *side);
/* Whether the sizes are no larger than some side makes them. */
int knl_is_covered(const knl_odometer *places);

static inline void knl_next_place(knl_odometer *places) {
    uint32_t axis = places->axes, side;
    while (axis--) {
        for (side = 0; side < places->sides; side++)
            places->at[side] += places->strides[side][axis];
        if (++places->index[axis] < places->sizes[axis])
            return;
        for (side = 0; side < places->sides; side++)
            places->at[side] -= places->strides[side][axis] * (ptrdiff_t)places->sizes[axis];
        places->index[axis] = 0;
    }
}

/* Of a reduction: which axes go, all where none is told; KNL_DONE or why that cannot be. */
int knl_gone_axes(const knl_step *step, const knl_value *x, int *gone);
/* Where each element of x goes in a result without them, or with `kept` ones of 1; 0: y has other
 * sizes. */
int knl_set_reduced(knl_odometer *places, const knl_value *x, const knl_value *y, const int *gone,
                    int kept);

/* ---- elements */

static inline float knl_float_at(const void *data, size_t index) {
    uint32_t bits = knl_u32((const uint8_t *)data + index * 4);
    float found;
    memcpy(&found, &bits, sizeof found);
    return found;
}

static inline void knl_put_float(void *data, size_t index, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    knl_put((uint8_t *)data + index * 4, bits, 4);
}

static inline int knl_is_whole(uint32_t type) {
    return type <= KNL_UINT64;
}

/* Of a type of whole numbers; uint64 wraps. */
static inline int64_t knl_whole_at(const void *data, uint32_t type, size_t index) {
    const uint8_t *at = data;
    switch (type) {
    case KNL_BOOL:
    case KNL_UINT8:
        return at[index];
    case KNL_INT8:
        return knl_s8(at + index);
    case KNL_INT16:
        return knl_s16(at + index * 2);
    case KNL_UINT16:
        return knl_u16(at + index * 2);
    case KNL_INT32:
        return knl_s32(at + index * 4);
    case KNL_UINT32:
        return knl_u32(at + index * 4);
    default:
        return knl_s64(at + index * 8);
    }
}

static inline void knl_put_whole(void *data, uint32_t type, size_t index, int64_t value) {
    size_t bytes = knl_value_bytes(type);
    knl_put((uint8_t *)data + index * bytes, (uint64_t)value, (unsigned)bytes);
}

#endif
