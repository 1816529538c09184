/* The matrix engine, as docs/numerics.md has it: one output pixel after the other. */
#include "knl_core.h"

enum { BLOCK = 32 }; /* output channels that are added up at a time */

/* x behind its prologue, which is of the input channel. */
static int32_t behind_prologue(const knl_network *net, const knl_item *item, const uint8_t *x,
                               uint32_t channel) {
    int32_t value = knl_element(x + (size_t)channel * knl_size(item->x_type), item->x_type);
    knl_bounds bounds;
    if (!item->prologue)
        return value;
    bounds = knl_bounds_of(item->prologue_type, item->prologue_low, item->prologue_high);
    return (int32_t)knl_clamp(knl_affine(net->mspm + item->prologue_address, channel, value),
                              bounds.low, bounds.high);
}

static int32_t weight(const knl_item *item, const uint8_t *row, uint32_t channel) {
    if (item->weight_type == KNL_WEIGHT_S16)
        return knl_s16(row + 2 * (size_t)channel);
    return item->weight_type == KNL_WEIGHT_U8 ? (int32_t)row[channel] : knl_s8(row + channel);
}

/* The pixel of x under a tap, or NULL outside x. */
static const uint8_t *pixel(const knl_item *item, const uint8_t *x, uint32_t y_row,
                            uint32_t y_column, uint32_t tap) {
    int64_t row = (int64_t)y_row * item->stride_height - item->pad_top +
                  (int64_t)(tap / item->kernel_width) * item->dilation_height;
    int64_t column = (int64_t)y_column * item->stride_width - item->pad_left +
                     (int64_t)(tap % item->kernel_width) * item->dilation_width;
    if (row < 0 || row >= item->x_height || column < 0 || column >= item->x_width)
        return NULL;
    return x + (size_t)row * item->x_row_stride +
           (size_t)column * item->x_column_stride;
}

/* Sums of `count` output channels from `first` on, which are of one group. */
static void add_up(const knl_network *net, const knl_item *item, const knl_tiles *tiles,
                   uint32_t y_row, uint32_t y_column, uint32_t first, uint32_t count,
                   int64_t sums[BLOCK]) {
    uint32_t inputs = item->depthwise ? 1 : item->x_channels / item->groups;
    uint32_t group = item->depthwise ? 0 : first / (item->y_channels / item->groups);
    uint32_t taps = item->kernel_height * item->kernel_width, tap, input, c;
    const uint8_t *weights = tiles->weights;
    memset(sums, 0, BLOCK * sizeof *sums);
    for (tap = 0; tap < taps; tap++) {
        const uint8_t *x = pixel(item, tiles->x, y_row, y_column, tap);
        if (!x)
            continue;
        for (input = 0; input < inputs; input++) {
            const uint8_t *row =
                weights + ((size_t)tap * inputs + input) * item->weight_row_bytes;
            int32_t value = 0;
            if (!item->depthwise)
                value = behind_prologue(net, item, x, group * inputs + input);
            for (c = 0; c < count; c++) {
                if (item->depthwise)
                    value = behind_prologue(net, item, x, first + c);
                sums[c] += (int64_t)value * weight(item, row, first + c);
            }
        }
    }
}

/* The blocks of a sparse instruction in order; `place` is where the next one that is stored
 * lies. */
typedef struct blocks {
    uint32_t tap, input, output, inputs, outputs; /* the block's first, and its channels */
    uint64_t number, place, row_bytes;
    int is_stored;
} blocks;

static uint32_t rest(uint32_t size, uint32_t first, uint32_t step) {
    return size - first < step ? size - first : step;
}

static void look(const knl_item *item, const uint8_t *mask, blocks *at) {
    at->inputs = rest(item->x_channels, at->input, item->block_inputs);
    at->outputs = rest(item->y_channels, at->output, item->block_outputs);
    at->row_bytes = knl_whole_words((uint64_t)at->outputs * knl_weight_bytes(item));
    at->is_stored = mask[at->number / 8] >> (at->number % 8) & 1;
}

static void first_block(const knl_item *item, const uint8_t *mask, blocks *at) {
    at->tap = at->input = at->output = 0;
    at->number = 0;
    at->place = knl_mask_bytes(item);
    look(item, mask, at);
}

static int next_block(const knl_item *item, const uint8_t *mask, blocks *at) {
    if (at->is_stored)
        at->place += at->inputs * at->row_bytes;
    at->number++;
    at->output += at->outputs;
    if (at->output == item->y_channels) {
        at->output = 0;
        at->input += at->inputs;
    }
    if (at->input == item->x_channels) {
        at->input = 0;
        at->tap++;
    }
    if (at->tap == item->kernel_height * item->kernel_width)
        return 0;
    look(item, mask, at);
    return 1;
}

int knl_check_mask(const knl_item *item, const uint8_t *mask, knl_error *error) {
    uint64_t total = knl_block_count(item), bits = 0, bit, beyond = 0;
    blocks at;
    for (bit = 0; bit < 8 * knl_mask_bytes(item); bit++) {
        uint64_t one = mask[bit / 8] >> (bit % 8) & 1;
        bits += one;
        beyond += bit >= total && one;
    }
    if (bits != item->blocks || beyond)
        return knl_say(error, KNL_PROGRAM, 0,
                       "the weights in WSPM at %x have a mask with %u bits, their instruction has "
                       "%u of %u blocks.",
                       (uint64_t)item->weight_address, bits, (uint64_t)item->blocks, total);
    first_block(item, mask, &at);
    while (next_block(item, mask, &at))
        ;
    if (at.place != item->stored_bytes)
        return knl_say(error, KNL_PROGRAM, 0,
                       "the weights in WSPM at %x have a mask of %u bytes, their instruction has "
                       "%u.",
                       (uint64_t)item->weight_address, at.place, (uint64_t)item->stored_bytes);
    return KNL_OK;
}

/* As add_up, of the blocks that are stored. */
static void add_blocks(const knl_network *net, const knl_item *item, const knl_tiles *tiles,
                       uint32_t y_row, uint32_t y_column, uint32_t first, uint32_t count,
                       int64_t sums[BLOCK]) {
    uint32_t input, c;
    blocks at;
    memset(sums, 0, BLOCK * sizeof *sums);
    first_block(item, tiles->weights, &at);
    do {
        const uint8_t *x = pixel(item, tiles->x, y_row, y_column, at.tap);
        const uint8_t *row = tiles->weights + at.place;
        uint64_t end = at.place + at.inputs * at.row_bytes;
        uint32_t begin = first > at.output ? first : at.output;
        uint32_t last = first + count < at.output + at.outputs ? first + count
                                                               : at.output + at.outputs;
        if (!x || !at.is_stored || end > item->stored_bytes)
            continue;
        for (input = 0; input < at.inputs && begin < last; input++, row += at.row_bytes) {
            int32_t value = behind_prologue(net, item, x, at.input + input);
            for (c = begin; c < last; c++)
                sums[c - first] += (int64_t)value * weight(item, row, c - at.output);
        }
    } while (next_block(item, tiles->weights, &at));
}

#define MOST_PARTIAL (INT64_C(1) << 62)

/* Saturate to the accumulator, and count it. */
static int64_t saturate(knl_network *net, const knl_item *item, int64_t sum) {
    int64_t most = (INT64_C(1) << (knl_is_wide(item) ? 47 : 31)) - 1;
    int64_t found = knl_clamp(sum, -most - 1, most);
    net->saturations += found != sum;
    return found;
}

void knl_finish(knl_network *net, const knl_item *item, const knl_tiles *tiles, uint32_t row,
                uint32_t column, uint32_t channel, int64_t sum) {
    size_t place = ((size_t)row * item->y_width + column) * item->y_channels + channel;
        knl_bounds bounds;
    knl_parameter p;
    uint8_t *partial = NULL, *y;
    int64_t value;
    if (item->accumulate_in || item->accumulate_out)
        partial = tiles->sums + place * knl_sum_bytes(item);
    if (item->accumulate_in) /* whatever bytes they are: what is beyond saturates below */
        sum += knl_is_wide(item) ? knl_clamp(knl_s64(partial), -MOST_PARTIAL, MOST_PARTIAL)
                                 : knl_s32(partial);
    sum = saturate(net, item, sum);
    if (item->accumulate_out) {
        knl_put(partial, (uint64_t)sum, knl_sum_bytes(item));
        return;
    }
    p = knl_parameter_at(net->mspm + item->parameter_address, channel);
    value = knl_round(saturate(net, item, sum + p.b) * p.m, p.q);
    if (item->residual || item->activation) {
        bounds = knl_bounds_of(item->middle_type, item->middle_low, item->middle_high);
        value = knl_clamp(value, bounds.low, bounds.high);
    }
    if (item->residual) {
        const uint8_t *at = tiles->other + (size_t)row * item->residual_row_stride +
                            (size_t)column * item->residual_column_stride;
        int64_t other = knl_element(at + (size_t)channel * knl_size(item->residual_type),
                                    item->residual_type);
        value = knl_round(value * item->multiplier + other * item->residual_multiplier,
                          item->shift);
    } else if (item->activation == KNL_ACTIVATION_TABLE) {
        value = knl_look_up(net->mspm + item->activation_address, item->middle_type,
                            item->activation_intervals, item->activation_fraction, item->y_type,
                            (int32_t)value);
    } else if (item->activation) {
        value = knl_affine(net->mspm + item->activation_address,
                           channel + (value < 0 ? item->y_channels : 0), (int32_t)value);
    }
    bounds = knl_bounds_of(item->y_type, item->y_low, item->y_high);
    y = tiles->y + (size_t)row * item->y_row_stride + (size_t)column * item->y_column_stride +
        (size_t)channel * knl_size(item->y_type);
    knl_put_element(y, item->y_type, knl_clamp(value, bounds.low, bounds.high));
}

void knl_run_matrix(knl_network *net, const knl_item *item, const knl_tiles *tiles) {
    uint32_t outputs = item->depthwise ? item->y_channels : item->y_channels / item->groups;
    uint32_t row, column, group, first, c;
    int64_t sums[BLOCK];
    for (row = 0; row < item->y_height; row++)
        for (column = 0; column < item->y_width; column++)
            for (group = 0; group < item->y_channels; group += outputs)
                for (first = group; first < group + outputs; first += BLOCK) {
                    uint32_t left = group + outputs - first, count = left < BLOCK ? left : BLOCK;
                    if (item->opcode == KNL_OP_SPARSE)
                        add_blocks(net, item, tiles, row, column, first, count, sums);
                    else
                        add_up(net, item, tiles, row, column, first, count, sums);
                    for (c = 0; c < count; c++)
                        knl_finish(net, item, tiles, row, column, first + c, sums[c]);
                }
}
