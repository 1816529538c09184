/* The program without scratchpads: where in DDR the tiles lie that it copies to and fro.
 *
 * A tile that an instruction reads was loaded, and one that it writes is stored: both are then in
 * DDR as well, with other strides. Where that holds for all tiles, nothing is copied and no FSPM
 * and WSPM are needed. Loads are so read later than the program says, and stores written earlier.
 * The program is walked through in its order to make sure that this changes no byte; where it is
 * not sure, all of it runs with scratchpads. Partial sums of a layer that is cut over its input
 * channels are kept for a few rows at a time: the cuts run together. */
#include "knl_windows.h"

enum { AHEAD = 256 }; /* instructions in which a store is looked for */

/* One past the last byte of a tile in DDR. */
static uint64_t end_of(const knl_operand *tile, const knl_far *far) {
    uint64_t last = far->address + tile->run;
    unsigned i;
    for (i = 0; i < KNL_LOOPS; i++)
        last += (tile->turns[i] - 1) * (tile->turns[i] > 1 ? far->strides[i] : 0);
    return last;
}

/* Constants lie in the file, the rest in the arena: whether a tile is wholly in one of them. */
static int is_one_side(const knl_network *net, const knl_operand *tile, const knl_far *far) {
    return far->address >= net->constants_bytes || end_of(tile, far) <= net->constants_bytes;
}

static int set_distance(knl_scene *all, unsigned which, uint32_t code) {
    int64_t distance = ((int64_t)code - (int64_t)all->code) / KNL_CODE_UNIT;
    if (distance < INT16_MIN || distance > INT16_MAX)
        return 0;
    all->record.to[which] = (int16_t)distance;
    return 1;
}

static void add_record(knl_scene *all) {
    knl_map *map = all->map;
    if (map->records)
        map->records[map->count] = all->record;
    map->count++;
}

/* ---- instructions */

static int load(knl_scene *all, const knl_item *item) {
    knl_operand found[KNL_MOST_OPERANDS];
    knl_far_side far = knl_far_side_of(item);
    knl_window *made;
    unsigned i;
    knl_operands(item, found);
    if (item->space == KNL_SPACE_MSPM) {
        /* is copied where it stands: what a store will bring must not be there yet */
        for (i = 0; i < KNL_WINDOWS; i++)
            if (all->windows[i].kind == KNL_PENDING && !knl_are_apart(&all->windows[i].far, &far))
                return 0;
        return !all->open.is_open || knl_last(&found[1]) <= all->open.mspm_low ||
               found[1].address >= all->open.mspm_high;
    }
    if (!knl_write_near(all, item->space, found[1].address, knl_last(&found[1])))
        return 0;
    made = knl_open_window(all, KNL_LOADED, item, all->code);
    if (!made)
        return 0;
    made->space = item->space;
    made->low = (uint32_t)found[1].address;
    made->high = (uint32_t)knl_last(&found[1]);
    for (i = 0; i < KNL_WINDOWS; i++)
        if (all->windows[i].kind == KNL_PENDING && !knl_are_apart(&all->windows[i].far, &far))
            made->is_stale = 1;
    return 1;
}

/* A store of what instructions have put in its place already, or of what was loaded. */
static int store(knl_scene *all, const knl_item *item) {
    knl_operand found[KNL_MOST_OPERANDS];
    knl_far far;
    knl_far_side to = knl_far_side_of(item);
    knl_window *source;
    unsigned i;
    for (i = 0; i < KNL_WINDOWS; i++) {
        knl_window *made = &all->windows[i];
        if (made->kind != KNL_PENDING || made->code != all->code)
            continue;
        knl_close_window(made);
        all->map->stores++;
        return made->bytes == item->run_bytes || made->rows == item->rows;
    }
    knl_operands(item, found);
    source = knl_find_source(all, &found[0], &far);
    if (!source || !set_distance(all, KNL_FROM_X, source->code) ||
        !knl_are_apart(&source->far, &to) ||
        !is_one_side(all->net, &found[0], &far))
        return 0;
    if (all->map->copies)
        all->map->copies[all->map->stores / 8] |= (uint8_t)(1u << all->map->stores % 8);
    all->map->stores++;
    add_record(all);
    return knl_write_far(all, &to);
}

/* The store that will leave a tile in DDR: its byte of the code, 0 where there is none. */
static uint32_t find_store(const knl_scene *all, const knl_operand *tile) {
    uint32_t code = all->next, steps;
    for (steps = 0; steps < AHEAD && code < all->net->code_bytes; steps++) {
        knl_item item;
        knl_far far;
        knl_inside where;
        uint32_t next = (uint32_t)knl_decode(all->net, code, &item);
        if (item.opcode == KNL_OP_STORE && knl_place(&item, tile, &far, &where))
            return code;
        code = next;
    }
    return 0;
}

/* Whether a tile goes on where those before it ended: in every run, or row by row. */
static int goes_on(knl_window *pending, const knl_item *item, const knl_operand *tile,
                   const knl_inside *where) {
    uint64_t pixels = tile->turns[0] * tile->turns[1] * tile->turns[2] * tile->turns[3];
    uint64_t runs = (where->rows + 1) * (where->columns + 1);
    if (where->columns + 1 != item->columns || where->bytes * runs != pixels * tile->run)
        return 0; /* not every column, or with holes */
    if (where->bytes == item->run_bytes) {
        if (pending->bytes || where->row != pending->rows)
            return 0;
        pending->rows += (uint32_t)where->rows + 1;
        return 1;
    }
    if (pending->rows || where->rows + 1 != item->rows || where->byte != pending->bytes)
        return 0;
    pending->bytes += (uint32_t)where->bytes;
    return 1;
}

/* What an instruction reads, with the far side of the load that brought it. */
typedef struct reads {
    unsigned count;
    knl_far_side loads[3];
    knl_far tiles[3];
    uint64_t bytes[3];
} reads;

static int write_tile(knl_scene *all, const knl_item *item, const knl_operand *tile,
                      const reads *before) {
    int in_place = item->opcode == KNL_OP_AFFINE || item->opcode == KNL_OP_ELTWISE ||
                   item->opcode == KNL_OP_LOOKUP;
    knl_window *pending = NULL;
    knl_item later;
    knl_far far;
    knl_inside where;
    knl_far_side to;
    unsigned i;
    uint32_t code;
    for (i = 0; i < KNL_WINDOWS; i++)
        if (all->windows[i].kind == KNL_PENDING && tile->address < all->windows[i].high &&
            all->windows[i].low < knl_last(tile))
            pending = &all->windows[i];
    code = pending ? pending->code : find_store(all, tile);
    if (!code || !set_distance(all, KNL_TO_Y, code))
        return 0;
    later = knl_decoded(all->net, code);
    if (!knl_place(&later, tile, &far, &where))
        return 0;
    to = knl_far_side_of(&later);
    for (i = 0; i < before->count; i++) {
        const knl_far *x = &before->tiles[i];
        if (!knl_are_apart(&before->loads[i], &to) &&
            !(in_place && before->bytes[i] == tile->run && x->address == far.address &&
              x->strides[2] == far.strides[2] && x->strides[3] == far.strides[3]))
            return 0;
    }
    if (!pending) {
        knl_operand found[KNL_MOST_OPERANDS];
        knl_operands(&later, found);
        if (!knl_write_near(all, KNL_SPACE_FSPM, found[0].address, knl_last(&found[0])) ||
            !knl_write_far(all, &to))
            return 0;
        pending = knl_open_window(all, KNL_PENDING, &later, code);
        if (!pending)
            return 0;
        pending->space = KNL_SPACE_FSPM;
        pending->low = (uint32_t)found[0].address;
        pending->high = (uint32_t)knl_last(&found[0]);
    }
    return goes_on(pending, &later, tile, &where);
}

/* A part of a layer that is cut over its input channels: is the one before it there? */
static int join_cuts(knl_scene *all, const knl_item *item) {
    knl_cuts *open = &all->open;
    uint64_t bytes = (uint64_t)item->y_width * item->y_channels * knl_sum_bytes(item);
    bytes *= item->y_height;
    if (!item->accumulate_in && !item->accumulate_out)
        return 1;
    if (open->is_open != item->accumulate_in || bytes > all->net->fspm_bytes)
        return 0;
    if (item->accumulate_in) {
        uint32_t distance = all->map->count - open->record;
        if (open->height != item->y_height || open->width != item->y_width ||
            open->channels != item->y_channels || open->opcode != item->opcode ||
            open->groups != item->groups || open->depthwise != item->depthwise ||
            open->address != item->accumulator_address ||
            open->sum_bytes != knl_sum_bytes(item) || open->count == KNL_MOST_CUTS ||
            distance > UINT16_MAX || !set_distance(all, KNL_FROM_BEFORE, open->code))
            return 0;
        all->record.back = (uint16_t)distance;
    } else if (!knl_write_near(all, KNL_SPACE_FSPM, item->accumulator_address,
                           item->accumulator_address + bytes)) {
        return 0;
    }
    if (!item->accumulate_in)
        open->mspm_low = UINT64_MAX, open->mspm_high = 0;
    open->count = item->accumulate_in ? open->count + 1 : 1;
    open->is_open = item->accumulate_out;
    open->code = all->code;
    open->record = all->map->count;
    open->low = item->accumulator_address;
    open->high = item->accumulator_address + (uint32_t)bytes;
    open->height = item->y_height, open->width = item->y_width;
    open->channels = item->y_channels, open->opcode = item->opcode;
    open->groups = item->groups, open->depthwise = item->depthwise;
    open->address = item->accumulator_address;
    open->sum_bytes = knl_sum_bytes(item);
    if (!item->accumulate_out && knl_share_of(item).bytes > all->map->sums_bytes)
        all->map->sums_bytes = knl_share_of(item).bytes;
    return 1;
}

/* What the last cut will still read must stay as it is; the next channels of the same pixels are
 * held together. */
static int hold(knl_scene *all, const knl_window *source) {
    knl_item item = knl_decoded(all->net, source->code);
    unsigned i;
    for (i = 0; i < KNL_WINDOWS; i++) {
        knl_far_side *far = &all->windows[i].far;
        if (all->windows[i].kind != KNL_HELD || far->row_stride != source->far.row_stride ||
            far->column_stride != source->far.column_stride || far->rows != source->far.rows ||
            far->columns != source->far.columns ||
            far->address + far->run != source->far.address)
            continue;
        far->run += source->far.run;
        far->end += source->far.run;
        return 1;
    }
    return knl_open_window(all, KNL_HELD, &item, source->code) != NULL;
}

static void hold_parameters(knl_cuts *open, const knl_operand *operand) {
    if (operand->address < open->mspm_low)
        open->mspm_low = operand->address;
    if (knl_last(operand) > open->mspm_high)
        open->mspm_high = knl_last(operand);
}

static void let_go(knl_scene *all) {
    unsigned i;
    for (i = 0; i < KNL_WINDOWS; i++)
        if (all->windows[i].kind == KNL_HELD)
            knl_close_window(&all->windows[i]);
}

static int compute(knl_scene *all, const knl_item *item) {
    knl_operand found[KNL_MOST_OPERANDS];
    unsigned count = knl_operands(item, found), i;
    reads before;
    before.count = 0;
    for (i = 0; i < count; i++) {
        const knl_operand *tile = &found[i];
        knl_window *source;
        knl_far far;
        int which = knl_record_place(tile);
        if (which < 0 || which == KNL_TO_Y)
            continue;
        source = knl_find_source(all, tile, &far);
        if (!source || !set_distance(all, (unsigned)which, source->code))
            return 0;
        /* vector kernels read a little beyond features, and constants end where the file does */
        if (!is_one_side(all->net, tile, &far) ||
            (far.address < all->net->constants_bytes && knl_is_matrix(item) &&
             tile->space == KNL_SPACE_FSPM))
            return 0;
        before.loads[before.count] = source->far;
        before.tiles[before.count] = far;
        before.bytes[before.count++] = tile->run;
        if (item->accumulate_out && far.address >= all->net->constants_bytes &&
            !hold(all, source))
            return 0;
    }
    if (!join_cuts(all, item))
        return 0;
    for (i = 0; i < count && item->accumulate_out; i++)
        if (found[i].space == KNL_SPACE_MSPM)
            hold_parameters(&all->open, &found[i]);
    if (!item->accumulate_out) {
        int written = write_tile(all, item, &found[count - 1], &before);
        let_go(all);
        if (!written)
            return 0;
    }
    add_record(all);
    return 1;
}

/* An empty map; 0 where records cannot say where the program's instructions are. */
static int begin(knl_scene *all, const knl_network *net, knl_map *map) {
    memset(all, 0, sizeof *all);
    all->net = net;
    all->map = map;
    map->count = map->stores = 0;
    map->sums_bytes = 0;
    return net->code_bytes <= UINT32_MAX;
}

/* The instruction at a byte, with an empty record; the byte behind it. */
static size_t next_item(knl_scene *all, size_t byte, knl_item *item) {
    all->code = (uint32_t)byte;
    byte = knl_decode(all->net, byte, item);
    all->next = (uint32_t)byte;
    memset(&all->record, 0, sizeof all->record);
    return byte;
}

int knl_map_program(const knl_network *net, knl_map *map) {
    knl_scene all;
    knl_item item;
    size_t byte = 0;
    if (!begin(&all, net, map))
        return 0;
    while (byte < net->code_bytes) {
        int fits;
        byte = next_item(&all, byte, &item);
        fits = item.opcode == KNL_OP_LOAD    ? load(&all, &item)
               : item.opcode == KNL_OP_STORE ? store(&all, &item)
                                             : compute(&all, &item);
        if (!fits)
            return 0;
    }
    return !all.open.is_open;
}

int knl_map_weights(const knl_network *net, knl_map *map) {
    knl_scene all;
    knl_item item;
    size_t byte = 0;
    if (!begin(&all, net, map))
        return 0;
    while (byte < net->code_bytes) {
        byte = next_item(&all, byte, &item);
        if (item.opcode == KNL_OP_LOAD && item.space == KNL_SPACE_WSPM) {
            if (knl_far_side_of(&item).end > net->constants_bytes || !load(&all, &item))
                return 0;
        } else if (knl_is_matrix(&item)) {
            knl_operand found[KNL_MOST_OPERANDS];
            unsigned count = knl_operands(&item, found), i;
            for (i = 0; i < count; i++) {
                knl_window *source;
                knl_far far;
                if (found[i].part != KNL_PART_WEIGHTS)
                    continue;
                source = knl_find_source(&all, &found[i], &far);
                if (!source || !set_distance(&all, KNL_FROM_WEIGHTS, source->code))
                    return 0;
            }
            add_record(&all);
        }
    }
    return 1;
}
