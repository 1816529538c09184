/* Matrix instructions of 8-bit operands by vector kernels: what is staged, packed, and in which
 * order. The kernels themselves: knl_avx2.c, knl_avx512.c. */
#include "knl_plan.h"

/* rows of weights up to which sums of 8-bit operands cannot leave 32 bits */
enum { MOST_ROWS = 65536, MOST_STAGE = 1 << 23, MOST_WORK = 1 << 26 };

unsigned knl_best_kernels(void) {
    return knl_avx512() ? KNL_AVX512_VNNI : knl_avx2() ? KNL_AVX2 : KNL_SCALAR;
}

const void *knl_kernels(unsigned kernels) {
    return kernels == KNL_AVX512_VNNI ? knl_avx512() : kernels == KNL_AVX2 ? knl_avx2() : NULL;
}

static uint32_t covered(uint32_t count, uint32_t stride, uint32_t taps, uint32_t dilation) {
    return (count - 1) * stride + (taps - 1) * dilation + 1;
}

/* Whether a vector kernel does an instruction, and how. */
static int make_plan(const knl_network *net, const knl_item *item, knl_plan *p) {
    uint32_t taps = item->kernel_height * item->kernel_width;
    uint32_t type = item->prologue ? item->prologue_type : item->x_type;
    uint64_t rows, stage;
    p->simd = net->simd;
    if (!p->simd || item->opcode != KNL_OP_MATRIX || type >= KNL_S16 ||
        item->weight_type != KNL_WEIGHT_S8)
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
        p->start = knl_aligned(2 * (size_t)taps * (item->y_channels + (size_t)KNL_MOST_LANES));
    else
        p->start = knl_aligned(p->block_bytes * p->blocks * item->groups);
    p->prologue = p->start + knl_aligned(4 * (size_t)p->simd->lanes * p->blocks *
                                     (item->depthwise ? 1 : item->groups));
    p->rounding = p->prologue;
    if (item->prologue)
        p->rounding += 4 * knl_aligned(4 * (size_t)item->x_channels + KNL_SLACK);
    p->table = p->rounding + 2 * knl_aligned(8 * ((size_t)item->y_channels + 2 * KNL_MOST_LANES));
    p->sums = p->table + knl_aligned(KNL_TABLE_ENTRIES * 2);
    p->stage = p->sums + knl_aligned(4 * ((size_t)KNL_MOST_PIXELS * KNL_MOST_LANES +
                                      (item->depthwise ? item->y_channels : 0)));
    p->end = p->stage + knl_aligned((size_t)stage + KNL_SLACK);
    return p->end <= MOST_WORK; /* of programs that no chip can hold: these are refused later */
}

uint64_t knl_vector_bytes(const knl_network *net, const knl_item *item) {
    knl_plan p;
    return make_plan(net, item, &p) ? p.end : 0;
}
/* ---- order of work */

static void run_dense(const knl_target *to, const uint8_t *x, const knl_taps *taps,
                      size_t row_bytes, size_t pixel_bytes) {
    const knl_item *item = to->item;
    const knl_plan *p = to->p;
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
                    knl_put_results(to, rows[i], columns[i], group * p->outputs + lane, lanes,
                           sums + i * p->simd->lanes);
            }
        }
    }
}

static void run_lanewise(const knl_target *to, const uint8_t *x, const knl_taps *taps,
                         size_t row_bytes) {
    const knl_item *item = to->item;
    const knl_plan *p = to->p;
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
                uint32_t count = left < KNL_MOST_LANES ? left : KNL_MOST_LANES;
                knl_put_results(to, row, column, c, count, sums + c);
            }
        }
}

void knl_vector_matrix(knl_network *net, const knl_item *item) {
    knl_plan p;
    knl_taps taps;
    knl_prologue prologue;
    knl_rounding rounding;
    knl_target to;
    const uint8_t *x;
    size_t row_bytes, pixel_bytes;
    int direct;
    if (!make_plan(net, item, &p) ||
        (item->prologue && !knl_set_prologue(net, item, &p, &prologue))) {
        knl_run_matrix(net, item);
        return;
    }
    to.net = net;
    to.item = item;
    to.p = &p;
    knl_set_target(&to, item, &p, &rounding);
    /* x may be read where it lies: no border, nothing to change in it */
    direct = !item->prologue && !item->depthwise && p.element == 1 && !p.is_signed &&
             !item->pad_top && !item->pad_left && p.high <= item->x_height &&
             p.wide <= item->x_width;
    x = direct ? net->fspm + item->x_address : net->work + p.stage;
    pixel_bytes = direct ? item->x_column_stride : p.pixel_bytes;
    row_bytes = direct ? item->x_row_stride : p.wide * p.pixel_bytes;
    if (!direct)
        knl_stage(net, item, &p, item->prologue ? &prologue : NULL);
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
        knl_pack_lanewise(net, item, &p);
        taps.columns = item->kernel_width;
        run_lanewise(&to, x, &taps, row_bytes);
    } else {
        knl_pack(net, item, &p);
        run_dense(&to, x, &taps, row_bytes, pixel_bytes);
    }
}
