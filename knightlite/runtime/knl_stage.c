/* What vector kernels read: x with its border, weights step by step. */
#include "knl_plan.h"

/* 0 where 32 bits might not hold what is rounded. */
int knl_set_prologue(const knl_network *net, const knl_item *item, const knl_plan *p,
                        knl_prologue *how) {
    size_t step = knl_aligned(4 * (size_t)item->x_channels + KNL_SLACK) / 4;
    int32_t *m = (int32_t *)(void *)(net->work + p->prologue);
    int32_t *b = m + step, *q = b + step, *half = q + step;
    knl_bounds bounds =
        knl_bounds_of(item->prologue_type, item->prologue_low, item->prologue_high);
    uint32_t c;
    for (c = 0; c < item->x_channels; c++) {
        knl_parameter of = knl_parameter_at(net->mspm + item->prologue_address, c);
        int64_t reach = (int64_t)(of.m < 0 ? -of.m : of.m) *
                        (item->x_type == KNL_S16 ? 32768 : 255);
        reach += of.b < 0 ? -(int64_t)of.b : of.b;
        if (of.q > 31 || reach + (INT64_C(1) << of.q) > INT64_C(2147483647))
            return 0;
        m[c] = of.m;
        b[c] = of.b;
        q[c] = (int32_t)of.q;
        half[c] = of.q ? (int32_t)(INT64_C(1) << (of.q - 1)) - 1 : 0;
    }
    how->m = m;
    how->b = b;
    how->q = q;
    how->half = half;
    how->low = bounds.low;
    how->high = bounds.high;
    return 1;
}

/* ---- weights */

/* A block: steps of four inputs of each tap, [step][lane][4]; and what sums start from. */
static void pack(const knl_network *net, const knl_item *item, const knl_plan *p,
                 const uint8_t *weights, uint32_t which, uint32_t place) {
    uint32_t taps = item->kernel_height * item->kernel_width, lanes = p->simd->lanes;
    uint32_t group = which / p->blocks, block = which % p->blocks, tap, input, i;
    uint32_t left = p->outputs - block * lanes;
    int32_t offset = p->is_turned ? p->simd->offset : 0;
    uint8_t *to = net->work + p->packed + place * p->block_bytes;
    int32_t *start = (int32_t *)(void *)(net->work + p->start) + (size_t)place * lanes;
    const uint8_t *row = weights + (size_t)group * p->outputs + (size_t)block * lanes;
    memset(start, 0, lanes * sizeof *start);
    for (tap = 0; tap < taps; tap++)
        for (input = 0; input < p->inputs; input += KNL_STEP) {
            const uint8_t *rows[KNL_STEP];
            for (i = 0; i < KNL_STEP; i++) {
                rows[i] = input + i < p->inputs ? row : NULL;
                row += rows[i] ? item->weight_row_bytes : 0;
            }
            p->simd->pack(rows, left < lanes ? left : lanes, offset, to, start);
            to += (size_t)KNL_STEP * lanes * p->simd->element;
        }
}

void knl_pack_lanewise(knl_network *net, const knl_item *item, const knl_plan *p,
                       const uint8_t *weights) {
    uint32_t taps = item->kernel_height * item->kernel_width, tap, c;
    int16_t *to = (int16_t *)(void *)(net->work + p->packed);
    for (tap = 0; tap < taps; tap++, to += item->y_channels) {
        const uint8_t *row = weights + (size_t)tap * item->weight_row_bytes;
        for (c = 0; c < item->y_channels; c++)
            to[c] = (int16_t)knl_s8(row + c);
    }
}

/* Pack where the last packed weights were others; a load into them has said so. */
void knl_pack(knl_network *net, const knl_item *item, const knl_plan *p, const knl_tiles *tiles,
              uint32_t first) {
    uint32_t total = item->groups * p->blocks, place;
    uint32_t key[12];
    key[0] = tiles->weights_key;
    key[8] = item->weight_address;
    key[9] = first;
    key[10] = tiles->channel;
    key[11] = p->packed_blocks; /* what sums start from lies behind so many */
    key[1] = item->weight_row_bytes;
    key[2] = item->y_channels;
    key[3] = item->groups;
    key[4] = p->inputs;
    key[5] = item->kernel_height;
    key[6] = item->kernel_width;
    key[7] = (uint32_t)p->is_signed;
    if (!memcmp(key, net->packed, sizeof key))
        return;
    memcpy(net->packed, key, sizeof key);
    for (place = 0; place < p->packed_blocks && first + place < total; place++)
        pack(net, item, p, tiles->weights, first + place, place);
}
/* ---- x */

static void fill(uint8_t *to, size_t bytes, size_t element, int32_t zero) {
    memset(to, element == 2 ? 0 : zero, bytes);
}

static void stage_pixels(const knl_item *item, const knl_plan *p, const uint8_t *x,
                         const knl_prologue *how, uint8_t *to, uint32_t count) {
    int wide = p->element == 2;
    int32_t add = p->is_turned ? p->simd->offset : 0;
    uint32_t at;
    if (!how && item->x_column_stride * p->element == p->pixel_bytes &&
        item->x_channels == item->x_column_stride) {
        p->simd->convert(x, item->x_type == KNL_S8, wide, add,
                         (size_t)count * item->x_channels, to);
        return;
    }
    for (at = 0; at < count; at++, x += item->x_column_stride, to += p->pixel_bytes) {
        if (how)
            p->simd->prologue(x, item->x_type, how, wide, add, item->x_channels, to);
        else
            p->simd->convert(x, item->x_type == KNL_S8, wide, add, item->x_channels, to);
    }
}

/* x with the border that windows see, where they see it. */
void knl_stage(const knl_network *net, const knl_item *item, const knl_plan *p, const uint8_t *x,
               const knl_prologue *how, uint32_t first, uint32_t rows) {
    uint32_t high = knl_covered(rows, item->stride_height, item->kernel_height,
                                item->dilation_height);
    int64_t above = (int64_t)first * item->stride_height - item->pad_top;
    uint8_t *to = net->work + p->stage;
    size_t row_bytes = (size_t)p->wide * p->pixel_bytes;
    int32_t zero = p->is_turned ? p->simd->offset : 0;
    uint32_t left = item->pad_left < p->wide ? item->pad_left : p->wide;
    uint32_t inside = p->wide - left < item->x_width ? p->wide - left : item->x_width, row;
    for (row = 0; row < high; row++, to += row_bytes) {
        size_t before = left * p->pixel_bytes, middle = inside * p->pixel_bytes;
        int64_t at = above + row;
        if (at < 0 || at >= item->x_height) {
            fill(to, row_bytes, p->element, zero);
            continue;
        }
        fill(to, before, p->element, zero);
        fill(to + before + middle, row_bytes - before - middle, p->element, zero);
        stage_pixels(item, p, x + (size_t)at * item->x_row_stride, how, to + before, inside);
    }
}
