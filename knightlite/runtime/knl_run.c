/* The machine: its memories in the arena, one instruction after the other. */
#include "knl_map.h"

enum {
    ALIGN = 64,
    WORK_SHARE = 18,       /* of DDR and FSPM, the part that vector kernels may have for work */
    LEAST_WORK = 36 * 1024 /* even so */
};

static uint64_t aligned(uint64_t bytes) {
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* The memories one behind the other: where each begins, and their end. */
typedef struct places {
    uint64_t ddr, fspm, wspm, mspm, work, sums, records, copies, layers, end;
} places;

/* Of a scratchpad, as much as is used; where the program is checked, all that the chip has. */
static uint64_t room(const knl_network *net, uint32_t space, uint64_t bytes) {
    if (!(net->options & KNL_CHECKED) && net->used_bytes[space] < bytes)
        bytes = net->used_bytes[space];
    return aligned(bytes + KNL_SLACK);
}

/* `ddr_end`: of the DDR that lies in the arena. */
static places places_of(const knl_network *net, uint64_t ddr_end) {
    places found;
    found.ddr = 0;
    found.mspm = aligned(ddr_end - net->constants_bytes + KNL_SLACK);
    found.fspm = found.mspm + room(net, KNL_SPACE_MSPM, net->mspm_bytes);
    found.wspm = found.fspm;
    if (net->mapped != KNL_ALL_MAPPED)
        found.wspm += room(net, KNL_SPACE_FSPM, net->fspm_bytes);
    found.work = found.wspm;
    if (net->mapped == KNL_NOT_MAPPED)
        found.work += room(net, KNL_SPACE_WSPM, net->wspm_bytes);
    found.sums = found.work + aligned(net->work_bytes);
    found.records = found.sums + aligned(net->sums_bytes);
    found.copies = found.records + aligned(net->record_count * sizeof(knl_source));
    found.layers = found.copies + aligned(((uint64_t)net->store_count + 7) / 8);
    found.end = found.layers + aligned(net->layer_bytes);
    return found;
}

/* The checks use the same bytes before the first frame. */
static uint64_t needed(const knl_network *net) {
    uint64_t memories = places_of(net, net->own_end).end, checks = knl_mark_bytes(net);
    if (net->options & KNL_CHECKED) {
        uint64_t shadow = places_of(net, net->ddr_bytes).work; /* of what is outside as well */
        checks = checks < shadow ? shadow : checks;
        if (checks < knl_race_bytes(net)) /* which is more than what tokens need */
            checks = knl_race_bytes(net);
    }
    return ALIGN + (memories > checks ? memories : checks);
}

size_t knl_arena_bytes(const knl_network *net) {
    uint64_t found = needed(net);
    return found > (uint64_t)SIZE_MAX ? 0 : (size_t)found;
}

/* Up to where instructions touch the memories. */
static void measure_use(knl_network *net) {
    knl_item item;
    size_t byte = 0;
    memset(net->used_bytes, 0, sizeof net->used_bytes);
    while (byte < net->code_bytes) {
        knl_operand found[KNL_MOST_OPERANDS];
        unsigned count, i;
        byte = knl_decode(net, byte, &item);
        count = knl_operands(&item, found);
        for (i = 0; i < count; i++)
            if (knl_last(&found[i]) > net->used_bytes[found[i].space])
                net->used_bytes[found[i].space] = knl_last(&found[i]);
    }
}

/* What vector kernels want: the most of any instruction. */
static void measure_work(knl_network *net) {
    uint64_t share = net->ddr_bytes - net->constants_bytes;
    knl_item item;
    size_t byte = 0;
    if (net->mapped != KNL_ALL_MAPPED)
        share += room(net, KNL_SPACE_FSPM, net->fspm_bytes);
    share /= WORK_SHARE;
    net->work_limit = share < LEAST_WORK ? LEAST_WORK : share;
    net->work_bytes = 0;
    while (net->simd && byte < net->code_bytes) {
        uint64_t wanted;
        byte = knl_decode(net, byte, &item);
        wanted = knl_vector_bytes(net, &item);
        if (wanted > net->work_bytes)
            net->work_bytes = wanted;
    }
    /* some rows of an instruction may share the room otherwise */
    if (net->sums_bytes && net->work_bytes && net->work_bytes < net->work_limit)
        net->work_bytes = net->work_limit;
}

static uint64_t map_bytes(const knl_map *map) {
    return aligned(map->sums_bytes) + aligned(map->count * sizeof(knl_source)) +
           aligned(((uint64_t)map->stores + 7) / 8);
}

/* Which scratchpads can be left out: none where the program is checked tile by tile, nor where
 * they are smaller than what stands for them. */
static void measure_map(knl_network *net) {
    knl_map map;
    uint64_t weights = room(net, KNL_SPACE_WSPM, net->wspm_bytes);
    memset(&map, 0, sizeof map);
    net->mapped = KNL_NOT_MAPPED;
    if (!(net->options & KNL_CHECKED)) {
        /* what the host reads and writes between would have to be waited for */
        if (!net->general_count && knl_map_program(net, &map) &&
            map_bytes(&map) <= weights + room(net, KNL_SPACE_FSPM, net->fspm_bytes))
            net->mapped = KNL_ALL_MAPPED;
        else if (knl_map_weights(net, &map) && map_bytes(&map) <= weights)
            net->mapped = KNL_WEIGHTS_MAPPED;
    }
    net->record_count = net->mapped ? map.count : 0;
    net->store_count = net->mapped ? map.stores : 0;
    net->sums_bytes = net->mapped ? map.sums_bytes : 0;
}

int knl_use_kernels(knl_network *net, unsigned kernels, knl_error *error) {
    if (kernels != KNL_SCALAR && !knl_kernels(kernels))
        return knl_say(error, KNL_ARGUMENT, kernels,
                       "the best kernels of this build on this processor are %u, not %u.",
                       (uint64_t)knl_best_kernels(), (uint64_t)kernels);
    net->simd = knl_kernels(kernels);
    measure_use(net);
    measure_map(net);
    measure_work(net);
    return KNL_OK;
}

/* The whole arena is zeroed before each check that wants it so. */
static int check(knl_network *net, uint8_t *arena, size_t bytes, knl_error *error) {
    places at = places_of(net, net->ddr_bytes);
    knl_shadow shadow;
    int status = knl_check_structure(net, arena, error);
    if (status || !(net->options & KNL_CHECKED))
        return status;
    status = knl_check_tokens(net, arena, error);
    if (!status)
        status = knl_check_races(net, arena, error);
    if (!status && net->general_count)
        status = knl_check_borders(net, arena, error);
    if (status)
        return status;
    memset(arena, 0, bytes);
    shadow.net = net;
    shadow.holds_outputs = 0;
    shadow.memory[KNL_SPACE_DDR] = arena + at.ddr;
    shadow.memory[KNL_SPACE_FSPM] = arena + at.fspm;
    shadow.memory[KNL_SPACE_WSPM] = arena + at.wspm;
    shadow.memory[KNL_SPACE_MSPM] = arena + at.mspm;
    return knl_check_reads(&shadow, error);
}

/* The masks of sparse instructions, as their loads leave them in WSPM; constants only. */
static int check_masks(knl_network *net, knl_error *error) {
    knl_item item;
    size_t byte = 0;
    while (byte < net->code_bytes) {
        int status = KNL_OK;
        byte = knl_decode(net, byte, &item);
        if (item.opcode == KNL_OP_LOAD && item.space == KNL_SPACE_WSPM) {
            knl_operand found[KNL_MOST_OPERANDS];
            knl_operands(&item, found);
            if (knl_last(&found[0]) > net->constants_bytes)
                return KNL_OK;
            knl_run_transfer(net, &item);
        }
        if (item.opcode == KNL_OP_SPARSE)
            status = knl_check_mask(&item, net->wspm + item.weight_address, error);
        if (status)
            return status;
    }
    return KNL_OK;
}

/* The same where the constants are read in place. */
static int check_far_masks(knl_network *net, knl_error *error) {
    knl_item item;
    size_t byte = 0;
    knl_begin(net);
    for (; byte < net->code_bytes;) {
        size_t code = byte;
        byte = knl_decode(net, code, &item);
        if (item.opcode == KNL_OP_LOAD)
            continue;
        if (net->mapped == KNL_WEIGHTS_MAPPED && !knl_is_matrix(&item))
            continue;
        if (item.opcode == KNL_OP_STORE) {
            net->next_record += net->copies[net->next_store / 8] >> net->next_store % 8 & 1;
            net->next_store++;
            continue;
        }
        if (item.opcode == KNL_OP_SPARSE) {
            int status = knl_check_far_mask(net, code, net->next_record, &item, error);
            if (status)
                return status;
        }
        net->next_record++;
    }
    return KNL_OK;
}

static void write_map(knl_network *net, uint8_t *records, uint8_t *copies) {
    knl_map map;
    memset(&map, 0, sizeof map);
    map.records = (knl_source *)(void *)records;
    map.copies = copies;
    if (net->mapped == KNL_ALL_MAPPED)
        knl_map_program(net, &map);
    else
        knl_map_weights(net, &map);
    net->records = records;
    net->copies = copies;
}

int knl_start(knl_network *net, void *arena, size_t arena_bytes, knl_error *error) {
    places at = places_of(net, net->own_end);
    uint64_t wanted = needed(net);
    uint8_t *first = arena;
    size_t off = (size_t)((uintptr_t)arena % ALIGN);
    int status = net->is_measured ? KNL_OK : knl_measure_layers(net, error);
    if (status)
        return status;
    if (!arena || arena_bytes < wanted)
        return knl_say(error, KNL_ARENA, 0, "the network needs an arena of %u bytes, not %u.",
                       wanted, (uint64_t)(arena ? arena_bytes : 0));
    net->arena = arena;
    net->arena_bytes = arena_bytes;
    status = knl_check_outside(net, error);
    if (status)
        return status;
    if (off) {
        first += ALIGN - off;
        arena_bytes -= ALIGN - off;
    }
    memset(first, 0, arena_bytes);
    status = check(net, first, arena_bytes, error);
    if (status)
        return status;
    memset(first, 0, arena_bytes);
    net->ddr = first + at.ddr;
    net->mspm = first + at.mspm;
    net->work = first + at.work;
    net->sums = first + at.sums;
    net->packed[0] = 0;
    net->layers_memory = first + at.layers;
    net->fspm = net->mapped == KNL_ALL_MAPPED ? NULL : first + at.fspm;
    net->wspm = net->mapped == KNL_NOT_MAPPED ? first + at.wspm : NULL;
    if (net->mapped) {
        write_map(net, first + at.records, first + at.copies);
        status = check_far_masks(net, error);
    } else {
        status = check_masks(net, error);
        memset(net->wspm, 0, (size_t)(at.work - at.wspm));
    }
    if (!status)
        knl_load_once(net);
    knl_reset(net);
    return status;
}

knl_tiles knl_near_tiles(const knl_network *net, const knl_item *item) {
    knl_tiles found;
    found.x = net->fspm + item->x_address;
    found.other = net->fspm + (item->opcode == KNL_OP_ELTWISE ? item->z_address
                                                              : item->residual_address);
    found.weights = net->wspm ? net->wspm + item->weight_address : NULL; /* in place */
    found.y = net->fspm + item->y_address;
    found.sums = net->fspm + item->accumulator_address;
    found.weights_key = item->weight_address + 1;
    found.channel = 0;
    return found;
}

void knl_compute(knl_network *net, const knl_item *item, const knl_tiles *tiles) {
    switch (item->opcode) {
    case KNL_OP_MATRIX:
        if (net->work_bytes && knl_vector_bytes(net, item))
            knl_vector_matrix(net, item, tiles);
        else
            knl_run_matrix(net, item, tiles);
        break;
    case KNL_OP_SPARSE:
        knl_run_matrix(net, item, tiles);
        break;
    case KNL_OP_AFFINE:
        knl_run_affine(net, item, tiles);
        break;
    case KNL_OP_ELTWISE:
        knl_run_eltwise(net, item, tiles);
        break;
    case KNL_OP_POOL:
        knl_run_pool(item, tiles);
        break;
    case KNL_OP_LOOKUP:
        knl_run_lookup(net, item, tiles);
        break;
    case KNL_OP_RESIZE:
        knl_run_resize(item, tiles);
        break;
    case KNL_OP_MOVE:
        knl_run_move(item, tiles);
        break;
    case KNL_OP_PICK:
        knl_run_pick(item, tiles);
        break;
    default:
        knl_run_softmax(net, item, tiles);
        break;
    }
}

static void run_near(knl_network *net, size_t code, knl_item *item) {
    knl_tiles tiles;
    if (item->opcode == KNL_OP_LOAD || item->opcode == KNL_OP_STORE) {
        if (item->opcode == KNL_OP_STORE || item->space != KNL_SPACE_WSPM || net->wspm)
            knl_run_transfer(net, item);
        return;
    }
    tiles = knl_near_tiles(net, item);
    if (net->mapped && knl_is_matrix(item)) {
        knl_weights_in_place(net, code, item, &tiles);
        net->next_record++;
    }
    knl_compute(net, item, &tiles);
}

/* Where the tiles lie in DDR: what only carries them has nothing to do. */
static void run_far(knl_network *net, size_t code, knl_item *item) {
    if (item->opcode == KNL_OP_LOAD) {
        if (item->space == KNL_SPACE_MSPM)
            knl_run_transfer(net, item);
    } else if (item->opcode == KNL_OP_STORE) {
        if (net->copies[net->next_store / 8] >> net->next_store % 8 & 1)
            knl_copy_far(net, code, item), net->next_record++;
        net->next_store++;
    } else {
        knl_run_far(net, code, item);
        net->next_record++;
    }
}

static void observe(const knl_network *net, int64_t index, knl_observer observer, void *context) {
    uint32_t at;
    for (at = 0; at < net->tensor_count; at++)
        if (knl_s64(net->tensors + (size_t)at * KNL_TENSOR_SIZE + KNL_TENSOR_READY) == index)
            observer(context, at);
}

int knl_scratchpad(const knl_network *net, unsigned memory, uint64_t *first, uint64_t *last) {
    int stays = net->kept_bytes[memory] > 0;
    *first = stays ? net->kept_first[memory] : 0;
    *last = stays ? *first + net->kept_bytes[memory] : net->used_bytes[memory];
    return stays;
}

void knl_load_once(knl_network *net) {
    size_t byte = 0;
    knl_item item;
    while (byte < net->once_byte) {
        byte = knl_decode(net, byte, &item);
        if (item.space != KNL_SPACE_WSPM || net->wspm)
            knl_run_transfer(net, &item);
    }
}

void knl_begin(knl_network *net) {
    net->saturations = 0;
    net->next_byte = net->once_byte;
    net->next = net->once;
    net->next_record = net->next_store = net->next_layer = 0;
    net->packed[0] = 0;
    net->failed_why = 0;
}

void knl_advance(knl_network *net, uint32_t instruction) {
    uint32_t end = instruction < net->instructions ? instruction : net->instructions;
    knl_item item;
    knl_run_layers(net);
    while (net->next < end) {
        size_t code = net->next_byte;
        net->next_byte = knl_decode(net, code, &item);
        if (net->mapped == KNL_ALL_MAPPED)
            run_far(net, code, &item);
        else
            run_near(net, code, &item);
        net->next++;
        knl_run_layers(net);
    }
    if (net->next == net->instructions)
        knl_keep_states(net);
}

const uint8_t *knl_fspm(const knl_network *net) {
    return net->fspm;
}

void knl_run(knl_network *net, knl_observer observer, void *context) {
    knl_begin(net);
    knl_advance(net, 0);
    if (observer)
        observe(net, -1, observer, context);
    if (observer && net->once)
        observe(net, (int64_t)net->once - 1, observer, context);
    while (observer && net->next < net->instructions) {
        knl_advance(net, net->next + 1);
        observe(net, (int64_t)net->next - 1, observer, context);
    }
    knl_advance(net, net->instructions);
}

uint64_t knl_saturations(const knl_network *net) {
    return net->saturations;
}
