/* The machine: its memories in the arena, one instruction after the other. */
#include "knl_core.h"

enum { ALIGN = 64, SLACK = 64 }; /* vector kernels read up to so many bytes behind a memory */

static uint64_t aligned(uint64_t bytes) {
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* The memories one behind the other: where each begins, and their end. */
typedef struct places {
    uint64_t ddr, fspm, wspm, mspm, work, end;
} places;

static places places_of(const knl_network *net) {
    places found;
    found.ddr = 0;
    found.fspm = aligned(net->ddr_bytes - net->constants_bytes + SLACK);
    found.wspm = found.fspm + aligned(net->fspm_bytes + SLACK);
    found.mspm = found.wspm + aligned(net->wspm_bytes + SLACK);
    found.work = found.mspm + aligned(net->mspm_bytes + SLACK);
    found.end = found.work + aligned(net->work_bytes);
    return found;
}

/* The checks use the same bytes before the first frame. */
static uint64_t needed(const knl_network *net) {
    uint64_t memories = places_of(net).end, checks = 0;
    if (net->options & KNL_CHECKED) {
        checks = knl_race_bytes(net);
        if (checks < knl_token_bytes())
            checks = knl_token_bytes();
    }
    return ALIGN + (memories > checks ? memories : checks);
}

size_t knl_arena_bytes(const knl_network *net) {
    uint64_t found = needed(net);
    return found > (uint64_t)SIZE_MAX ? 0 : (size_t)found;
}

/* What vector kernels want: the most of any instruction. */
static void measure_work(knl_network *net) {
    knl_item item;
    size_t byte = 0;
    net->work_bytes = 0;
    while (byte < net->code_bytes) {
        uint64_t wanted;
        byte = knl_decode(net, byte, &item);
        wanted = knl_vector_bytes(net, &item);
        if (wanted > net->work_bytes)
            net->work_bytes = wanted;
    }
}

int knl_use_kernels(knl_network *net, unsigned kernels, knl_error *error) {
    if (kernels > knl_best_kernels())
        return knl_say(error, KNL_ARGUMENT, kernels,
                       "the best kernels of this build on this processor are %u, not %u.",
                       (uint64_t)knl_best_kernels(), (uint64_t)kernels);
    net->simd = knl_kernels(kernels);
    measure_work(net);
    return KNL_OK;
}

/* The whole arena is zeroed before each check that wants it so. */
static int check(knl_network *net, uint8_t *arena, size_t bytes, knl_error *error) {
    places at = places_of(net);
    knl_shadow shadow;
    int status = knl_check_structure(net, arena + at.fspm, error);
    if (status || !(net->options & KNL_CHECKED))
        return status;
    status = knl_check_tokens(net, arena, error);
    if (!status)
        status = knl_check_races(net, arena, error);
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
            status = knl_check_mask(net, &item, error);
        if (status)
            return status;
    }
    return KNL_OK;
}

int knl_start(knl_network *net, void *arena, size_t arena_bytes, knl_error *error) {
    places at = places_of(net);
    uint64_t wanted = needed(net);
    uint8_t *first = arena;
    size_t off = (size_t)((uintptr_t)arena % ALIGN);
    int status;
    if (!arena || arena_bytes < wanted)
        return knl_say(error, KNL_ARENA, 0, "the network needs an arena of %u bytes, not %u.",
                       wanted, (uint64_t)(arena ? arena_bytes : 0));
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
    net->fspm = first + at.fspm;
    net->wspm = first + at.wspm;
    net->mspm = first + at.mspm;
    net->work = first + at.work;
    net->packed[0] = 0;
    status = check_masks(net, error);
    memset(net->wspm, 0, (size_t)net->wspm_bytes);
    return status;
}

static void run_one(knl_network *net, const knl_item *item) {
    switch (item->opcode) {
    case KNL_OP_LOAD:
    case KNL_OP_STORE:
        knl_run_transfer(net, item);
        break;
    case KNL_OP_MATRIX:
        if (net->work_bytes && knl_vector_bytes(net, item))
            knl_vector_matrix(net, item);
        else
            knl_run_matrix(net, item);
        break;
    case KNL_OP_SPARSE:
        knl_run_matrix(net, item);
        break;
    case KNL_OP_AFFINE:
        knl_run_affine(net, item);
        break;
    case KNL_OP_ELTWISE:
        knl_run_eltwise(net, item);
        break;
    case KNL_OP_POOL:
        knl_run_pool(net, item);
        break;
    case KNL_OP_LOOKUP:
        knl_run_lookup(net, item);
        break;
    case KNL_OP_RESIZE:
        knl_run_resize(net, item);
        break;
    case KNL_OP_MOVE:
        knl_run_move(net, item);
        break;
    default:
        knl_run_softmax(net, item);
        break;
    }
}

static void observe(const knl_network *net, int64_t index, knl_observer observer, void *context) {
    uint32_t at;
    for (at = 0; at < net->tensor_count; at++)
        if (knl_s64(net->tensors + (size_t)at * KNL_TENSOR_SIZE + KNL_TENSOR_READY) == index)
            observer(context, at);
}

void knl_begin(knl_network *net) {
    net->saturations = 0;
    net->next_byte = 0;
    net->next = 0;
}

void knl_advance(knl_network *net, uint32_t instruction) {
    uint32_t end = instruction < net->instructions ? instruction : net->instructions;
    knl_item item;
    for (; net->next < end; net->next++) {
        net->next_byte = knl_decode(net, net->next_byte, &item);
        run_one(net, &item);
    }
}

const uint8_t *knl_fspm(const knl_network *net) {
    return net->fspm;
}

void knl_run(knl_network *net, knl_observer observer, void *context) {
    knl_begin(net);
    if (observer)
        observe(net, -1, observer, context);
    while (observer && net->next < net->instructions) {
        knl_advance(net, net->next + 1);
        observe(net, (int64_t)net->next - 1, observer, context);
    }
    knl_advance(net, net->instructions);
}

uint64_t knl_saturations(const knl_network *net) {
    return net->saturations;
}
