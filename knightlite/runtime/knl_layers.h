/* What the host computes between two segments of the chip ("general layers"). The operators that
 * docs/numerics.md defines are computed here; for others, or in their place, a program registers
 * handlers by the operator's name:
 *
 *     static int twist(void *context, const knl_call *call) {
 *         const float *x = call->inputs[0].data;
 *         float *y = call->outputs[0].data;
 *         size_t at;
 *         for (at = 0; at < call->outputs[0].count; at++)
 *             y[at] = -x[at];
 *         return 0;
 *     }
 *     static const knl_handler handlers[] = {{"Twist", 0, twist, NULL}};
 *
 *     knl_open(&net, cfg, cfg_bytes, weight, weight_bytes, KNL_HANDLERS, &error);
 *     knl_handle(&net, handlers, 1, &error);
 *
 * Before knl_arena_bytes: what values need lies in the arena.
 */
#ifndef KNL_LAYERS_H
#define KNL_LAYERS_H

#include "knl_host.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { KNL_MOST_DIMENSIONS = 8 };

/* An array of the host's: the last axis lies densest, elements little-endian. */
typedef struct knl_value {
    uint32_t type; /* KNL_FLOAT32, KNL_INT64, ... */
    uint32_t axes;
    size_t sizes[KNL_MOST_DIMENSIONS];
    size_t count;
    void *data; /* at a multiple of 16; NULL where an input is left out */
} knl_value;

/* Bytes of an element. */
size_t knl_value_bytes(uint32_t type);

/* What a handler gets. Types and sizes of the results are known; it writes their elements. */
typedef struct knl_call {
    const knl_network *net;
    uint32_t number;          /* of knl_host_operator_at: its attributes */
    uint32_t input_count, output_count;
    const knl_value *inputs;  /* not to be written */
    const knl_value *outputs;
} knl_call;

typedef struct knl_handler {
    const char *op;      /* the operator of ONNX; NULL: */
    uint32_t layer_type; /* a user-defined layer as a whole, by its number; `number` is its first
                            operator */
    int (*compute)(void *context, const knl_call *call); /* not 0 where it fails */
    void *context;
} knl_handler;

/* Register handlers, which must stay where they are; the first that fits is called. KNL_HOST where
 * an operator has none and the runtime does not know it. */
int knl_handle(knl_network *net, const knl_handler *handlers, uint32_t count, knl_error *error);

#ifdef __cplusplus
}
#endif

#endif
