/* Runs cases of compiled networks, each in memory of exactly its size: for builds with sanitizers.
 *
 * A case on standard input: cfg bytes, weight bytes, kernels, options, bytes of inputs, as u32; both
 * files, or a .tsmodel where the weight has no bytes; all inputs, dense, zeros behind their end. On standard output, per case: the status as u32,
 * bytes of all that follows as u32; then the sentence, or all tensors as they were completed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "knl.h"

typedef struct sink {
    knl_network *net;
    unsigned char *bytes;
    size_t count;
} sink;

static unsigned char *exactly(size_t bytes) {
    unsigned char *found = malloc(bytes ? bytes : 1);
    if (!found)
        exit(2);
    return found;
}

static void take(void *context, uint32_t tensor) {
    sink *into = context;
    knl_tensor found = knl_tensor_at(into->net, tensor);
    size_t bytes = (size_t)knl_tensor_bytes(&found);
    unsigned char *values = exactly(bytes);
    knl_error error;
    if (knl_read(into->net, tensor, values, bytes, &error))
        exit(3);
    into->bytes = realloc(into->bytes, into->count + bytes);
    memcpy(into->bytes + into->count, values, bytes);
    into->count += bytes;
    free(values);
}

enum { CFG, WEIGHT, KERNELS, OPTIONS, GIVEN, HEAD };
enum { MEMORIES = KNL_SIDES + 1 }; /* what lies outside the arena, and the arena */

static int run(knl_network *net, const uint32_t head[HEAD], const unsigned char *cfg,
               const unsigned char *weight, const unsigned char *inputs, sink *into,
               unsigned char *memories[MEMORIES], knl_error *error) {
    uint32_t at;
    int status = head[WEIGHT]
                     ? knl_open(net, cfg, head[CFG], weight, head[WEIGHT], head[OPTIONS], error)
                     : knl_open_model(net, cfg, head[CFG], head[OPTIONS], error);
    size_t bytes;
    if (!status)
        status = knl_use_kernels(net, head[KERNELS], error);
    if (status)
        return status;
    for (at = 0; at < KNL_SIDES && !status; at++) {
        bytes = (size_t)knl_outside_bytes(net, at);
        memories[at] = bytes ? exactly(bytes) : NULL;
        status = bytes ? knl_set_outside(net, at, memories[at], bytes, error) : KNL_OK;
    }
    bytes = knl_arena_bytes(net);
    memories[KNL_SIDES] = exactly(bytes);
    if (!status)
        status = knl_start(net, memories[KNL_SIDES], bytes, error);
    for (at = 0; at < knl_inputs(net) && !status; at++) {
        knl_tensor tensor = knl_tensor_at(net, knl_input(net, at));
        bytes = (size_t)knl_tensor_bytes(&tensor);
        status = knl_write(net, knl_input(net, at), inputs, bytes, error);
        inputs += bytes;
    }
    if (!status)
        knl_run(net, take, into);
    if (!status)
        status = knl_host_status(net, error);
    return status;
}

int main(void) {
    enum { INPUTS = 1 << 20 };
    uint32_t asked[HEAD];
    while (fread(asked, sizeof asked, 1, stdin) == 1) {
        unsigned char *cfg = exactly(asked[CFG]), *weight = exactly(asked[WEIGHT]);
        unsigned char *memories[MEMORIES] = {NULL};
        unsigned at;
        unsigned char *inputs = calloc(1, INPUTS);
        knl_network net;
        knl_error error;
        sink into = {&net, NULL, 0};
        uint32_t head[2];
        if (!inputs || asked[GIVEN] > INPUTS || fread(cfg, 1, asked[CFG], stdin) != asked[CFG] ||
            fread(weight, 1, asked[WEIGHT], stdin) != asked[WEIGHT] ||
            fread(inputs, 1, asked[GIVEN], stdin) != asked[GIVEN])
            return 4;
        head[0] = (uint32_t)run(&net, asked, cfg, weight, inputs, &into, memories, &error);
        head[1] = (uint32_t)(head[0] ? strlen(error.sentence) : into.count);
        fwrite(head, sizeof head, 1, stdout);
        fwrite(head[0] ? (void *)error.sentence : (void *)into.bytes, 1, head[1], stdout);
        free(cfg);
        free(weight);
        for (at = 0; at < MEMORIES; at++)
            free(memories[at]);
        free(inputs);
        free(into.bytes);
    }
    return 0;
}
