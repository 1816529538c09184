/* What the modules of the runtime share; not for its users. */
#ifndef KNL_CORE_H
#define KNL_CORE_H

#include <string.h>

#include "knl.h"
#include "knl_format.h"
#include "knl_isa.h"

/* ---- numbers in files and memories: little-endian, at any address */

static inline uint32_t knl_u16(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static inline uint32_t knl_u32(const uint8_t *at) {
    return knl_u16(at) | knl_u16(at + 2) << 16;
}

static inline uint64_t knl_u64(const uint8_t *at) {
    return (uint64_t)knl_u32(at) | (uint64_t)knl_u32(at + 4) << 32;
}

static inline int32_t knl_s8(const uint8_t *at) {
    return (int32_t)(at[0] ^ 0x80u) - 0x80;
}

static inline int32_t knl_s16(const uint8_t *at) {
    return (int32_t)(knl_u16(at) ^ 0x8000u) - 0x8000;
}

static inline int32_t knl_s32(const uint8_t *at) {
    return (int32_t)((int64_t)(knl_u32(at) ^ 0x80000000u) - INT64_C(0x80000000));
}

static inline int64_t knl_s64(const uint8_t *at) {
    uint64_t value = knl_u64(at);
    return value >> 63 ? -(int64_t)(~value) - 1 : (int64_t)value;
}

static inline void knl_put(uint8_t *at, uint64_t value, unsigned bytes) {
    unsigned i;
    for (i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

/* ---- element types */

static inline uint32_t knl_size(uint32_t type) {
    return type == KNL_S16 ? 2 : 1;
}

static inline int32_t knl_minimum(uint32_t type) {
    return type == KNL_U8 ? 0 : type == KNL_S8 ? -128 : -32768;
}

static inline int32_t knl_maximum(uint32_t type) {
    return type == KNL_U8 ? 255 : type == KNL_S8 ? 127 : 32767;
}

static inline int32_t knl_element(const uint8_t *at, uint32_t type) {
    return type == KNL_U8 ? (int32_t)at[0] : type == KNL_S8 ? knl_s8(at) : knl_s16(at);
}

static inline void knl_put_element(uint8_t *at, uint32_t type, int64_t value) {
    at[0] = (uint8_t)((uint64_t)value & 0xff);
    if (type == KNL_S16)
        at[1] = (uint8_t)((uint64_t)value >> 8 & 0xff);
}

/* ---- fixed point: docs/numerics.md */

/* value / 2^shift, rounded half to even; |value| <= 2^62. */
static inline int64_t knl_round(int64_t value, uint32_t shift) {
    int64_t floor, half;
    if (shift == 0)
        return value;
    if (shift > 63)
        shift = 63;
    floor = value >= 0 ? value >> shift : ~(~value >> shift);
    half = INT64_C(1) << (shift - 1);
    value += half - 1 + (floor & 1);
    return value >= 0 ? value >> shift : ~(~value >> shift);
}

static inline int64_t knl_clamp(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

/* The clamp of an instruction inside the range of its type. */
typedef struct knl_bounds {
    int32_t low, high;
} knl_bounds;

static inline knl_bounds knl_bounds_of(uint32_t type, int32_t low, int32_t high) {
    knl_bounds found;
    found.low = low > knl_minimum(type) ? low : knl_minimum(type);
    found.high = high < knl_maximum(type) ? high : knl_maximum(type);
    return found;
}

/* A record of parameters: m s16, q u8, 0 u8, b s32. */
typedef struct knl_parameter {
    int32_t m;
    uint32_t q;
    int32_t b;
} knl_parameter;

static inline knl_parameter knl_parameter_at(const uint8_t *records, uint32_t index) {
    const uint8_t *at = records + (size_t)index * KNL_PARAMETER_BYTES;
    knl_parameter found;
    found.m = knl_s16(at);
    found.q = at[2];
    found.b = knl_s32(at + 4);
    return found;
}

/* ---- errors: knl_error.c */

/* A sentence; %s text, %t knl_text *, %u uint64_t, %d int64_t, %x uint64_t in hexadecimal. */
int knl_say(knl_error *error, int status, uint64_t place, const char *form, ...);

/* The same, begun with the instruction: number, mnemonic, layer. */
int knl_fault(const knl_network *net, uint32_t index, const knl_item *item, knl_error *error,
              const char *form, ...);

/* `instruction 7 (matrix, layer conv1)` behind what a text holds already. */
typedef struct knl_line {
    char *text;
    size_t length;
} knl_line;

void knl_describe(knl_line *line, const knl_network *net, uint32_t index, const knl_item *item);

/* ---- SHA-256: knl_sha256.c */

enum { KNL_DIGEST = 32 };

typedef struct knl_sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
} knl_sha256;

void knl_sha256_start(knl_sha256 *hash);
void knl_sha256_add(knl_sha256 *hash, const uint8_t *data, size_t bytes);
void knl_sha256_end(knl_sha256 *hash, uint8_t digest[KNL_DIGEST]);

/* ---- the plan of a .cfg, of KNL_HEAD_SIZE bytes or more: knl_tables.c */

/* Memories and records: where they lie, and that they are there. */
int knl_read_plan(knl_network *net, const uint8_t *plan, size_t bytes, knl_error *error);

/* What they say, with the code that they speak of. */
int knl_check_plan(knl_network *net, const uint8_t *plan, knl_error *error);

/* ---- tensors: knl_tensor.c */

/* That there is such a tensor, and an arena; that it is not among the constants. */
int knl_check_tensor(const knl_network *net, uint32_t index, knl_error *error);
int knl_check_writable(const knl_network *net, uint32_t index, knl_error *error);

/* A pixel of a tensor that may be written. */
uint8_t *knl_pixel(knl_network *net, const knl_tensor *tensor, uint64_t row, uint64_t column);

/* A byte of DDR behind the constants, with those of its memory before and behind it: in the arena,
 * or where the caller has inputs or outputs. */
static inline uint8_t *knl_ddr_at(const knl_network *net, uint64_t address) {
    unsigned side;
    if (address < net->own_end)
        return net->ddr + (address - net->constants_bytes);
    side = net->outside_size[KNL_OUTPUTS] && address >= net->outside_first[KNL_OUTPUTS];
    return net->outside[side] + (address - net->outside_first[side]);
}

/* Whether bytes [first, last) lie in more than one of these memories. */
static inline int knl_crosses(const knl_network *net, uint64_t first, uint64_t last) {
    unsigned side;
    if (last <= net->own_end)
        return 0;
    for (side = 0; side < KNL_SIDES; side++)
        if (first >= net->outside_first[side] &&
            last <= net->outside_first[side] + net->outside_size[side])
            return 0;
    return 1;
}

static inline int knl_is_given(const knl_network *net, uint64_t address) {
    return address - net->outside_first[KNL_INPUTS] < net->outside_size[KNL_INPUTS];
}

/* That the caller has said where all of it is: knl_outside.c */
int knl_check_outside(const knl_network *net, knl_error *error);

static inline uint8_t knl_ddr_byte(const knl_network *net, uint64_t at) {
    return at < net->constants_bytes ? net->constants[at] : *knl_ddr_at(net, at);
}

enum { KNL_SLACK = 64 }; /* vector kernels read up to so many bytes behind a memory */

/* ---- states that stay between frames: knl_states.c */

uint32_t knl_state_input(const knl_network *net, uint32_t index);
uint32_t knl_state_output(const knl_network *net, uint32_t index);
/* Whether their records are sound. */
int knl_check_states(const knl_network *net, knl_error *error);
/* Behind a frame: outputs become inputs. */
void knl_keep_states(knl_network *net);

/* ---- what the host computes between segments: knl_layers.c */

/* Whether their records are sound; what they need, KNL_HOST where an operator is not known. */
int knl_check_general(const knl_network *net, knl_error *error);
int knl_measure_layers(knl_network *net, knl_error *error);
/* Those that come before the next instruction. */
void knl_run_layers(knl_network *net);
/* Before which instruction one runs, which tensors it reads and writes. */
uint64_t knl_layer_place(const knl_network *net, uint32_t index);
knl_text knl_layer_name(const knl_network *net, uint32_t index);
uint32_t knl_layer_output(const knl_network *net, uint32_t index);
uint32_t knl_layer_reads(const knl_network *net, uint32_t index);
uint32_t knl_layer_read(const knl_network *net, uint32_t index, uint32_t which);

/* ---- real numbers: knl_real.c */

/* A tensor as dense [C, H, W] float32 bytes, or from them: what is not a number becomes 0. */
void knl_read_values(const knl_network *net, uint32_t index, uint8_t *values);
void knl_write_values(knl_network *net, uint32_t index, const uint8_t *values);

/* saturate(rne(value / scale)); value is a number. */
int32_t knl_quantize(float value, float scale, uint32_t type);

/* ---- instructions: knl_program.c */

/* The instruction at a byte of sound code; the byte of the next. */
size_t knl_decode(const knl_network *net, size_t at, knl_item *item);

/* Whether the code is a list of instructions, and what running it needs. */
int knl_scan(knl_network *net, knl_error *error);

/* ---- what instructions touch: knl_operands.c */

enum { KNL_LOOPS = 4, KNL_MOST_OPERANDS = 8 };

/* What an operand is to its instruction. */
typedef enum knl_part {
    KNL_PART_TRANSFER, /* either side of a load or store */
    KNL_PART_X,
    KNL_PART_OTHER, /* a second operand, a residual tile */
    KNL_PART_WEIGHTS,
    KNL_PART_MSPM, /* parameters, tables */
    KNL_PART_SUMS,
    KNL_PART_Y
} knl_part;

typedef struct knl_operand {
    const char *name;
    knl_part part;
    uint32_t space;
    uint32_t write;
    uint32_t unit; /* bytes of an element: addresses and strides are multiples of it */
    uint64_t address;
    uint64_t turns[KNL_LOOPS], strides[KNL_LOOPS]; /* the outermost first */
    uint64_t run;                                  /* consecutive bytes of the innermost turn */
} knl_operand;

/* What it reads comes before what it writes; how many there are. */
unsigned knl_operands(const knl_item *item, knl_operand found[KNL_MOST_OPERANDS]);

/* One past the last byte. */
uint64_t knl_last(const knl_operand *operand);

knl_operand knl_tensor_operand(const knl_tensor *tensor, uint32_t write);

/* One past the last byte of a tensor in DDR. */
static inline uint64_t knl_tensor_end(const knl_tensor *tensor) {
    knl_operand operand = knl_tensor_operand(tensor, 0);
    return knl_last(&operand);
}

static inline int knl_is_matrix(const knl_item *item) {
    return item->opcode == KNL_OP_MATRIX || item->opcode == KNL_OP_SPARSE;
}

/* Of a sparse instruction: all blocks, stored or not, and the bytes in front of the first. */
static inline uint64_t knl_block_count(const knl_item *item) {
    uint64_t taps = (uint64_t)item->kernel_height * item->kernel_width;
    uint64_t down = (item->x_channels + item->block_inputs - 1) / item->block_inputs;
    uint64_t across = (item->y_channels + item->block_outputs - 1) / item->block_outputs;
    return taps * down * across;
}

static inline uint64_t knl_whole_words(uint64_t bytes) {
    return (bytes + KNL_WORD_BYTES - 1) / KNL_WORD_BYTES * KNL_WORD_BYTES;
}

static inline uint64_t knl_mask_bytes(const knl_item *item) {
    return knl_whole_words((knl_block_count(item) + 7) / 8);
}

static inline uint32_t knl_weight_bytes(const knl_item *item) {
    return item->weight_type == KNL_WEIGHT_S16 ? 2 : 1;
}

static inline int knl_is_wide(const knl_item *item) {
    uint32_t x_type = item->prologue ? item->prologue_type : item->x_type;
    return x_type == KNL_S16 || item->weight_type == KNL_WEIGHT_S16;
}

static inline uint32_t knl_sum_bytes(const knl_item *item) {
    return knl_is_wide(item) ? KNL_WIDE_ACCUMULATOR_BYTES : KNL_ACCUMULATOR_BYTES;
}

static inline uint32_t knl_table_bytes(uint32_t intervals, uint32_t y_type) {
    return intervals ? 2 * ((1u << intervals) + 1) : KNL_TABLE_ENTRIES * knl_size(y_type);
}

/* All runs of an operand, in the order of its loops. */
typedef struct knl_walk {
    const knl_operand *operand;
    uint64_t turn[KNL_LOOPS];
    uint64_t address;
    int more;
} knl_walk;

void knl_walk_start(knl_walk *walk, const knl_operand *operand);
void knl_walk_next(knl_walk *walk);

/* ---- checks, each over the whole program */

/* `marks`: a bit per byte of FSPM, zeros. */
int knl_check_structure(const knl_network *net, uint8_t *marks, knl_error *error);
static inline uint64_t knl_mark_bytes(const knl_network *net) {
    return (net->fspm_bytes + 7) / 8;
}

int knl_check_tokens(const knl_network *net, uint8_t *work, knl_error *error);
int knl_check_races(const knl_network *net, uint8_t *work, knl_error *error);
/* That nothing runs while the host computes between segments. */
int knl_check_borders(const knl_network *net, uint8_t *work, knl_error *error);
uint64_t knl_race_bytes(const knl_network *net);

/* `ddr` covers what lies behind the constants; all memories zeroed. */
typedef struct knl_shadow {
    const knl_network *net;
    uint8_t *memory[4];
    int holds_outputs;
} knl_shadow;

int knl_check_reads(knl_shadow *shadow, knl_error *error);

/* ---- engines */

/* Where the tiles of an instruction begin: in the scratchpads, or in DDR (knl_map.c); their strides
 * stand in the instruction. */
typedef struct knl_tiles {
    const uint8_t *x, *other, *weights;
    uint8_t *y, *sums;
    uint32_t weights_key; /* the same weights in a frame, the same key; never 0 */
    uint32_t channel;     /* where a part of the output channels begins */
} knl_tiles;

/* Tiles in the scratchpads. */
knl_tiles knl_near_tiles(const knl_network *net, const knl_item *item);

void knl_run_transfer(knl_network *net, const knl_item *item);
void knl_run_move(const knl_item *item, const knl_tiles *tiles);
void knl_run_matrix(knl_network *net, const knl_item *item, const knl_tiles *tiles);
/* Whether the mask of a sparse instruction is the one that it tells of. */
int knl_check_mask(const knl_item *item, const uint8_t *mask, knl_error *error);
void knl_run_affine(const knl_network *net, const knl_item *item, const knl_tiles *tiles);
void knl_run_eltwise(const knl_network *net, const knl_item *item, const knl_tiles *tiles);
void knl_run_pool(const knl_item *item, const knl_tiles *tiles);
void knl_run_lookup(const knl_network *net, const knl_item *item, const knl_tiles *tiles);
void knl_run_resize(const knl_item *item, const knl_tiles *tiles);
void knl_run_pick(const knl_item *item, const knl_tiles *tiles);
void knl_run_softmax(const knl_network *net, const knl_item *item, const knl_tiles *tiles);

/* One instruction that computes. */
void knl_compute(knl_network *net, const knl_item *item, const knl_tiles *tiles);

/* A table's entry for x, unclamped: of 8 bits, or lines between entries for 16. */
int64_t knl_look_up(const uint8_t *table, uint32_t x_type, uint32_t intervals, uint32_t fraction,
                    uint32_t y_type, int32_t x);

/* An affine of one value, unclamped, with the records of its sign. */
static inline int64_t knl_affine(const uint8_t *records, uint32_t channel, int32_t x) {
    knl_parameter p = knl_parameter_at(records, channel);
    return knl_round((int64_t)x * p.m + p.b, p.q);
}

/* From a saturated sum to an output element, or to a partial sum: what every kernel ends in.
 * `pixel` and `channel` are of the instruction's output tile. */
void knl_finish(knl_network *net, const knl_item *item, const knl_tiles *tiles, uint32_t row,
                uint32_t column, uint32_t channel, int64_t sum);

/* ---- vector kernels: knl_dense.c */

/* Kernels by their number, NULL for the scalar ones. */
const void *knl_kernels(unsigned kernels);

/* Work memory for an instruction, 0 where the scalar kernel does it. */
uint64_t knl_vector_bytes(const knl_network *net, const knl_item *item);
void knl_vector_matrix(knl_network *net, const knl_item *item, const knl_tiles *tiles);

/* ---- programs without scratchpads: knl_far.c */

/* An instruction that computes with its tiles in DDR: the next one that has a record. */
void knl_run_far(knl_network *net, size_t code, knl_item *item);
/* Where only the weights are in DDR: those of a matrix instruction, the next one with a record. */
void knl_weights_in_place(const knl_network *net, size_t code, knl_item *item, knl_tiles *tiles);
void knl_copy_far(const knl_network *net, size_t code, const knl_item *item);
/* The mask of a sparse instruction, of the record with this number. */
int knl_check_far_mask(const knl_network *net, size_t code, uint32_t record, const knl_item *item,
                       knl_error *error);


#endif
