/* Inputs and outputs outside the network's memory: where the caller has them. */
#include "knl_map.h"

enum { WORD = 4 };

static const char *const NAMES[KNL_SIDES] = {"inputs", "outputs"};

/* Vector kernels read a little beyond tiles in DDR. */
uint64_t knl_outside_bytes(const knl_network *net, unsigned side) {
    uint64_t slack = net->mapped == KNL_ALL_MAPPED && net->simd ? KNL_SLACK : 0;
    if (side >= KNL_SIDES || !net->outside_size[side])
        return 0;
    return net->outside_size[side] + slack;
}

uint64_t knl_outside_offset(const knl_network *net, uint32_t tensor) {
    uint64_t address = knl_tensor_at(net, tensor).address;
    unsigned side;
    for (side = 0; side < KNL_SIDES; side++)
        if (net->outside_size[side] && address >= net->outside_first[side] &&
            address - net->outside_first[side] < net->outside_size[side])
            return address - net->outside_first[side];
    return UINT64_MAX;
}

static int meet(const uint8_t *one, uint64_t bytes, const uint8_t *other, uint64_t other_bytes) {
    uintptr_t first = (uintptr_t)one, second = (uintptr_t)other;
    return first <= second ? second - first < bytes : first - second < other_bytes;
}

/* That none of the memories that are known shares bytes with another. */
static int check_apart(const knl_network *net, knl_error *error) {
    const uint8_t *memories[KNL_SIDES + 1];
    uint64_t bytes[KNL_SIDES + 1];
    unsigned one, other;
    for (one = 0; one < KNL_SIDES; one++) {
        memories[one] = net->outside[one];
        bytes[one] = knl_outside_bytes(net, one);
    }
    memories[KNL_SIDES] = net->arena;
    bytes[KNL_SIDES] = net->arena_bytes;
    for (one = 0; one < KNL_SIDES; one++)
        for (other = one + 1; other <= KNL_SIDES; other++)
            if (memories[one] && memories[other] &&
                meet(memories[one], bytes[one], memories[other], bytes[other]))
                return knl_say(error, KNL_ARGUMENT, one,
                               "the memory of the %s shares bytes with %s.", NAMES[one],
                               other < KNL_SIDES ? "that of the outputs" : "the arena");
    return KNL_OK;
}

int knl_check_outside(const knl_network *net, knl_error *error) {
    unsigned side;
    for (side = 0; side < KNL_SIDES; side++)
        if (net->outside_size[side] && !net->outside[side])
            return knl_say(error, KNL_ARGUMENT, side,
                           "the %s lie outside the arena: knl_set_outside must say where, before "
                           "knl_start.",
                           NAMES[side]);
    return check_apart(net, error);
}

int knl_set_outside(knl_network *net, unsigned side, void *memory, size_t bytes,
                    knl_error *error) {
    uint64_t wanted = knl_outside_bytes(net, side);
    uint8_t *before;
    int status;
    if (!wanted)
        return knl_say(error, KNL_ARGUMENT, side,
                       "the %s of the network lie in its arena: it was compiled without --%s.",
                       side < KNL_SIDES ? NAMES[side] : "others",
                       side == KNL_INPUTS ? "input-indep" : "output-indep");
    if (!memory || bytes < wanted)
        return knl_say(error, KNL_ARGUMENT, side, "the %s need memory of %u bytes, not %u.",
                       NAMES[side], wanted, (uint64_t)(memory ? bytes : 0));
    if ((uintptr_t)memory % WORD)
        return knl_say(error, KNL_ARGUMENT, side,
                       "the memory of the %s must begin at a multiple of %u bytes, not %u behind "
                       "one.",
                       NAMES[side], (uint64_t)WORD, (uint64_t)((uintptr_t)memory % WORD));
    before = net->outside[side];
    net->outside[side] = memory;
    status = check_apart(net, error);
    if (status)
        net->outside[side] = before;
    return status;
}
