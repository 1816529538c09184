/* knightlite's runtime: runs a compiled network (.cfg and .weight, or .tsmodel) to the same bytes
 * as the simulator. C99, freestanding: it allocates nothing, prints nothing, calls no library but
 * memcpy, memmove, memset and memcmp. All memory is the caller's.
 *
 *     knl_network net;
 *     knl_error error;
 *     if (knl_open(&net, cfg, cfg_bytes, weight, weight_bytes, 0, &error)) ...error.sentence...
 *     void *arena = ... of knl_arena_bytes(&net) bytes ...
 *     knl_start(&net, arena, bytes, &error);
 *     knl_write(&net, knl_input(&net, 0), nchw, bytes, &error);
 *     knl_run(&net, NULL, NULL);
 *     knl_read(&net, knl_output(&net, 0), nchw, bytes, &error);
 *
 * The files must stay where they are as long as the network is used: constants are read in place.
 */
#ifndef KNL_H
#define KNL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    KNL_OK = 0,
    KNL_NOT_OURS,  /* the magic of another file, or of none */
    KNL_VERSION,   /* another format version */
    KNL_TRUNCATED, /* shorter than it says */
    KNL_DAMAGED,   /* a checksum, a section or a number that cannot be */
    KNL_PAIR,      /* two files of two compilations */
    KNL_HOST,      /* the host computes behind or between what this runtime does not */
    KNL_PROGRAM,   /* an instruction that the machine refuses */
    KNL_ARENA,     /* too little memory, or none */
    KNL_ARGUMENT,  /* of the caller: no such tensor, another size */
    KNL_FRAME      /* what the host computes between segments could not be in a frame */
};

/* Options of knl_open. */
enum {
    KNL_CHECKED = 1,   /* check the whole program: tokens, races, bytes that nothing has written */
    KNL_CHIP_ONLY = 2, /* the caller does what follows the chip, if anything does, itself */
    KNL_HANDLERS = 4   /* knl_handle will say who computes what the runtime does not: knl_layers.h */
};

/* Element types of a tensor. */
enum { KNL_U8 = 0, KNL_S8 = 1, KNL_S16 = 2 };

/* What may lie outside the arena, where the caller has it: --input-indep, --output-indep. */
enum { KNL_INPUTS = 0, KNL_OUTPUTS = 1, KNL_SIDES = 2 };

/* Kernels: which instructions of the processor are used. */
enum { KNL_SCALAR = 0, KNL_AVX2 = 1, KNL_AVX512_VNNI = 2, KNL_NEON = 3, KNL_NEON_DOT = 4 };

enum { KNL_SENTENCE = 320 };

typedef struct knl_error {
    int status;
    uint64_t place;              /* byte of a file, or index of an instruction */
    char sentence[KNL_SENTENCE]; /* UTF-8, cut where it is too long */
} knl_error;

typedef struct knl_text {
    const char *bytes; /* not terminated */
    uint32_t length;
} knl_text;

/* A tensor in DDR, [1, C, H, W]: value = integer * scale. */
typedef struct knl_tensor {
    knl_text name;
    uint32_t type;
    uint32_t scales;         /* 1, or one per channel */
    const uint8_t *scale;    /* float32, little-endian */
    uint64_t channels, height, width;
    uint64_t address, row_stride, column_stride;
    int64_t first, ready;
} knl_tensor;

/* Gets the index of every tensor as soon as the program has completed it. */
typedef void (*knl_observer)(void *context, uint32_t tensor);

/* Private, but for its size. */
typedef struct knl_network {
    const uint8_t *code, *constants;
    const uint8_t *layers, *tensors, *general, *places, *scales, *texts;
    const uint8_t *host, *operands, *attributes, *results, *states, *numbers;
    size_t code_bytes, text_bytes;
    uint64_t ddr_bytes, constants_bytes, fspm_bytes, wspm_bytes, mspm_bytes, wspm_align_bytes;
    uint64_t own_end; /* of the network's own DDR: behind it lies what is outside */
    uint64_t outside_first[KNL_SIDES], outside_size[KNL_SIDES]; /* in DDR; 0: in the arena */
    uint8_t *outside[KNL_SIDES];
    uint32_t once; /* instructions that run once, before all frames, and the byte behind them */
    size_t once_byte;
    uint64_t kept_first[4], kept_bytes[4]; /* per memory: what they leave there for all frames */
    const uint8_t *arena;
    size_t arena_bytes;
    uint32_t layer_count, tensor_count, input_count, output_count, state_count;
    uint32_t host_operators, host_operands, host_attributes, result_count;
    uint32_t general_count, general_reads, general_operators;
    uint32_t instructions;
    unsigned options;
    const void *simd;          /* vector kernels, or NULL */
    uint64_t most_segments[4]; /* per memory: pieces that the check of races may need */
    uint64_t work_bytes, work_limit; /* of vector kernels: what is, and what should be enough */
    uint64_t used_bytes[4];    /* per memory: up to the last byte that an instruction touches */
    uint32_t mapped;           /* which tiles are read and written in DDR: knl_map.h */
    uint32_t record_count, store_count;
    uint64_t sums_bytes;
    knl_text name, chip, res_version;
    const uint8_t *chip_digest;
    uint8_t *ddr; /* byte `constants_bytes` of the DDR */
    uint8_t *fspm, *wspm, *mspm, *work, *sums;
    const uint8_t *records, *copies;
    uint32_t packed[12]; /* which weights lie packed in the work memory; first 0: none */
    const void *handlers; /* of what the host computes between segments */
    uint32_t handler_count, is_measured;
    uint64_t layer_bytes; /* of its values */
    uint8_t *layers_memory;
    uint32_t failed, failed_why; /* which of its operators, and why; 0: none */
    size_t next_byte; /* of the code, and which instruction it is: what runs next */
    uint32_t next, next_record, next_store, next_layer;
    uint64_t saturations;
} knl_network;

/* Bytes of a knl_network, for callers that do not compile this header. */
size_t knl_network_bytes(void);

/* Read both files; KNL_OK or what `error` says. */
int knl_open(knl_network *net, const void *cfg, size_t cfg_bytes, const void *weight,
             size_t weight_bytes, unsigned options, knl_error *error);

/* The same for a .tsmodel, which holds both. */
int knl_open_model(knl_network *net, const void *model, size_t model_bytes, unsigned options,
                   knl_error *error);

/* The best kernels of this build on this processor. */
unsigned knl_best_kernels(void);

/* Take other kernels than the best, before knl_arena_bytes is asked. */
int knl_use_kernels(knl_network *net, unsigned kernels, knl_error *error);

/* Bytes that knl_start needs. 0 where they are more than the machine can address. */
size_t knl_arena_bytes(const knl_network *net);

/* Inputs (KNL_INPUTS) or outputs (KNL_OUTPUTS) of a network whose .cfg has them outside its memory.
 * Bytes that all of them need together, one behind the other in their order, each with the strides
 * of its knl_tensor; 0 where they lie in the arena. */
uint64_t knl_outside_bytes(const knl_network *net, unsigned side);

/* Say where they are: at a multiple of 4 bytes, apart from the arena and from each other. Before
 * knl_start, and again between frames. They are used in place; inputs are never written by a
 * frame. */
int knl_set_outside(knl_network *net, unsigned side, void *memory, size_t bytes,
                    knl_error *error);

/* Where one of them begins in that memory; UINT64_MAX for a tensor in the arena. */
uint64_t knl_outside_offset(const knl_network *net, uint32_t tensor);

/* Check the program and set up its memories in the arena. */
int knl_start(knl_network *net, void *arena, size_t arena_bytes, knl_error *error);

enum { KNL_WSPM = 2, KNL_MSPM = 3 };

/* What a network uses of one of these memories of the chip, [first, last); 1: it stays there from
 * frame to frame, 0: it is loaded in every frame. Networks beside each other must not use what stays
 * of another. */
int knl_scratchpad(const knl_network *net, unsigned memory, uint64_t *first, uint64_t *last);

/* Load again what stays in WSPM and MSPM from frame to frame, which knl_start has loaded: of a network
 * compiled with --onceload-w or --onceload-m, where something else has used them meanwhile. */
void knl_load_once(knl_network *net);

/* The same in parts: a frame begins, and goes on up to an instruction, which is left out. */
void knl_begin(knl_network *net);
void knl_advance(knl_network *net, uint32_t instruction);

/* The feature scratchpad, for who looks into it between two parts; NULL where the program runs
 * without it, which it never does where it is checked. */
const uint8_t *knl_fspm(const knl_network *net);

/* Run one frame: what was written into the inputs becomes the outputs. All inputs are written before
 * each frame: a plan uses their memory again where it can. */
void knl_run(knl_network *net, knl_observer observer, void *context);

/* Where states stay from one frame to the next (compile --unfixloop): the next frame is the first
 * one again, as it is behind knl_start. */
void knl_reset(knl_network *net);

/* KNL_OK, or what stopped the host between two segments of the last frame: an index outside of what
 * it picks from, a handler that failed. What would have been made is as it was. */
int knl_host_status(const knl_network *net, knl_error *error);

/* Accumulators that saturated in the last frame. */
uint64_t knl_saturations(const knl_network *net);

uint32_t knl_inputs(const knl_network *net);
uint32_t knl_outputs(const knl_network *net);
uint32_t knl_tensors(const knl_network *net);

/* Which of the tensors an input or output is; `index` below their number. */
uint32_t knl_input(const knl_network *net, uint32_t index);
uint32_t knl_output(const knl_network *net, uint32_t index);

/* A tensor; `index` below their number. */
knl_tensor knl_tensor_at(const knl_network *net, uint32_t index);

/* Bytes of a tensor as knl_read writes it: dense [C, H, W], little-endian. */
uint64_t knl_tensor_bytes(const knl_tensor *tensor);

/* Copy dense [C, H, W] integers into a tensor, or out of it. */
int knl_write(knl_network *net, uint32_t tensor, const void *values, size_t bytes,
              knl_error *error);
int knl_read(const knl_network *net, uint32_t tensor, void *values, size_t bytes,
             knl_error *error);

#ifdef __cplusplus
}
#endif

#endif
