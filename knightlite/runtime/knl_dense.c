/* Matrix instructions of 8-bit operands by vector kernels: what is staged, packed, and in which
 * order. The kernels themselves: knl_avx2.c, knl_avx512.c, knl_avx512_results.c, knl_neon.c. */
#include "knl_plan.h"

/* rows of weights up to which sums of 8-bit operands cannot leave 32 bits */
enum { MOST_ROWS = 65536, MOST_STAGE = 1 << 23, MOST_WORK = 1 << 26 };

unsigned knl_best_kernels(void) {
    return knl_neon_dot() ? KNL_NEON_DOT
           : knl_neon()   ? KNL_NEON
           : knl_avx512() ? KNL_AVX512_VNNI
           : knl_avx2()   ? KNL_AVX2
                          : KNL_SCALAR;
}

const void *knl_kernels(unsigned kernels) {
    return kernels == KNL_NEON_DOT      ? knl_neon_dot()
           : kernels == KNL_NEON        ? knl_neon()
           : kernels == KNL_AVX512_VNNI ? knl_avx512()
           : kernels == KNL_AVX2        ? knl_avx2()
                                        : NULL;
}

/* How many blocks are packed and how many rows staged at a time, so that `room` bytes are enough;
 * one of each where they are not. */
static void share(const knl_item *item, knl_plan *p, uint64_t room) {
    uint32_t blocks = item->depthwise ? 0 : p->blocks * item->groups;
    uint64_t row_bytes = p->is_direct ? 0 : (uint64_t)p->wide * p->pixel_bytes;
    uint64_t least = row_bytes * knl_covered(1, item->stride_height, item->kernel_height,
                                             item->dilation_height);
    uint64_t all = row_bytes * knl_covered(item->y_height, item->stride_height,
                                           item->kernel_height, item->dilation_height);
    uint64_t packed = blocks * (uint64_t)p->block_bytes, more;
    p->packed_blocks = blocks;
    p->rows = item->y_height;
    if (packed + all <= room)
        return;
    if (blocks && packed + least > room) { /* each lot of blocks stages anew: little at a time */
        uint64_t staged = all < room / 4 ? all : least > room / 4 ? least : room / 4;
        uint64_t fitting = room > staged ? (room - staged) / p->block_bytes : 0;
        p->packed_blocks = fitting < 1 ? 1 : (uint32_t)fitting;
        packed = p->packed_blocks * (uint64_t)p->block_bytes;
    }
    if (!row_bytes)
        return;
    more = room > packed + least ? room - packed - least : 0;
    more /= row_bytes * item->stride_height;
    if (more < p->rows)
        p->rows = 1 + (uint32_t)more;
}

/* How all channels of an instruction go through vector kernels; 0 where they do not. */
static int plan_channels(const knl_network *net, const knl_item *item, knl_plan *p) {
    uint32_t taps = item->kernel_height * item->kernel_width, high;
    uint32_t type = item->prologue ? item->prologue_type : item->x_type;
    uint64_t rows;
    size_t fixed;
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
    high = knl_covered(item->y_height, item->stride_height, item->kernel_height,
                       item->dilation_height);
    p->wide =
        knl_covered(item->y_width, item->stride_width, item->kernel_width, item->dilation_width);
    p->element = item->depthwise ? 2 : p->simd->element;
    p->is_turned = p->element == 1 && p->is_signed != p->simd->is_signed;
    p->pixel_bytes = (item->x_channels + (size_t)KNL_STEP - 1) / KNL_STEP * KNL_STEP * p->element;
    if ((uint64_t)high * p->wide > MOST_STAGE)
        return 0;
    p->is_direct = !item->prologue && !item->depthwise && p->element == 1 && !p->is_turned &&
                   !item->pad_top && !item->pad_left && high <= item->x_height &&
                   p->wide <= item->x_width;
    p->blocks = (p->outputs + p->simd->lanes - 1) / p->simd->lanes;
    p->weight_steps = (size_t)taps * ((p->inputs + KNL_STEP - 1) / KNL_STEP);
    p->block_bytes = p->weight_steps * KNL_STEP * p->simd->lanes * p->simd->element;
    fixed = 2 * knl_aligned(8 * ((size_t)item->y_channels + 2 * KNL_MOST_LANES)) +
            knl_aligned(KNL_TABLE_ENTRIES * 2) +
            knl_aligned(4 * (size_t)KNL_MOST_PIXELS * KNL_MOST_LANES);
    if (item->prologue)
        fixed += 4 * knl_aligned(4 * (size_t)item->x_channels + KNL_SLACK);
    if (item->depthwise)
        fixed += knl_aligned(2 * (size_t)taps * (item->y_channels + (size_t)KNL_MOST_LANES));
    fixed += knl_aligned(4 * (size_t)p->simd->lanes * p->blocks * item->groups) + KNL_SLACK;
    share(item, p, net->work_limit > fixed ? net->work_limit - fixed : 0);
    p->packed = 0;
    if (item->depthwise) /* [tap][channel], of 16 bits */
        p->start = knl_aligned(2 * (size_t)taps * (item->y_channels + (size_t)KNL_MOST_LANES));
    else
        p->start = knl_aligned(p->block_bytes * p->packed_blocks);
    p->prologue = p->start + knl_aligned(4 * (size_t)p->simd->lanes * p->packed_blocks);
    p->rounding = p->prologue;
    if (item->prologue)
        p->rounding += 4 * knl_aligned(4 * (size_t)item->x_channels + KNL_SLACK);
    p->table = p->rounding + 2 * knl_aligned(8 * ((size_t)item->y_channels + 2 * KNL_MOST_LANES));
    p->sums = p->table + knl_aligned(KNL_TABLE_ENTRIES * 2);
    p->stage = p->sums + knl_aligned(4 * (size_t)KNL_MOST_PIXELS * KNL_MOST_LANES);
    p->end = p->stage;
    if (!p->is_direct)
        p->end += knl_aligned((size_t)p->wide * p->pixel_bytes *
                                  knl_covered(p->rows, item->stride_height, item->kernel_height,
                                              item->dilation_height) +
                              KNL_SLACK);
    return p->end <= MOST_WORK; /* of programs that no chip can hold: these are refused later */
}

/* The first `channels` of a depthwise instruction, which has as many inputs as outputs. */
static knl_item narrowed(const knl_item *item, uint32_t channels) {
    knl_item found = *item;
    found.x_channels = found.y_channels = channels;
    return found;
}

/* Whether a vector kernel does an instruction, and how: all its channels at a time, or so many as
 * the work memory should be enough for. */
static int make_plan(const knl_network *net, const knl_item *item, knl_plan *p,
                     uint32_t *channels) {
    *channels = item->y_channels;
    if (!plan_channels(net, item, p))
        return 0;
    if (!item->depthwise || item->accumulate_in || item->accumulate_out ||
        item->activation == KNL_ACTIVATION_TWO_SIDED)
        return 1;
    while (p->end > net->work_limit && *channels > KNL_MOST_LANES) {
        knl_item part;
        *channels = (*channels / 2 + KNL_MOST_LANES - 1) / KNL_MOST_LANES * KNL_MOST_LANES;
        part = narrowed(item, *channels);
        plan_channels(net, &part, p);
    }
    return 1;
}

uint64_t knl_vector_bytes(const knl_network *net, const knl_item *item) {
    knl_plan p;
    uint32_t channels;
    return make_plan(net, item, &p, &channels) ? p.end : 0;
}

/* ---- order of work */

/* Some rows of results, from x as it is staged for them, or as it lies. */
typedef struct part {
    const uint8_t *x;
    size_t row_bytes, pixel_bytes; /* of x */
    uint32_t row, rows;            /* of results */
    uint32_t first, last;          /* blocks, those packed */
} part;

static void run_dense(const knl_target *to, const part *now, const knl_taps *taps) {
    const knl_item *item = to->item;
    const knl_plan *p = to->p;
    const int32_t *start = (const int32_t *)(void *)(to->net->work + p->start);
    int32_t *sums = (int32_t *)(void *)(to->net->work + p->sums);
    uint64_t pixels = (uint64_t)now->rows * item->y_width, left;
    uint32_t block, row = 0, column = 0;
    knl_places places;
    places.stride = p->simd->lanes;
    for (left = pixels; left; left -= places.count) {
        const uint8_t *at[KNL_MOST_PIXELS], *moved[KNL_MOST_PIXELS];
        unsigned i;
        places.count = 0;
        while (places.count < p->simd->pixels && places.count < left) {
            at[places.count] = now->x + (size_t)row * item->stride_height * now->row_bytes +
                               (size_t)column * item->stride_width * now->pixel_bytes;
            knl_add_place(to, &places, now->row + row, column);
            if (++column == item->y_width)
                column = 0, row++;
        }
        for (block = now->first; block < now->last; block++) {
            uint32_t group = block / p->blocks, lane = block % p->blocks * p->simd->lanes;
            uint32_t lanes = p->outputs - lane;
            size_t place = block - now->first;
            if (lanes > p->simd->lanes)
                lanes = p->simd->lanes;
            for (i = 0; i < places.count; i++)
                moved[i] = at[i] + (size_t)group * p->inputs * p->element;
            p->simd->dot(moved, places.count, lanes,
                         to->net->work + p->packed + place * p->block_bytes, taps,
                         start + place * p->simd->lanes, sums);
            knl_put_results(to, &places, group * p->outputs + lane, lanes, sums);
        }
    }
}

static void run_lanewise(const knl_target *to, const part *now, const knl_taps *taps) {
    const knl_item *item = to->item;
    const knl_plan *p = to->p;
    const int16_t *weights = (const int16_t *)(void *)(to->net->work + p->packed);
    int32_t *sums = (int32_t *)(void *)(to->net->work + p->sums);
    size_t step = item->stride_width * p->pixel_bytes;
    uint32_t row, column, c;
    knl_places places;
    places.stride = KNL_MOST_LANES;
    for (row = 0; row < now->rows; row++)
        for (column = 0; column < item->y_width; column += places.count) {
            const uint8_t *x = now->x + (size_t)row * item->stride_height * now->row_bytes +
                               column * step;
            places.count = 0;
            while (places.count < p->simd->pixels && column + places.count < item->y_width)
                knl_add_place(to, &places, now->row + row, column + places.count);
            for (c = 0; c < item->y_channels; c += KNL_MOST_LANES) {
                uint32_t left = item->y_channels - c;
                uint32_t lanes = left < KNL_MOST_LANES ? left : KNL_MOST_LANES;
                p->simd->lanewise(x + 2 * (size_t)c, step, places.count, weights + c,
                                  item->y_channels, taps, lanes, sums);
                knl_put_results(to, &places, c, lanes, sums);
            }
        }
}

/* Rows for rows, with the blocks that are packed. */
static void run_rows(const knl_target *to, part *now, const knl_taps *taps,
                     const knl_prologue *prologue) {
    const knl_item *item = to->item;
    const knl_plan *p = to->p;
    int is_staged = now->first && p->rows == item->y_height; /* for the blocks before */
    for (now->row = 0; now->row < item->y_height; now->row += now->rows) {
        now->rows = item->y_height - now->row < p->rows ? item->y_height - now->row : p->rows;
        if (!p->is_direct && !is_staged)
            knl_stage(to->net, item, p, to->tiles->x, prologue, now->row, now->rows);
        if (item->depthwise)
            run_lanewise(to, now, taps);
        else
            run_dense(to, now, taps);
    }
}

static void run_plan(knl_network *net, const knl_item *item, const knl_tiles *tiles,
                     const knl_plan *plan) {
    knl_plan p = *plan;
    knl_taps taps;
    knl_prologue prologue;
    knl_rounding rounding;
    knl_target to;
    part now;
    uint32_t blocks;
    if (item->prologue && !knl_set_prologue(net, item, &p, &prologue)) {
        knl_run_matrix(net, item, tiles);
        return;
    }
    to.net = net;
    to.item = item;
    to.tiles = tiles;
    to.p = &p;
    knl_set_target(&to, item, &p, &rounding);
    now.x = p.is_direct ? tiles->x : net->work + p.stage;
    now.pixel_bytes = p.is_direct ? item->x_column_stride : p.pixel_bytes;
    now.row_bytes = p.is_direct ? item->x_row_stride : p.wide * p.pixel_bytes;
    taps.rows = item->kernel_height;
    taps.columns = item->kernel_width;
    taps.row_bytes = item->dilation_height * now.row_bytes;
    taps.column_bytes = item->dilation_width * now.pixel_bytes;
    taps.steps = (p.inputs + KNL_STEP - 1) / KNL_STEP;
    if (!item->depthwise && taps.column_bytes == taps.steps * KNL_STEP * p.element) {
        taps.steps *= taps.columns; /* taps of a row touch */
        taps.columns = 1;
    }
    if (item->depthwise) {
        net->packed[0] = 0;
        now.first = 0;
        knl_pack_lanewise(net, item, &p, tiles->weights);
        run_rows(&to, &now, &taps, item->prologue ? &prologue : NULL);
        return;
    }
    blocks = p.blocks * item->groups;
    for (now.first = 0; now.first < blocks; now.first = now.last) {
        now.last = blocks - now.first < p.packed_blocks ? blocks : now.first + p.packed_blocks;
        knl_pack(net, item, &p, tiles, now.first);
        run_rows(&to, &now, &taps, item->prologue ? &prologue : NULL);
    }
}

void knl_vector_matrix(knl_network *net, const knl_item *item, const knl_tiles *tiles) {
    knl_plan p;
    uint32_t most, first;
    if (!make_plan(net, item, &p, &most)) {
        knl_run_matrix(net, item, tiles);
        return;
    }
    if (most == item->y_channels) {
        run_plan(net, item, tiles, &p);
        return;
    }
    for (first = 0; first < item->y_channels; first += most) {
        uint32_t left = item->y_channels - first;
        knl_item some = narrowed(item, left < most ? left : most);
        knl_tiles at = *tiles;
        at.x += (size_t)first * knl_size(item->x_type);
        at.y += (size_t)first * knl_size(item->y_type);
        if (at.other)
            at.other += (size_t)first * knl_size(item->residual_type);
        at.weights += first;
        some.parameter_address += first * KNL_PARAMETER_BYTES;
        some.prologue_address += item->prologue ? first * KNL_PARAMETER_BYTES : 0;
        plan_channels(net, &some, &p);
        run_plan(net, &some, &at, &p);
    }
}
