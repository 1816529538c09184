/* What every instruction touches: strided runs of bytes. The same list as knightlite.isa has. */
#include "knl_core.h"

static knl_operand runs(const char *name, knl_part part, uint32_t space, uint64_t address,
                        uint64_t rows,
                        uint64_t row_stride, uint64_t columns, uint64_t column_stride,
                        uint64_t run, uint32_t unit, uint32_t write) {
    knl_operand found;
    found.name = name;
    found.part = part;
    found.space = space;
    found.write = write;
    found.unit = unit;
    found.address = address;
    found.turns[0] = found.turns[1] = 1;
    found.strides[0] = found.strides[1] = 0;
    found.turns[2] = rows;
    found.strides[2] = row_stride;
    found.turns[3] = columns;
    found.strides[3] = column_stride;
    found.run = run;
    return found;
}

static knl_operand flat(const char *name, knl_part part, uint32_t space, uint64_t address,
                        uint64_t bytes,
                        uint32_t unit, uint32_t write) {
    return runs(name, part, space, address, 1, bytes, 1, bytes, bytes, unit, write);
}

static knl_operand records(const char *name, uint32_t address, uint64_t count) {
    return flat(name, KNL_PART_MSPM, KNL_SPACE_MSPM, address, count * KNL_PARAMETER_BYTES,
                KNL_PARAMETER_BYTES, 0);
}

static knl_operand table(uint32_t address, uint32_t intervals, uint32_t y_type) {
    return flat("table", KNL_PART_MSPM, KNL_SPACE_MSPM, address, knl_table_bytes(intervals, y_type),
                intervals ? 2 : KNL_TABLE_UNIT, 0);
}

/* Pixels in FSPM; `y` has the height, width and channels. */
static knl_operand tile(const char *name, knl_part part, uint32_t address, uint32_t rows,
                        uint32_t row_stride,
                        uint32_t columns, uint32_t column_stride, uint32_t channels, uint32_t type,
                        uint32_t write) {
    return runs(name, part, KNL_SPACE_FSPM, address, rows, row_stride, columns, column_stride,
                (uint64_t)channels * knl_size(type), knl_size(type), write);
}

static knl_operand x_tile(const knl_item *item) {
    return tile("input tile", KNL_PART_X, item->x_address, item->x_height, item->x_row_stride,
                item->x_width,
                item->x_column_stride, item->x_channels, item->x_type, 0);
}

static knl_operand y_tile(const knl_item *item) {
    return tile("output tile", KNL_PART_Y, item->y_address, item->y_height, item->y_row_stride,
                item->y_width,
                item->y_column_stride, item->y_channels, item->y_type, 1);
}

static knl_operand partial_sums(const knl_item *item, uint32_t write) {
    uint64_t count = (uint64_t)item->y_height * item->y_width * item->y_channels;
    return flat("partial sums", KNL_PART_SUMS, KNL_SPACE_FSPM, item->accumulator_address,
                count * knl_sum_bytes(item), knl_sum_bytes(item), write);
}

static knl_operand weights(const knl_item *item) {
    uint64_t inputs = item->depthwise ? 1 : item->x_channels / item->groups;
    uint32_t unit = knl_weight_bytes(item);
    uint64_t row = (uint64_t)item->y_channels * unit;
    if (item->opcode == KNL_OP_SPARSE)
        return flat("weights", KNL_PART_WEIGHTS, KNL_SPACE_WSPM, item->weight_address,
                    item->stored_bytes, unit, 0);
    return runs("weights", KNL_PART_WEIGHTS, KNL_SPACE_WSPM, item->weight_address,
                (uint64_t)item->kernel_height * item->kernel_width * inputs,
                item->weight_row_bytes, 1, row, row, unit, 0);
}

static unsigned matrix(const knl_item *item, knl_operand *found) {
    unsigned count = 0;
    found[count++] = x_tile(item);
    found[count++] = weights(item);
    if (item->prologue)
        found[count++] = records("prologue parameters", item->prologue_address, item->x_channels);
    if (item->accumulate_in)
        found[count++] = partial_sums(item, 0);
    if (item->accumulate_out) {
        found[count++] = partial_sums(item, 1);
        return count;
    }
    found[count++] = records("parameters", item->parameter_address, item->y_channels);
    if (item->residual)
        found[count++] = tile("residual tile", KNL_PART_OTHER, item->residual_address,
                              item->y_height,
                              item->residual_row_stride, item->y_width,
                              item->residual_column_stride, item->y_channels,
                              item->residual_type, 0);
    else if (item->activation == KNL_ACTIVATION_TABLE)
        found[count++] = table(item->activation_address, item->activation_intervals, item->y_type);
    else if (item->activation)
        found[count++] = records("activation parameters", item->activation_address,
                                 2 * (uint64_t)item->y_channels);
    found[count++] = y_tile(item);
    return count;
}

static knl_operand ddr_side(const knl_item *item, uint32_t write) {
    return runs("DDR side", KNL_PART_TRANSFER, KNL_SPACE_DDR, item->ddr_address, item->rows,
                item->ddr_row_stride,
                item->columns, item->ddr_column_stride, item->run_bytes, 1, write);
}

static knl_operand local_side(const knl_item *item, uint32_t space, uint32_t write) {
    return runs("scratchpad side", KNL_PART_TRANSFER, space, item->local_address, item->rows,
                item->local_row_stride,
                item->columns, item->local_column_stride, item->run_bytes, 1, write);
}

static knl_operand move_side(const knl_item *item, uint32_t write) {
    const uint64_t x[KNL_LOOPS] = {item->x_stride0, item->x_stride1, item->x_stride2,
                                   item->x_stride3};
    const uint64_t y[KNL_LOOPS] = {item->y_stride0, item->y_stride1, item->y_stride2,
                                   item->y_stride3};
    knl_operand found = runs(write ? "destination" : "source", write ? KNL_PART_Y : KNL_PART_X,
                             KNL_SPACE_FSPM,
                             write ? item->y_address : item->x_address, 1, 0, 1, 0,
                             item->run_bytes, 1, write);
    found.turns[0] = item->count0;
    found.turns[1] = item->count1;
    found.turns[2] = item->count2;
    found.turns[3] = item->count3;
    memcpy(found.strides, write ? y : x, sizeof found.strides);
    return found;
}

unsigned knl_operands(const knl_item *item, knl_operand found[KNL_MOST_OPERANDS]) {
    unsigned count = 0;
    switch (item->opcode) {
    case KNL_OP_LOAD:
        found[count++] = ddr_side(item, 0);
        found[count++] = local_side(item, item->space, 1);
        return count;
    case KNL_OP_STORE:
        found[count++] = local_side(item, KNL_SPACE_FSPM, 0);
        found[count++] = ddr_side(item, 1);
        return count;
    case KNL_OP_MOVE:
        found[count++] = move_side(item, 0);
        found[count++] = move_side(item, 1);
        return count;
    case KNL_OP_MATRIX:
    case KNL_OP_SPARSE:
        return matrix(item, found);
    default:
        break;
    }
    found[count++] = x_tile(item);
    if (item->opcode == KNL_OP_AFFINE)
        found[count++] = records("parameters", item->parameter_address,
                                 (item->two_sided ? 2 : 1) * (uint64_t)item->y_channels);
    else if (item->opcode == KNL_OP_ELTWISE)
        found[count++] = tile("second tile", KNL_PART_OTHER, item->z_address, item->y_height,
                              item->z_row_stride,
                              item->y_width, item->z_column_stride,
                              item->z_broadcast ? 1 : item->y_channels, item->z_type, 0);
    else if (item->opcode == KNL_OP_LOOKUP)
        found[count++] = table(item->table_address, item->intervals, item->y_type);
    else if (item->opcode == KNL_OP_SOFTMAX)
        found[count++] = flat("table", KNL_PART_MSPM, KNL_SPACE_MSPM, item->table_address,
                              (uint64_t)KNL_EXPONENTIALS * (item->fine ? 4 : 2) *
                                  (item->x_type == KNL_S16 ? 2 : 1),
                              KNL_TABLE_UNIT, 0);
    found[count++] = y_tile(item);
    return count;
}

uint64_t knl_last(const knl_operand *operand) {
    uint64_t last = operand->address + operand->run;
    unsigned i;
    for (i = 0; i < KNL_LOOPS; i++)
        last += (operand->turns[i] - 1) * operand->strides[i];
    return last;
}

knl_operand knl_tensor_operand(const knl_tensor *tensor, uint32_t write) {
    uint32_t size = knl_size(tensor->type);
    return runs("tensor", KNL_PART_TRANSFER, KNL_SPACE_DDR, tensor->address, tensor->height,
                tensor->row_stride,
                tensor->width, tensor->column_stride, tensor->channels * size, size, write);
}

void knl_walk_start(knl_walk *walk, const knl_operand *operand) {
    memset(walk->turn, 0, sizeof walk->turn);
    walk->operand = operand;
    walk->address = operand->address;
    walk->more = 1;
}

void knl_walk_next(knl_walk *walk) {
    const knl_operand *operand = walk->operand;
    unsigned loop = KNL_LOOPS;
    while (loop--) {
        if (++walk->turn[loop] < operand->turns[loop]) {
            walk->address += operand->strides[loop];
            return;
        }
        walk->address -= (operand->turns[loop] - 1) * operand->strides[loop];
        walk->turn[loop] = 0;
    }
    walk->more = 0;
}
