/* Bytes from one place to another: loads, stores, moves. */
#include "knl_core.h"

static uint8_t *scratchpad(knl_network *net, uint32_t space) {
    return space == KNL_SPACE_FSPM ? net->fspm : space == KNL_SPACE_WSPM ? net->wspm : net->mspm;
}

/* Most runs are a pixel's channels: short ones are not worth a call. */
static void copy(uint8_t *to, const uint8_t *from, size_t bytes) {
    if (bytes > 64) {
        memcpy(to, from, bytes);
        return;
    }
    for (; bytes >= 16; to += 16, from += 16, bytes -= 16)
        memcpy(to, from, 16);
    for (; bytes >= 4; to += 4, from += 4, bytes -= 4)
        memcpy(to, from, 4);
    while (bytes--)
        *to++ = *from++;
}

/* Constants are read where the file has them; a run may end behind them. */
static void from_ddr(const knl_network *net, uint8_t *to, uint64_t address, size_t bytes) {
    if (address < net->constants_bytes) {
        size_t part = bytes;
        if (part > net->constants_bytes - address)
            part = (size_t)(net->constants_bytes - address);
        memcpy(to, net->constants + address, part);
        to += part;
        address += part;
        bytes -= part;
    }
    if (bytes)
        copy(to, knl_ddr_at(net, address), bytes);
}

/* One run instead of many where they touch on both sides. */
static void merge(knl_item *item) {
    if (item->columns > 1 && item->ddr_column_stride == item->run_bytes &&
        item->local_column_stride == item->run_bytes) {
        item->run_bytes *= item->columns;
        item->columns = 1;
    }
    if (item->columns == 1 && item->rows > 1 && item->ddr_row_stride == item->run_bytes &&
        item->local_row_stride == item->run_bytes) {
        item->run_bytes *= item->rows;
        item->rows = 1;
    }
}

void knl_run_transfer(knl_network *net, const knl_item *given) {
    knl_item item = *given;
    uint32_t row, column;
    merge(&item); /* a scratchpad holds the whole, so the product fits */
    for (row = 0; row < item.rows; row++) {
        uint64_t far = item.ddr_address + (uint64_t)row * item.ddr_row_stride;
        size_t near = item.local_address + (size_t)row * item.local_row_stride;
        for (column = 0; column < item.columns; column++) {
            if (item.opcode == KNL_OP_LOAD)
                from_ddr(net, scratchpad(net, item.space) + near, far, item.run_bytes);
            else
                copy(knl_ddr_at(net, far), net->fspm + near, item.run_bytes);
            far += item.ddr_column_stride;
            near += item.local_column_stride;
        }
    }
    if (item.opcode == KNL_OP_LOAD && item.space == KNL_SPACE_WSPM)
        net->packed[0] = 0;
}

void knl_run_move(const knl_item *item, const knl_tiles *tiles) {
    knl_operand found[KNL_MOST_OPERANDS];
    knl_walk from, to;
    knl_operands(item, found);
    knl_walk_start(&from, &found[0]);
    for (knl_walk_start(&to, &found[1]); to.more; knl_walk_next(&to)) {
        memcpy(tiles->y + (to.address - item->y_address),
               tiles->x + (from.address - item->x_address), item->run_bytes);
        knl_walk_next(&from);
    }
}
