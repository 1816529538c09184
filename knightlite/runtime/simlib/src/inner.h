/* What the modules of the simulation library share. */
#ifndef INNER_H
#define INNER_H

#include "knl.h"
#include "knl_layers.h"
#include "knl_real.h"
#include "ts_rne_c_api.h"

enum { MOST_DIMENSIONS = 8 };

/* What the host computes with: real numbers of any shape. */
typedef struct value {
    char *name;
    int axes;
    size_t sizes[MOST_DIMENSIONS];
    size_t count;
    float *data;
} value;

/* A handler of the user for what the host computes between two segments of the chip. */
typedef struct bridge {
    struct inner *it;
    RNE_GP_LAYER_HANDLER handler;
} bridge;

/* vpInnerNd of a network. */
typedef struct inner {
    knl_network net;
    void *arena, *own_arena;
    RNE_BLOBS_S inputs, results; /* results: the chip's integers, then what the host computes */
    RNE_BLOBS_S hidden;
    unsigned char *input_memory, *result_memory, *output_memory;
    size_t input_bytes, result_bytes;
    void *outside[KNL_SIDES]; /* of the caller's, or ours: where the network has them in place */
    int results_in_place;
    uint32_t chip_results;
    uint32_t *sources; /* which output of the chip a result is */
    value *values;
    uint32_t value_count;
    RNE_GP_LAYERS_S layers;
    knl_handler *between;
    bridge *bridges;
    void **user_data;
    RNE_TIME_STATES_S *times;
    char *res_version;
    int uses_chip;
    struct inner *next; /* of those that do */
} inner;

/* rne_beside.c: whether something of a network stays on the chip from frame to frame; that it may
 * use the chip beside the others that do; that it no longer does. */
int is_kept(const inner *it);
int use_chip(inner *it);
void leave_chip(inner *it);

static inline inner *inner_of(const RNE_NET_S *net) {
    return net ? (inner *)net->vpInnerNd : NULL;
}

/* A terminated copy; NULL without memory. */
char *text_copy(knl_text text);

/* rne_layers.c: the operators behind the chip, of one frame. */
int prepare_layers(RNE_NET_S *net);
int run_layers(RNE_NET_S *net);
void release_layers(inner *it);
void release_values(inner *it);

/* Those registered so far, for a network that has been opened; arrays that must stay, to be freed. */
int handle_between(knl_network *net, inner *it, knl_handler **between, bridge **bridges,
                   knl_error *error);

/* Whether an operator only gives its input another shape. */
int is_reshape(const knl_host_operator *step);
int is_transpose(const knl_host_operator *step);

/* The sizes that a Reshape gives; 0 where they do not fit. */
int reshaped_sizes(const knl_network *net, const knl_host_operator *step, const value *x,
                   value *made);

/* host_operators.c: one of ONNX's. 1: computed; 0: not known; -1: it does not fit what it reads. */
int compute(const knl_network *net, const knl_host_operator *step, const value *inputs, value *made);
int set_shape(value *made, int axes, const size_t *sizes);

#endif
