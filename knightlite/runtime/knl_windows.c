/* What scratchpads hold that DDR holds too, as a program goes on. */
#include "knl_windows.h"

knl_far_side knl_far_side_of(const knl_item *item) {
    knl_far_side found;
    found.address = item->ddr_address;
    found.row_stride = item->ddr_row_stride;
    found.column_stride = item->ddr_column_stride;
    found.rows = item->rows;
    found.columns = item->columns;
    found.run = item->run_bytes;
    found.end = item->ddr_address + (uint64_t)(item->rows - 1) * item->ddr_row_stride +
                (uint64_t)(item->columns - 1) * item->ddr_column_stride + item->run_bytes;
    return found;
}

/* Whether two surely share no byte: apart, or channels of the same pixels. */
int knl_are_apart(const knl_far_side *one, const knl_far_side *other) {
    uint64_t step = one->column_stride, first, second;
    if (one->end <= other->address || other->end <= one->address)
        return 1;
    if (!step || other->column_stride != step || one->row_stride % step ||
        other->row_stride % step)
        return 0;
    first = one->address % step;
    second = other->address % step;
    if (first + one->run > step || second + other->run > step)
        return 0;
    return first + one->run <= second || second + other->run <= first;
}

void knl_close_window(knl_window *item) {
    item->kind = KNL_NOTHING;
}

knl_window *knl_open_window(knl_scene *all, knl_window_kind kind, const knl_item *transfer,
                            uint32_t code) {
    knl_window *found = NULL; /* a free one, or what was not used for longest */
    unsigned i;
    for (i = 0; i < KNL_WINDOWS; i++) {
        knl_window *next = &all->windows[i];
        if (next->kind == KNL_NOTHING)
            next->used = 0;
        if ((next->kind == KNL_NOTHING || next->kind == KNL_LOADED) && (!found ||
                                                                        next->used < found->used))
            found = next;
    }
    if (!found)
        return NULL;
    memset(found, 0, sizeof *found);
    found->kind = kind;
    found->code = code;
    found->used = all->next;
    found->far = knl_far_side_of(transfer);
    return found;
}

/* DDR is written: whoever has not read it yet must not. 0 where someone will. */
int knl_write_far(knl_scene *all, const knl_far_side *far) {
    unsigned i;
    for (i = 0; i < KNL_WINDOWS; i++) {
        knl_window *item = &all->windows[i];
        if (item->kind == KNL_NOTHING || knl_are_apart(&item->far, far))
            continue;
        if (item->kind != KNL_LOADED)
            return 0;
        item->is_stale = 1;
    }
    return 1;
}

/* Bytes of a scratchpad are written: what was known of them is no more. */
int knl_write_near(knl_scene *all, uint32_t space, uint64_t low, uint64_t high) {
    unsigned i;
    if (all->open.is_open && space == KNL_SPACE_FSPM && low < all->open.high &&
        all->open.low < high)
        return 0;
    for (i = 0; i < KNL_WINDOWS; i++) {
        knl_window *item = &all->windows[i];
        if (item->space != space || low >= item->high || item->low >= high)
            continue;
        if (item->kind == KNL_PENDING)
            return 0;
        if (item->kind == KNL_LOADED)
            knl_close_window(item);
    }
    return 1;
}

knl_item knl_decoded(const knl_network *net, uint32_t code) {
    knl_item found;
    knl_decode(net, code, &found);
    return found;
}

/* The load that brought what an operand reads, or NULL. */
knl_window *knl_find_source(knl_scene *all, const knl_operand *tile, knl_far *far) {
    unsigned i;
    for (i = 0; i < KNL_WINDOWS; i++) {
        knl_window *item = &all->windows[i];
        knl_item load;
        knl_inside where;
        if (item->kind != KNL_LOADED || item->is_stale || item->space != tile->space ||
            tile->address < item->low || knl_last(tile) > item->high)
            continue;
        load = knl_decoded(all->net, item->code);
        item->used = all->next;
        return knl_place(&load, tile, far, &where) ? item : NULL;
    }
    return NULL;
}
