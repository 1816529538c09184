/* Matrix instructions of 8-bit operands by vector kernels: what is staged, packed, and in which
 * order. The kernels themselves: knl_avx2.c, knl_avx512.c. */
#include "knl_simd.h"

/* rows of weights up to which sums of 8-bit operands cannot leave 32 bits */
enum { MOST_ROWS = 65536, ALIGN = 64, SLACK = 64 };
enum { MOST_STAGE = 1 << 23, MOST_WORK = 1 << 26 };

unsigned knl_best_kernels(void) {
    return knl_avx512() ? KNL_AVX512_VNNI : knl_avx2() ? KNL_AVX2 : KNL_SCALAR;
}

const void *knl_kernels(unsigned kernels) {
    return kernels == KNL_AVX512_VNNI ? knl_avx512() : kernels == KNL_AVX2 ? knl_avx2() : NULL;
}

static size_t aligned(size_t bytes) {
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* What an instruction needs, and where in the work memory it lies. */
typedef struct plan {
    const knl_simd *simd;
    uint32_t high, wide;  /* of the staged tile */
    uint32_t inputs;      /* channels that an output reads */
    uint32_t outputs;     /* channels of a group */
    uint32_t blocks;      /* of lanes, per group */
    size_t pixel_bytes;   /* of a staged pixel */
    size_t element;       /* of a staged x */
    size_t weight_steps;  /* of a block */
    size_t block_bytes;   /* of a block's packed weights */
    size_t packed, start, prologue, rounding, table, sums, stage, end; /* places */
    int is_signed;        /* x behind its prologue */
} plan;

static uint32_t covered(uint32_t count, uint32_t stride, uint32_t taps, uint32_t dilation) {
    return (count - 1) * stride + (taps - 1) * dilation + 1;
}

/* Whether a vector kernel does an instruction, and how. */
static int make_plan(const knl_network *net, const knl_item *item, plan *p) {
    uint32_t taps = item->kernel_height * item->kernel_width;
    uint32_t type = item->prologue ? item->prologue_type : item->x_type;
    uint64_t rows, stage;
    p->simd = net->simd;
    if (!p->simd || item->opcode != KNL_OP_MATRIX || type >= KNL_S16 || item->weight_type)
        return 0;
    p->is_signed = type == KNL_S8;
    p->inputs = item->depthwise ? 1 : item->x_channels / item->groups;
    p->outputs = item->depthwise ? item->y_channels : item->y_channels / item->groups;
    rows = (uint64_t)taps * p->inputs;
    if (!rows || !p->outputs || rows > MOST_ROWS)
        return 0;
    p->high = covered(item->y_height, item->stride_height, item->kernel_height,
                      item->dilation_height);
    p->wide = covered(item->y_width, item->stride_width, item->kernel_width, item->dilation_width);
    p->element = item->depthwise ? 2 : p->simd->element;
    p->pixel_bytes = (item->x_channels + (size_t)KNL_STEP - 1) / KNL_STEP * KNL_STEP * p->element;
    stage = (uint64_t)p->high * p->wide;
    if (stage > MOST_STAGE)
        return 0;
    stage *= p->pixel_bytes;
    p->blocks = (p->outputs + p->simd->lanes - 1) / p->simd->lanes;
    p->weight_steps = (size_t)taps * ((p->inputs + KNL_STEP - 1) / KNL_STEP);
    p->block_bytes = p->weight_steps * KNL_STEP * p->simd->lanes * p->simd->element;
    p->packed = 0;
    if (item->depthwise) /* [tap][channel], of 16 bits */
        p->start = aligned(2 * (size_t)taps * (item->y_channels + (size_t)KNL_MOST_LANES));
    else
        p->start = aligned(p->block_bytes * p->blocks * item->groups);
    p->prologue = p->start + aligned(4 * (size_t)p->simd->lanes * p->blocks *
                                     (item->depthwise ? 1 : item->groups));
    p->rounding = p->prologue + (item->prologue ? 4 * aligned(4 * (size_t)item->x_channels + SLACK)
                                                : 0);
    p->table = p->rounding + 2 * aligned(8 * ((size_t)item->y_channels + KNL_MOST_LANES));
    p->sums = p->table + aligned(KNL_TABLE_ENTRIES * 2);
    p->stage = p->sums + aligned(4 * ((size_t)KNL_MOST_PIXELS * KNL_MOST_LANES +
                                      (item->depthwise ? item->y_channels : 0)));
    p->end = p->stage + aligned((size_t)stage + SLACK);
    return p->end <= MOST_WORK; /* of programs that no chip can hold: these are refused later */
}

uint64_t knl_vector_bytes(const knl_network *net, const knl_item *item) {
    plan p;
    return make_plan(net, item, &p) ? p.end : 0;
}

/* ---- what depends on the channels */

static double half_to(uint32_t shift) { /* 2^-shift, shift below 1023 */
    uint64_t bits = (uint64_t)(1023 - shift) << 52;
    double found;
    memcpy(&found, &bits, sizeof found);
    return found;
}

/* 0 where results are finished one by one. `most`: magnitude of a sum that with its bias surely
 * stays within 32 bits. */
static int set_rounding(const knl_network *net, const knl_item *item, const plan *p,
                        knl_rounding *how, int64_t *most) {
    double *scale = (double *)(void *)(net->work + p->rounding);
    double *offset = scale + aligned(8 * ((size_t)item->y_channels + KNL_MOST_LANES)) / 8;
    knl_bounds y = knl_bounds_of(item->y_type, item->y_low, item->y_high), first = y;
    int64_t largest = 0;
    uint32_t c;
    if (item->activation == KNL_ACTIVATION_TWO_SIDED ||
        (item->residual && item->residual_type == KNL_S16))
        return 0;
    if (item->residual || item->activation)
        first = knl_bounds_of(item->middle_type, item->middle_low, item->middle_high);
    for (c = 0; c < item->y_channels; c++) {
        knl_parameter q = knl_parameter_at(net->mspm + item->parameter_address, c);
        if (q.b > largest || -(int64_t)q.b > largest)
            largest = q.b < 0 ? -(int64_t)q.b : q.b;
        scale[c] = q.m * half_to(q.q);
        offset[c] = q.b * scale[c];
    }
    how->scale = scale;
    how->offset = offset;
    how->low = first.low;
    how->high = first.high;
    how->y_low = y.low;
    how->y_high = y.high;
    how->factor = item->multiplier * half_to(item->shift);
    how->residual = item->residual_multiplier * half_to(item->shift);
    *most = INT64_C(2147483647) - largest;
    return item->accumulate_in ||
           (int64_t)p->inputs * item->kernel_height * item->kernel_width * 32640 <= *most;
}

/* 0 where 32 bits might not hold what is rounded. */
static int set_prologue(const knl_network *net, const knl_item *item, const plan *p,
                        knl_prologue *how) {
    size_t step = aligned(4 * (size_t)item->x_channels + SLACK) / 4;
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

/* Steps of four inputs of each tap: [group][block][step][lane][4]; and what sums start from. */
static void pack(const knl_network *net, const knl_item *item, const plan *p) {
    uint32_t taps = item->kernel_height * item->kernel_width, lanes = p->simd->lanes;
    uint32_t group, block, tap, input, i;
    int32_t offset = p->is_signed ? p->simd->offset : 0;
    memset(net->work + p->start, 0, p->prologue - p->start);
    for (group = 0; group < item->groups; group++)
        for (block = 0; block < p->blocks; block++) {
            size_t which = (size_t)group * p->blocks + block;
            size_t channel = (size_t)group * p->outputs + (size_t)block * lanes;
            uint32_t left = p->outputs - block * lanes;
            uint8_t *to = net->work + p->packed + which * p->block_bytes;
            int32_t *start = (int32_t *)(void *)(net->work + p->start) + which * lanes;
            const uint8_t *row = net->wspm + item->weight_address + channel;
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
}

static void pack_lanewise(const knl_network *net, const knl_item *item, const plan *p) {
    uint32_t taps = item->kernel_height * item->kernel_width, tap, c;
    int16_t *to = (int16_t *)(void *)(net->work + p->packed);
    for (tap = 0; tap < taps; tap++, to += item->y_channels) {
        const uint8_t *row =
            net->wspm + item->weight_address + (size_t)tap * item->weight_row_bytes;
        for (c = 0; c < item->y_channels; c++)
            to[c] = (int16_t)knl_s8(row + c);
    }
}

/* Pack where the last packed weights were others; a load into them has said so. */
static void pack_once(knl_network *net, const knl_item *item, const plan *p) {
    uint32_t key[8];
    key[0] = item->weight_address + 1;
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
    pack(net, item, p);
}

/* ---- x */

static void fill(uint8_t *to, size_t bytes, size_t element, int32_t zero) {
    memset(to, element == 2 ? 0 : zero, bytes);
}

static void stage_pixels(const knl_network *net, const knl_item *item, const plan *p,
                         const knl_prologue *how, uint32_t row, uint8_t *to, uint32_t count) {
    const uint8_t *x = net->fspm + item->x_address + (size_t)row * item->x_row_stride;
    int wide = p->element == 2;
    int32_t add = p->is_signed && !wide ? p->simd->offset : 0;
    uint32_t at;
    if (!how && item->x_column_stride * p->element == p->pixel_bytes &&
        item->x_channels == item->x_column_stride) {
        p->simd->convert(x, item->x_type == KNL_S8, wide, add, (size_t)count * item->x_channels, to);
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
static void stage(const knl_network *net, const knl_item *item, const plan *p,
                  const knl_prologue *how) {
    uint8_t *to = net->work + p->stage;
    size_t row_bytes = (size_t)p->wide * p->pixel_bytes;
    int32_t zero = p->is_signed && p->element == 1 ? p->simd->offset : 0;
    uint32_t left = item->pad_left < p->wide ? item->pad_left : p->wide;
    uint32_t inside = p->wide - left < item->x_width ? p->wide - left : item->x_width, row;
    for (row = 0; row < p->high; row++, to += row_bytes) {
        size_t before = left * p->pixel_bytes, middle = inside * p->pixel_bytes;
        if (row < item->pad_top || row - item->pad_top >= item->x_height) {
            fill(to, row_bytes, p->element, zero);
            continue;
        }
        fill(to, before, p->element, zero);
        fill(to + before + middle, row_bytes - before - middle, p->element, zero);
        stage_pixels(net, item, p, how, row - item->pad_top, to + before, inside);
    }
}

/* ---- y */

typedef struct target {
    knl_network *net;
    const knl_item *item;
    const plan *p;
    const knl_rounding *how; /* NULL: one by one */
    int64_t most;            /* magnitude up to which a sum with partial ones surely fits */
    const uint8_t *table;    /* of an activation, clamped, by the middle value's byte */
    knl_lines lines;         /* of an activation of 16 bits; its table may be NULL */
} target;

/* The results of a table for every 8-bit value. */
static const uint8_t *set_table(const knl_network *net, const knl_item *item, const plan *p) {
    uint8_t *table = net->work + p->table;
    knl_bounds bounds = knl_bounds_of(item->y_type, item->y_low, item->y_high);
    uint32_t size = knl_size(item->y_type);
    int32_t value;
    for (value = knl_minimum(item->middle_type); value <= knl_maximum(item->middle_type); value++) {
        int64_t found = knl_look_up(net->mspm + item->activation_address, item->middle_type, 0, 0,
                                    item->y_type, value);
        knl_put_element(table + (size_t)(value & 0xff) * size, item->y_type,
                        knl_clamp(found, bounds.low, bounds.high));
    }
    return table;
}

static void set_target(target *to, const knl_item *item, const plan *p, knl_rounding *rounding) {
    knl_bounds bounds = knl_bounds_of(item->y_type, item->y_low, item->y_high);
    to->how = NULL;
    to->table = to->lines.table = NULL;
    to->most = INT64_C(2147483647);
    if (item->accumulate_out || !set_rounding(to->net, item, p, rounding, &to->most))
        return;
    to->how = rounding;
    if (item->activation && item->middle_type != KNL_S16)
        to->table = set_table(to->net, item, p);
    if (item->activation && item->middle_type == KNL_S16)
        to->lines.table = to->net->mspm + item->activation_address;
    to->lines.shift = 16 - item->activation_intervals;
    to->lines.fraction = item->activation_fraction;
    to->lines.low = bounds.low;
    to->lines.high = bounds.high;
}

/* Add partial sums; 0 where one could saturate, now or with its bias. */
static int add_partial(const uint8_t *partial, const int32_t *sums, uint32_t count, int64_t most,
                       int32_t *total) {
    int fits = 1;
    uint32_t c;
    for (c = 0; c < count; c++) {
        int32_t before;
        int64_t sum;
        memcpy(&before, partial + 4 * (size_t)c, 4);
        sum = (int64_t)before + sums[c];
        fits &= sum <= most && sum >= -most;
        total[c] = (int32_t)(uint32_t)((uint64_t)sum & 0xffffffffu);
    }
    return fits;
}

static void finish_one_by_one(const target *to, uint32_t row, uint32_t column, uint32_t channel,
                              uint32_t count, const int32_t *sums) {
    uint32_t c;
    for (c = 0; c < count; c++)
        knl_finish(to->net, to->item, row, column, channel + c, sums[c]);
}

/* Sums of `count` channels of a pixel, from `channel` on. */
static void finish(const target *to, uint32_t row, uint32_t column, uint32_t channel,
                   uint32_t count, const int32_t *sums) {
    const knl_item *item = to->item;
    const knl_simd *simd = to->p->simd;
    uint32_t size = knl_size(item->y_type), c;
    uint8_t *fspm = to->net->fspm;
    uint8_t *y = fspm + item->y_address + (size_t)row * item->y_row_stride +
                 (size_t)column * item->y_column_stride + (size_t)channel * size;
    const uint8_t *residual = NULL;
    uint8_t *partial = fspm + item->accumulator_address +
                       4 * (((size_t)row * item->y_width + column) * item->y_channels + channel);
    int32_t values[KNL_MOST_LANES];
    knl_rounding how;
    if (!to->how && !item->accumulate_out) {
        finish_one_by_one(to, row, column, channel, count, sums);
        return;
    }
    if (item->accumulate_in) {
        if (!add_partial(partial, sums, count, to->most, values)) {
            finish_one_by_one(to, row, column, channel, count, sums);
            return;
        }
        sums = values;
    }
    if (item->accumulate_out) {
        memcpy(partial, sums, 4 * (size_t)count);
        return;
    }
    how = *to->how;
    how.scale += channel;
    how.offset += channel;
    if (item->activation) {
        simd->requantize(sums, &how, count, values);
        if (to->lines.table)
            simd->lines(values, &to->lines, count, size == 2, y);
        else
            for (c = 0; c < count; c++)
                memcpy(y + c * size, to->table + (size_t)(values[c] & 0xff) * size, size);
        return;
    }
    if (item->residual)
        residual = fspm + item->residual_address + (size_t)row * item->residual_row_stride +
                   (size_t)column * item->residual_column_stride + channel;
    simd->finish(sums, &how, residual, item->residual_type == KNL_S8, count, size == 2, y);
}

/* ---- order of work */

static void run_dense(const target *to, const uint8_t *x, const knl_taps *taps, size_t row_bytes,
                      size_t pixel_bytes) {
    const knl_item *item = to->item;
    const plan *p = to->p;
    const int32_t *start = (const int32_t *)(void *)(to->net->work + p->start);
    int32_t *sums = (int32_t *)(void *)(to->net->work + p->sums);
    uint64_t pixels = (uint64_t)item->y_height * item->y_width, first;
    uint32_t group, block, row = 0, column = 0;
    for (first = 0; first < pixels; first += p->simd->pixels) {
        const uint8_t *at[KNL_MOST_PIXELS], *moved[KNL_MOST_PIXELS];
        uint32_t rows[KNL_MOST_PIXELS], columns[KNL_MOST_PIXELS];
        uint64_t left = pixels - first;
        unsigned count = left < p->simd->pixels ? (unsigned)left : p->simd->pixels, i;
        for (i = 0; i < count; i++) {
            rows[i] = row;
            columns[i] = column;
            at[i] = x + (size_t)row * item->stride_height * row_bytes +
                    (size_t)column * item->stride_width * pixel_bytes;
            if (++column == item->y_width)
                column = 0, row++;
        }
        for (group = 0; group < item->groups; group++) {
            for (i = 0; i < count; i++)
                moved[i] = at[i] + (size_t)group * p->inputs * p->element;
            for (block = 0; block < p->blocks; block++) {
                size_t which = (size_t)group * p->blocks + block;
                uint32_t lane = block * p->simd->lanes, lanes = p->outputs - lane;
                if (lanes > p->simd->lanes)
                    lanes = p->simd->lanes;
                p->simd->dot(moved, count, to->net->work + p->packed + which * p->block_bytes,
                             taps, start + which * p->simd->lanes, sums);
                for (i = 0; i < count; i++)
                    finish(to, rows[i], columns[i], group * p->outputs + lane, lanes,
                           sums + i * p->simd->lanes);
            }
        }
    }
}

static void run_lanewise(const target *to, const uint8_t *x, const knl_taps *taps,
                         size_t row_bytes) {
    const knl_item *item = to->item;
    const plan *p = to->p;
    const int16_t *weights = (const int16_t *)(void *)(to->net->work + p->packed);
    int32_t *sums = (int32_t *)(void *)(to->net->work + p->sums);
    uint32_t row, column, c;
    for (row = 0; row < item->y_height; row++)
        for (column = 0; column < item->y_width; column++) {
            p->simd->lanewise(x + (size_t)row * item->stride_height * row_bytes +
                                  (size_t)column * item->stride_width * p->pixel_bytes,
                              weights, taps, item->y_channels, sums);
            for (c = 0; c < item->y_channels; c += KNL_MOST_LANES) {
                uint32_t left = item->y_channels - c;
                finish(to, row, column, c, left < KNL_MOST_LANES ? left : KNL_MOST_LANES, sums + c);
            }
        }
}

void knl_vector_matrix(knl_network *net, const knl_item *item) {
    plan p;
    knl_taps taps;
    knl_prologue prologue;
    knl_rounding rounding;
    target to;
    const uint8_t *x;
    size_t row_bytes, pixel_bytes;
    int direct;
    if (!make_plan(net, item, &p) || (item->prologue && !set_prologue(net, item, &p, &prologue))) {
        knl_run_matrix(net, item);
        return;
    }
    to.net = net;
    to.item = item;
    to.p = &p;
    set_target(&to, item, &p, &rounding);
    /* x may be read where it lies: no border, nothing to change in it */
    direct = !item->prologue && !item->depthwise && p.element == 1 && !p.is_signed &&
             !item->pad_top && !item->pad_left && p.high <= item->x_height &&
             p.wide <= item->x_width;
    x = direct ? net->fspm + item->x_address : net->work + p.stage;
    pixel_bytes = direct ? item->x_column_stride : p.pixel_bytes;
    row_bytes = direct ? item->x_row_stride : p.wide * p.pixel_bytes;
    if (!direct)
        stage(net, item, &p, item->prologue ? &prologue : NULL);
    taps.rows = item->kernel_height;
    taps.columns = item->kernel_width;
    taps.row_bytes = item->dilation_height * row_bytes;
    taps.column_bytes = item->dilation_width * pixel_bytes;
    taps.steps = (p.inputs + KNL_STEP - 1) / KNL_STEP;
    if (taps.column_bytes == taps.steps * KNL_STEP * p.element) { /* taps of a row touch */
        taps.steps *= taps.columns;
        taps.columns = 1;
    }
    if (item->depthwise) {
        net->packed[0] = 0;
        pack_lanewise(net, item, &p);
        taps.columns = item->kernel_width;
        run_lanewise(&to, x, &taps, row_bytes);
    } else {
        pack_once(net, item, &p);
        run_dense(&to, x, &taps, row_bytes, pixel_bytes);
    }
}
