/* The code: whether it is a list of instructions, and one after the other. */
#include "knl_core.h"

size_t knl_decode(const knl_network *net, size_t at, knl_item *item) {
    unsigned opcode = net->code[at];
    memset(item, 0, sizeof *item);
    knl_unpack(opcode, net->code + at + KNL_HEADER_BYTES, item);
    return at + KNL_HEADER_BYTES + knl_form_of(opcode)->bytes;
}

static int scan_one(const knl_network *net, size_t at, knl_error *error) {
    const uint8_t *code = net->code + at;
    size_t left = net->code_bytes - at;
    const knl_form *form = knl_form_of(code[0]);
    const uint8_t *fields = code + KNL_HEADER_BYTES;
    unsigned i;
    if (!form || left < KNL_HEADER_BYTES || code[1] || code[2] || code[3])
        return knl_say(error, KNL_DAMAGED, at,
                       "the code holds no instruction at byte %u (opcode %u).", (uint64_t)at,
                       (uint64_t)code[0]);
    if (left - KNL_HEADER_BYTES < form->bytes)
        return knl_say(error, KNL_DAMAGED, at,
                       "the code ends inside the instruction at byte %u.", (uint64_t)at);
    if (form->bits < 8u * form->bytes &&
        knl_bits(fields, form->bytes, form->bits, 8u * form->bytes - form->bits))
        return knl_say(error, KNL_DAMAGED, at,
                       "the instruction at byte %u has bits set that belong to no field.",
                       (uint64_t)at);
    for (i = 0; i < form->counts; i++)
        if (!knl_bits(fields, form->bytes, form->count[i].offset, form->count[i].width))
            return knl_say(error, KNL_DAMAGED, at,
                           "the instruction at byte %u (%s) must have %s of at least 1, not 0.",
                           (uint64_t)at, form->mnemonic, form->count[i].name);
    return KNL_OK;
}

int knl_scan(knl_network *net, knl_error *error) {
    size_t at = 0;
    knl_item item;
    while (at < net->code_bytes) {
        knl_operand found[KNL_MOST_OPERANDS];
        unsigned count, i;
        int status = scan_one(net, at, error);
        if (status)
            return status;
        at = knl_decode(net, at, &item);
        count = knl_operands(&item, found);
        for (i = 0; i < count; i++)
            net->most_segments[found[i].space] += 2;
        if (++net->instructions == net->once)
            net->once_byte = at;
    }
    return KNL_OK;
}
