/* Running a mapped program: each instruction with its tiles where they lie in DDR. */
#include "knl_map.h"

/* A tile of a scratchpad where a transfer has it in DDR; 0 where it is not wholly inside. */
int knl_place(const knl_item *transfer, const knl_operand *tile, knl_far *far, knl_inside *where) {
    uint64_t down = transfer->local_row_stride, right = transfer->local_column_stride;
    uint64_t reach = transfer->run_bytes, off = tile->address - transfer->local_address;
    unsigned i;
    if (tile->address < transfer->local_address ||
        (transfer->columns > 1 && (!right || right < reach)))
        return 0;
    reach += transfer->columns > 1 ? (transfer->columns - 1) * right : 0;
    if (transfer->rows > 1 && (!down || down < reach))
        return 0;
    memset(where, 0, sizeof *where);
    if (transfer->rows > 1)
        where->row = off / down, off %= down;
    if (transfer->columns > 1)
        where->column = off / right, off %= right;
    where->byte = off;
    for (i = 0; i < KNL_LOOPS; i++) {
        uint64_t turns = tile->turns[i], stride = tile->strides[i], step;
        far->strides[i] = stride;
        if (turns == 1 || !stride)
            continue;
        if (transfer->rows > 1 && stride % down == 0) {
            step = stride / down;
            where->rows += (turns - 1) * step;
            far->strides[i] = step * transfer->ddr_row_stride;
        } else if (transfer->columns > 1 && stride % right == 0) {
            step = stride / right;
            where->columns += (turns - 1) * step;
            far->strides[i] = step * transfer->ddr_column_stride;
        } else {
            where->bytes += (turns - 1) * stride;
        }
        if (far->strides[i] > UINT32_MAX)
            return 0;
    }
    where->bytes += tile->run;
    far->address = transfer->ddr_address + where->row * transfer->ddr_row_stride +
                   where->column * transfer->ddr_column_stride + where->byte;
    return where->row + where->rows < transfer->rows &&
           where->column + where->columns < transfer->columns &&
           where->byte + where->bytes <= transfer->run_bytes;
}

static knl_far far_tile(const knl_network *net, size_t code, const knl_source *record,
                        unsigned which, const knl_operand *tile) {
    int64_t at = (int64_t)code + (int64_t)record->to[which] * KNL_CODE_UNIT;
    knl_item transfer;
    knl_far found;
    knl_inside where;
    knl_decode(net, (size_t)at, &transfer);
    knl_place(&transfer, tile, &found, &where);
    return found;
}

static const uint8_t *far_constants(const knl_network *net, uint64_t address) {
    return address < net->constants_bytes ? net->constants + address : knl_ddr_at(net, address);
}

/* Strides of a tile, as its fields are named. */
static void set_strides(knl_item *item, int which, const knl_far *far) {
    uint32_t down = (uint32_t)far->strides[2], right = (uint32_t)far->strides[3];
    if (item->opcode == KNL_OP_MOVE && which == KNL_TO_Y) {
        item->y_stride0 = (uint32_t)far->strides[0];
        item->y_stride1 = (uint32_t)far->strides[1];
        item->y_stride2 = down;
        item->y_stride3 = right;
    } else if (item->opcode == KNL_OP_MOVE) {
        item->x_stride0 = (uint32_t)far->strides[0];
        item->x_stride1 = (uint32_t)far->strides[1];
        item->x_stride2 = down;
        item->x_stride3 = right;
    } else if (which == KNL_TO_Y) {
        item->y_row_stride = down;
        item->y_column_stride = right;
    } else if (which == KNL_FROM_X) {
        item->x_row_stride = down;
        item->x_column_stride = right;
    } else if (which == KNL_FROM_WEIGHTS) {
        item->weight_row_bytes = down;
    } else if (item->opcode == KNL_OP_ELTWISE) {
        item->z_row_stride = down;
        item->z_column_stride = right;
    } else {
        item->residual_row_stride = down;
        item->residual_column_stride = right;
    }
}

/* Of weights: the load that would bring them. */
static uint32_t key_of(size_t code, const knl_source *record) {
    return (uint32_t)((int64_t)code + record->to[KNL_FROM_WEIGHTS] * KNL_CODE_UNIT) + 1;
}

/* The instruction's tiles in DDR, and its strides there. */
static knl_tiles map_tiles(const knl_network *net, size_t code, const knl_source *record,
                           knl_item *item) {
    knl_operand found[KNL_MOST_OPERANDS];
    unsigned count = knl_operands(item, found), i;
    knl_tiles tiles;
    memset(&tiles, 0, sizeof tiles);
    tiles.sums = net->sums;
    for (i = 0; i < count; i++) {
        int which = knl_record_place(&found[i]);
        knl_far far;
        if (which < 0)
            continue;
        far = far_tile(net, code, record, (unsigned)which, &found[i]);
        if (which == KNL_TO_Y)
            tiles.y = knl_ddr_at(net, far.address);
        else if (which == KNL_FROM_X)
            tiles.x = far_constants(net, far.address);
        else if (which == KNL_FROM_WEIGHTS)
            tiles.weights = far_constants(net, far.address);
        else
            tiles.other = far_constants(net, far.address);
        set_strides(item, which, &far);
    }
    if (record->to[KNL_FROM_WEIGHTS])
        tiles.weights_key = key_of(code, record);
    return tiles;
}

static const knl_source *record_at(const knl_network *net, uint32_t number) {
    return (const knl_source *)(const void *)net->records + number;
}

void knl_weights_in_place(const knl_network *net, size_t code, knl_item *item, knl_tiles *tiles) {
    const knl_source *record = record_at(net, net->next_record);
    knl_operand found[KNL_MOST_OPERANDS];
    unsigned count = knl_operands(item, found), i;
    for (i = 0; i < count; i++)
        if (found[i].part == KNL_PART_WEIGHTS) {
            knl_far far = far_tile(net, code, record, KNL_FROM_WEIGHTS, &found[i]);
            tiles->weights = far_constants(net, far.address);
            set_strides(item, KNL_FROM_WEIGHTS, &far);
            tiles->weights_key = key_of(code, record);
        }
}

knl_share knl_share_of(const knl_item *item) {
    enum { KEPT = 1 << 14, LANES = 32 };
    uint64_t pixel = (uint64_t)item->y_width * knl_sum_bytes(item), rows, channels;
    /* a two-sided activation has its second records behind all channels, blocks of zeros and groups
       have their weights in other places */
    if (item->opcode == KNL_OP_SPARSE || item->depthwise || item->groups > 1 ||
        item->activation == KNL_ACTIVATION_TWO_SIDED) {
        channels = item->y_channels;
    } else {
        channels = KEPT / (pixel * item->y_height) / LANES * LANES;
        channels = channels < LANES ? LANES : channels;
        channels = channels < item->y_channels ? channels : item->y_channels;
    }
    rows = KEPT / (pixel * channels);
    rows = rows < 1 ? 1 : rows < item->y_height ? rows : item->y_height;
    return (knl_share){(uint32_t)rows, (uint32_t)channels, rows * channels * pixel};
}

/* A part of a matrix instruction's results; `sums` hold this part alone. */
static void take_part(knl_item *item, knl_tiles *tiles, uint32_t row, uint32_t rows,
                      uint32_t channel, uint32_t channels) {
    int64_t above = (int64_t)row * item->stride_height - item->pad_top;
    if (above >= 0) {
        uint32_t skipped = above < item->x_height ? (uint32_t)above : item->x_height;
        tiles->x += (size_t)skipped * item->x_row_stride;
        item->x_height -= skipped;
        item->pad_top = 0;
    } else {
        item->pad_top = (uint32_t)-above;
    }
    if (tiles->y)
        tiles->y += (size_t)row * item->y_row_stride + channel * knl_size(item->y_type);
    if (tiles->other)
        tiles->other += (size_t)row * item->residual_row_stride +
                        channel * knl_size(item->residual_type);
    tiles->weights += channel * knl_weight_bytes(item);
    tiles->channel = channel;
    item->parameter_address += channel * KNL_PARAMETER_BYTES;
    item->y_height = rows;
    item->y_channels = channels;
}

/* Where a layer is cut, the last part first. */
typedef struct chain {
    size_t codes[KNL_MOST_CUTS];
    uint32_t records[KNL_MOST_CUTS], count;
} chain;

static void find_cuts(const knl_network *net, size_t code, chain *cuts) {
    uint32_t record = net->next_record;
    cuts->count = 0;
    for (;;) {
        const knl_source *from = record_at(net, record);
        cuts->codes[cuts->count] = code;
        cuts->records[cuts->count++] = record;
        if (!from->back)
            return;
        record -= from->back;
        code = (size_t)((int64_t)code + from->to[KNL_FROM_BEFORE] * KNL_CODE_UNIT);
    }
}

/* All cuts of some results, then of the next ones. */
static void run_cuts(knl_network *net, size_t code, const knl_item *last) {
    knl_share most = knl_share_of(last);
    uint32_t row, channel;
    chain cuts;
    find_cuts(net, code, &cuts);
    for (channel = 0; channel < last->y_channels; channel += most.channels)
        for (row = 0; row < last->y_height; row += most.rows) {
            uint32_t rows = last->y_height - row, channels = last->y_channels - channel;
            uint32_t cut = cuts.count;
            while (cut--) {
                knl_item item;
                knl_tiles tiles;
                knl_decode(net, cuts.codes[cut], &item);
                tiles = map_tiles(net, cuts.codes[cut], record_at(net, cuts.records[cut]), &item);
                take_part(&item, &tiles, row, rows < most.rows ? rows : most.rows, channel,
                          channels < most.channels ? channels : most.channels);
                knl_compute(net, &item, &tiles);
            }
        }
}

void knl_run_far(knl_network *net, size_t code, knl_item *item) {
    knl_tiles tiles;
    if (item->accumulate_out) /* runs with the last cut */
        return;
    if (item->accumulate_in) {
        run_cuts(net, code, item);
        return;
    }
    tiles = map_tiles(net, code, record_at(net, net->next_record), item);
    knl_compute(net, item, &tiles);
}

void knl_copy_far(const knl_network *net, size_t code, const knl_item *item) {
    knl_operand found[KNL_MOST_OPERANDS];
    knl_far from;
    uint32_t row, column;
    knl_operands(item, found);
    from = far_tile(net, code, record_at(net, net->next_record), KNL_FROM_X, &found[0]);
    for (row = 0; row < item->rows; row++)
        for (column = 0; column < item->columns; column++)
            memcpy(knl_ddr_at(net, item->ddr_address + (uint64_t)row * item->ddr_row_stride +
                                      (uint64_t)column * item->ddr_column_stride),
                   far_constants(net, from.address + row * from.strides[2] +
                                          column * from.strides[3]),
                   item->run_bytes);
}

int knl_check_far_mask(const knl_network *net, size_t code, uint32_t record, const knl_item *item,
                       knl_error *error) {
    knl_operand found[KNL_MOST_OPERANDS];
    knl_far from;
    knl_operands(item, found);
    from = far_tile(net, code, record_at(net, record), KNL_FROM_WEIGHTS, &found[1]);
    if (from.address >= net->constants_bytes) /* of a frame: whatever it says, no more is read */
        return KNL_OK;
    return knl_check_mask(item, net->constants + from.address, error);
}
