/* A shadow of the memories, byte for byte: nothing may be read that nothing has written. DDR is
 * used again and again: where the life of a tensor begins, its bytes count as unwritten. */
#include "knl_core.h"

enum { UNWRITTEN, WRITTEN, DELIVERED };

/* The shadow of bytes [address, address + *run); NULL, and *run shorter, where they are
 * constants. */
static uint8_t *bytes_at(const knl_shadow *shadow, uint32_t space, uint64_t address,
                         uint64_t *run) {
    uint64_t constants = shadow->net->constants_bytes;
    if (space != KNL_SPACE_DDR)
        return shadow->memory[space] + address;
    if (address >= constants)
        return shadow->memory[space] + (address - constants);
    if (*run > constants - address)
        *run = constants - address;
    return NULL;
}

/* Where a state first stands among some bytes; their number where it does not. */
static uint64_t find(const uint8_t *bytes, uint64_t count, uint8_t state) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t at = 0, word;
    for (; at + 8 <= count; at += 8) { /* a byte of `word` is 0 where the state stands */
        memcpy(&word, bytes + at, 8);
        word ^= ones * state;
        if ((word - ones) & ~word & ones << 7)
            break;
    }
    while (at < count && bytes[at] != state)
        at++;
    return at;
}

/* The bytes of an operand, run by run, cut where constants end. */
typedef struct runs {
    const knl_shadow *shadow;
    knl_walk walk;
    uint64_t done, address, run;
    uint8_t *bytes;
} runs;

static int next_run(runs *all) {
    const knl_operand *operand = all->walk.operand;
    if (all->done == operand->run) {
        knl_walk_next(&all->walk);
        all->done = 0;
    }
    if (!all->walk.more)
        return 0;
    all->address = all->walk.address + all->done;
    all->run = operand->run - all->done;
    all->bytes = bytes_at(all->shadow, operand->space, all->address, &all->run);
    all->done += all->run;
    return 1;
}

static runs runs_of(const knl_shadow *shadow, const knl_operand *operand) {
    runs found;
    found.shadow = shadow;
    found.done = found.address = found.run = 0;
    found.bytes = NULL;
    knl_walk_start(&found.walk, operand);
    return found;
}

static void change(knl_shadow *shadow, const knl_operand *operand, uint8_t from, uint8_t to) {
    runs all = runs_of(shadow, operand);
    uint64_t i;
    while (next_run(&all))
        for (i = 0; all.bytes && i < all.run; i++)
            if (all.bytes[i] == from)
                all.bytes[i] = to;
}

static void begin(knl_shadow *shadow, int64_t index) {
    uint32_t at;
    for (at = 0; at < shadow->net->tensor_count; at++) {
        knl_tensor tensor = knl_tensor_at(shadow->net, at);
        knl_operand operand = knl_tensor_operand(&tensor, 0);
        if (tensor.first == index)
            change(shadow, &operand, WRITTEN, UNWRITTEN);
    }
}

static int is_output(const knl_network *net, uint32_t tensor) {
    uint32_t at;
    for (at = 0; at < net->output_count; at++)
        if (knl_output(net, at) == tensor)
            return 1;
    for (at = 0; at < net->state_count; at++)
        if (knl_state_output(net, at) == tensor)
            return 1;
    return 0;
}

static int complete(knl_shadow *shadow, uint32_t at, knl_error *error) {
    const knl_network *net = shadow->net;
    knl_tensor tensor = knl_tensor_at(net, at);
    knl_operand operand = knl_tensor_operand(&tensor, 0);
    runs all = runs_of(shadow, &operand);
    int delivered = is_output(net, at), whole = 1;
    if (delivered) {
        change(shadow, &operand, WRITTEN, DELIVERED);
        shadow->holds_outputs = 1;
    }
    while (next_run(&all)) {
        if (!all.bytes && tensor.first >= 0)
            whole = 0; /* nothing may store into constants */
        if (all.bytes && find(all.bytes, all.run, UNWRITTEN) < all.run)
            whole = 0;
    }
    if (whole)
        return KNL_OK;
    return knl_say(error, KNL_PROGRAM, (uint64_t)tensor.ready,
                   "%s %t is not wholly written by instructions %d to %d.",
                   delivered ? "output" : "tensor", &tensor.name, tensor.first, tensor.ready);
}

static int complete_all(knl_shadow *shadow, int64_t index, knl_error *error) {
    uint32_t at;
    for (at = 0; at < shadow->net->tensor_count; at++) {
        if (knl_s64(shadow->net->tensors + (size_t)at * KNL_TENSOR_SIZE + KNL_TENSOR_READY) ==
            index) {
            int status = complete(shadow, at, error);
            if (status)
                return status;
        }
    }
    return KNL_OK;
}

static int refuse(const knl_shadow *shadow, uint32_t index, const knl_item *item,
                  const char *does, const knl_operand *operand, uint64_t byte, knl_error *error) {
    return knl_fault(shadow->net, index, item, error, "%s %s byte %x of its %s at %x.", does,
                     knl_space_names[operand->space], byte, operand->name, operand->address);
}

static int execute(knl_shadow *shadow, uint32_t index, const knl_item *item, knl_error *error) {
    knl_operand found[KNL_MOST_OPERANDS];
    unsigned count = knl_operands(item, found), at;
    for (at = 0; at < count; at++) {
        const knl_operand *operand = &found[at];
        runs all = runs_of(shadow, operand);
        int guarded = shadow->holds_outputs && operand->space == KNL_SPACE_DDR;
        while (next_run(&all)) {
            uint64_t wrong = all.run;
            if (!all.bytes)
                continue;
            if (!operand->write || guarded)
                wrong = find(all.bytes, all.run, operand->write ? DELIVERED : UNWRITTEN);
            if (wrong < all.run)
                return refuse(shadow, index, item,
                              operand->write ? "overwrites delivered" : "reads uninitialised",
                              operand, all.address + wrong, error);
            if (operand->write)
                memset(all.bytes, WRITTEN, (size_t)all.run);
        }
    }
    return KNL_OK;
}

/* Whether some byte of an operand is in a state. */
static int has_state(knl_shadow *shadow, const knl_operand *operand, uint8_t state) {
    runs all = runs_of(shadow, operand);
    while (next_run(&all))
        if (all.bytes && find(all.bytes, all.run, state) < all.run)
            return 1;
    return 0;
}

/* What the host reads before an instruction is there, and what it writes is then. */
static int visit_host(knl_shadow *shadow, uint32_t layer, uint64_t at, knl_error *error) {
    const knl_network *net = shadow->net;
    knl_text name = knl_layer_name(net, layer);
    knl_tensor tensor;
    knl_operand operand;
    uint32_t which;
    for (which = 0; which < knl_layer_reads(net, layer); which++) {
        tensor = knl_tensor_at(net, knl_layer_read(net, layer, which));
        operand = knl_tensor_operand(&tensor, 0);
        if (has_state(shadow, &operand, UNWRITTEN))
            return knl_say(error, KNL_DAMAGED, at,
                           "general layer %t reads tensor %t, which is not wholly written before "
                           "instruction %u.",
                           &name, &tensor.name, at);
    }
    tensor = knl_tensor_at(net, knl_layer_output(net, layer));
    operand = knl_tensor_operand(&tensor, 1);
    if (has_state(shadow, &operand, DELIVERED))
        return knl_say(error, KNL_DAMAGED, at,
                       "general layer %t overwrites an output of the network with %t.", &name,
                       &tensor.name);
    change(shadow, &operand, UNWRITTEN, WRITTEN);
    return KNL_OK;
}

int knl_check_reads(knl_shadow *shadow, knl_error *error) {
    const knl_network *net = shadow->net;
    knl_item item;
    size_t byte = 0;
    uint32_t index, layer = 0;
    int status = KNL_OK;
    for (index = 0; index < net->input_count + net->state_count; index++) {
        knl_tensor tensor = knl_tensor_at(
            net, index < net->input_count ? knl_input(net, index)
                                          : knl_state_input(net, index - net->input_count));
        knl_operand operand = knl_tensor_operand(&tensor, 1);
        change(shadow, &operand, UNWRITTEN, WRITTEN);
    }
    for (; !status && layer < net->general_count && !knl_layer_place(net, layer); layer++)
        status = visit_host(shadow, layer, 0, error);
    if (!status)
        status = complete_all(shadow, -1, error);
    for (index = 0; index < net->instructions && !status; index++) {
        byte = knl_decode(net, byte, &item);
        begin(shadow, index);
        status = execute(shadow, index, &item, error);
        for (; !status && layer < net->general_count &&
               knl_layer_place(net, layer) == (uint64_t)index + 1;
             layer++)
            status = visit_host(shadow, layer, (uint64_t)index + 1, error);
        if (!status)
            status = complete_all(shadow, index, error);
    }
    return status;
}
