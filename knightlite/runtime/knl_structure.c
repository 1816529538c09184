/* What every instruction must fulfil on its own: codes, shapes, bounds, alignment, overlap. */
#include "knl_core.h"

/* of a linear resize: its sum times the multiplier stays below 2^53 */
static const uint64_t MOST_UNITS = 1u << 23;
/* elements of a padded input tile: beyond it the fields make no sense */
static const uint64_t MOST_COVERED = 1u << 28;

typedef struct place {
    const knl_network *net;
    uint32_t index;
    const knl_item *item;
    knl_error *error;
} place;

#define REFUSE(at, ...)                                                                            \
    return knl_fault((at)->net, (at)->index, (at)->item, (at)->error, __VA_ARGS__)

static int is_feature(const knl_item *item) {
    return item->opcode != KNL_OP_LOAD && item->opcode != KNL_OP_STORE &&
           item->opcode != KNL_OP_MOVE;
}

static int check_type(const place *at, const char *name, uint32_t code) {
    if (code >= KNL_TYPES)
        REFUSE(at, "must have %s of u8, s8 or s16, not code %u.", name, (uint64_t)code);
    return KNL_OK;
}

static int check_types(const place *at) {
    const knl_item *item = at->item;
    int status = check_type(at, "x_type", item->x_type);
    if (!status && knl_is_matrix(item)) {
        if (item->prologue)
            status = check_type(at, "prologue_type", item->prologue_type);
        if (item->accumulate_out)
            return status;
        if (!status && item->residual)
            status = check_type(at, "residual_type", item->residual_type);
        if (!status && (item->residual || item->activation))
            status = check_type(at, "middle_type", item->middle_type);
    }
    if (!status && item->opcode == KNL_OP_ELTWISE)
        status = check_type(at, "z_type", item->z_type);
    return status ? status : check_type(at, "y_type", item->y_type);
}

static int check_weights(const place *at) {
    const knl_item *item = at->item;
    if (knl_is_matrix(item) && item->weight_type > KNL_WEIGHT_U8)
        REFUSE(at, "must have weights of s8, s16 or u8, not code %u.",
               (uint64_t)item->weight_type);
    return KNL_OK;
}

static int check_table(const place *at, uint32_t x_type, uint32_t intervals, uint32_t fraction) {
    if (x_type != KNL_S16) {
        if (intervals || fraction)
            REFUSE(at,
                   "must have 0 intervals and 0 fraction bits for an 8-bit input type, not %u and "
                   "%u.",
                   (uint64_t)intervals, (uint64_t)fraction);
    } else if (intervals < KNL_SHORTEST_TABLE || intervals > KNL_LONGEST_TABLE) {
        REFUSE(at, "must have 2^8 to 2^12 intervals for a 16-bit input type, not 2^%u.",
               (uint64_t)intervals);
    }
    return KNL_OK;
}

static int check_resize(const place *at) {
    const knl_item *item = at->item;
    uint64_t units = (uint64_t)item->unit_height * item->unit_width;
    if (item->mode == KNL_RESIZE_NEAREST && item->x_type != item->y_type)
        REFUSE(at, "must have equal input and output types for nearest.");
    if (item->mode == KNL_RESIZE_LINEAR && units > MOST_UNITS)
        REFUSE(at, "must have units whose product is at most %u, not %u.", MOST_UNITS, units);
    return KNL_OK;
}

static int check_activation(const place *at) {
    const knl_item *item = at->item;
    if (item->activation > KNL_ACTIVATION_TWO_SIDED)
        REFUSE(at, "must have an activation of 0 to %u, not %u.",
               (uint64_t)KNL_ACTIVATION_TWO_SIDED, (uint64_t)item->activation);
    if (item->activation && item->residual)
        REFUSE(at, "must have a residual or an activation, not both.");
    if (item->activation != KNL_ACTIVATION_TABLE)
        return KNL_OK;
    return check_table(at, item->middle_type, item->activation_intervals,
                       item->activation_fraction);
}

static int check_window(const place *at) {
    const knl_item *item = at->item;
    uint64_t down = knl_is_matrix(item) ? item->dilation_height : 1;
    uint64_t right = knl_is_matrix(item) ? item->dilation_width : 1;
    uint64_t high = (uint64_t)(item->y_height - 1) * item->stride_height +
                    (item->kernel_height - 1) * down + 1;
    uint64_t wide = (uint64_t)(item->y_width - 1) * item->stride_width +
                    (item->kernel_width - 1) * right + 1;
    if (high * wide * item->x_channels > MOST_COVERED)
        REFUSE(at, "covers %u x %u x %u inputs, beyond any memory.", high, wide,
               (uint64_t)item->x_channels);
    return KNL_OK;
}

static int check_sparse(const place *at) {
    const knl_item *item = at->item;
    uint64_t total = knl_block_count(item), least = knl_mask_bytes(item);
    if (item->depthwise || item->groups > 1)
        REFUSE(at, "must have 1 group and not be depthwise.");
    if (item->blocks > total)
        REFUSE(at, "must have at most %u blocks, not %u.", total, (uint64_t)item->blocks);
    if (item->stored_bytes <= least)
        REFUSE(at, "must have more bytes of weights than its mask, %u, not %u.", least,
               (uint64_t)item->stored_bytes);
    return KNL_OK;
}

static int check_shapes(const place *at) {
    const knl_item *item = at->item;
    uint64_t x[3], y[3];
    x[0] = item->x_height, x[1] = item->x_width, x[2] = item->x_channels;
    y[0] = item->y_height, y[1] = item->y_width, y[2] = item->y_channels;
    switch (item->opcode) {
    case KNL_OP_AFFINE:
    case KNL_OP_ELTWISE:
    case KNL_OP_LOOKUP:
    case KNL_OP_SOFTMAX:
        if (memcmp(x, y, sizeof x))
            REFUSE(at,
                   "must have equal input and output shapes, not (%u, %u, %u) and (%u, %u, %u).",
                   x[0], x[1], x[2], y[0], y[1], y[2]);
        break;
    case KNL_OP_PICK:
        if (x[0] != y[0] || x[1] != y[1] || y[2] != 1)
            REFUSE(at, "must have one output channel of %u x %u pixels, not %u of %u x %u.", x[0],
                   x[1], y[2], y[0], y[1]);
        break;
    case KNL_OP_MATRIX:
    case KNL_OP_SPARSE:
        if (!item->depthwise)
            break;
    /* fall through */
    default:
        if (x[2] != y[2])
            REFUSE(at, "must have as many output as input channels, not %u and %u.", y[2], x[2]);
        break;
    }
    if (knl_is_matrix(item) && item->groups > 1) {
        if (item->depthwise)
            REFUSE(at, "must have 1 group where it is depthwise, not %u.", (uint64_t)item->groups);
        if (x[2] % item->groups || y[2] % item->groups)
            REFUSE(at, "must have %u equal groups, not %u input and %u output channels.",
                   (uint64_t)item->groups, x[2], y[2]);
    }
    if (item->opcode == KNL_OP_SPARSE) {
        int status = check_sparse(at);
        if (status)
            return status;
    }
    if (knl_is_matrix(item) && !item->accumulate_out) {
        int status = check_activation(at);
        if (status)
            return status;
    }
    if (item->opcode == KNL_OP_LOOKUP)
        return check_table(at, item->x_type, item->intervals, item->fraction);
    if (item->opcode == KNL_OP_POOL && item->mode == KNL_POOL_MAX && item->x_type != item->y_type)
        REFUSE(at, "must have equal input and output types for a maximum.");
    if (item->opcode == KNL_OP_SOFTMAX && item->x_type == KNL_S16 && !item->fine)
        REFUSE(at, "must have fine exponentials for a 16-bit input type.");
    if (item->opcode == KNL_OP_RESIZE)
        return check_resize(at);
    if (knl_is_matrix(item) || item->opcode == KNL_OP_POOL)
        return check_window(at);
    return KNL_OK;
}

static int check_clamp(const place *at, const char *name, uint32_t type, int32_t low,
                       int32_t high) {
    knl_bounds bounds = knl_bounds_of(type, low, high);
    if (bounds.low > bounds.high)
        REFUSE(at, "has an empty %s clamp [%d, %d] for %s.", name, (int64_t)low, (int64_t)high,
               knl_type_names[type]);
    return KNL_OK;
}

static int check_clamps(const place *at) {
    const knl_item *item = at->item;
    int status = KNL_OK, is_matrix = knl_is_matrix(item);
    if (!is_matrix || !item->accumulate_out) {
        status = check_clamp(at, "y", item->y_type, item->y_low, item->y_high);
        if (!status && is_matrix && (item->residual || item->activation))
            status = check_clamp(at, "middle", item->middle_type, item->middle_low,
                                 item->middle_high);
    }
    if (!status && is_matrix && item->prologue)
        status = check_clamp(at, "prologue", item->prologue_type, item->prologue_low,
                             item->prologue_high);
    return status;
}

static int check_fields(const place *at) {
    const knl_item *item = at->item;
    int status;
    if (item->layer >= at->net->layer_count)
        REFUSE(at, "must name one of %u layers, not %u.", (uint64_t)at->net->layer_count,
               (uint64_t)item->layer);
    if (item->opcode == KNL_OP_LOAD && item->space == KNL_SPACE_DDR)
        REFUSE(at, "must load into a scratchpad, not DDR.");
    if (!is_feature(item))
        return KNL_OK;
    status = check_types(at);
    if (!status)
        status = check_weights(at);
    if (!status)
        status = check_shapes(at);
    return status ? status : check_clamps(at);
}

/* Whether two of its runs may share bytes: no order of the loops nests. */
static int overlaps_itself(const knl_operand *operand) {
    uint64_t reach = operand->run, stride[KNL_LOOPS], turns[KNL_LOOPS];
    unsigned count = 0, i, j;
    for (i = 0; i < KNL_LOOPS; i++) {
        uint64_t s = operand->strides[i], n = operand->turns[i];
        if (n == 1)
            continue;
        for (j = count++; j && (stride[j - 1] > s || (stride[j - 1] == s && turns[j - 1] > n)); j--)
            stride[j] = stride[j - 1], turns[j] = turns[j - 1];
        stride[j] = s, turns[j] = n;
    }
    for (i = 0; i < count; i++) {
        if (stride[i] < reach)
            return 1;
        reach += (turns[i] - 1) * stride[i];
    }
    return 0;
}

static uint64_t memory_bytes(const knl_network *net, uint32_t space) {
    return space == KNL_SPACE_DDR    ? net->ddr_bytes
           : space == KNL_SPACE_FSPM ? net->fspm_bytes
           : space == KNL_SPACE_WSPM ? net->wspm_bytes
                                     : net->mspm_bytes;
}

static int check_operand(const place *at, const knl_operand *operand) {
    static const char *const what[3] = {"address", "row stride", "column stride"};
    uint64_t size = memory_bytes(at->net, operand->space), values[3];
    const char *space = knl_space_names[operand->space];
    unsigned i;
    if (knl_last(operand) > size)
        REFUSE(at, "touches %s [%x, %x) with its %s, beyond its %u bytes.", space,
               operand->address, knl_last(operand), operand->name, size);
    values[0] = operand->address, values[1] = operand->strides[2];
    values[2] = operand->strides[3];
    for (i = 0; i < 3; i++)
        if (values[i] % operand->unit)
            REFUSE(at, "must have the %s of its %s in %s at a multiple of %u bytes, not %x.",
                   what[i], operand->name, space, (uint64_t)operand->unit, values[i]);
    if (operand->write && overlaps_itself(operand))
        REFUSE(at, "writes a byte of its %s at %s %x twice.", operand->name, space,
               operand->address);
    return KNL_OK;
}

static int are_equal(const knl_operand *one, const knl_operand *other) {
    return one->space == other->space && one->unit == other->unit &&
           one->address == other->address && one->run == other->run &&
           !memcmp(one->turns, other->turns, sizeof one->turns) &&
           !memcmp(one->strides, other->strides, sizeof one->strides);
}

static void mark(uint8_t *marks, const knl_operand *operand, int value) {
    knl_walk walk;
    uint64_t at;
    for (knl_walk_start(&walk, operand); walk.more; knl_walk_next(&walk))
        for (at = walk.address; at < walk.address + operand->run; at++) {
            uint8_t bit = (uint8_t)(1u << at % 8);
            marks[at / 8] = (uint8_t)(value ? marks[at / 8] | bit : marks[at / 8] & ~bit);
        }
}

static int is_marked(const uint8_t *marks, const knl_operand *operand) {
    knl_walk walk;
    for (knl_walk_start(&walk, operand); walk.more; knl_walk_next(&walk)) {
        uint64_t at;
        for (at = walk.address; at < walk.address + operand->run; at++)
            if (marks[at / 8] >> at % 8 & 1)
                return 1;
    }
    return 0;
}

/* An element may be replaced in place; a window may not lose what it still has to read. */
static int check_overlap(const place *at, const knl_operand *found, unsigned count,
                         uint8_t *marks) {
    const knl_operand *written = &found[count - 1], *read;
    uint32_t opcode = at->item->opcode;
    int streams = knl_is_matrix(at->item) || opcode == KNL_OP_POOL || opcode == KNL_OP_RESIZE ||
                  opcode == KNL_OP_SOFTMAX || opcode == KNL_OP_PICK;
    for (read = found; read < written; read++) {
        int shares;
        if (read->space != written->space || knl_last(read) <= written->address ||
            knl_last(written) <= read->address)
            continue;
        if (are_equal(read, written) && !(streams && read == found))
            continue;
        mark(marks, written, 1);
        shares = is_marked(marks, read);
        mark(marks, written, 0);
        if (shares)
            REFUSE(at, "overwrites its %s at FSPM %x with its %s at FSPM %x.", read->name,
                   read->address, written->name, written->address);
    }
    return KNL_OK;
}

/* Before all frames constants are loaded into what is kept; no frame changes that. */
static int check_once(const place *at, const knl_operand *found) {
    const knl_network *net = at->net;
    const knl_item *item = at->item;
    int loads = item->opcode == KNL_OP_LOAD && item->space != KNL_SPACE_FSPM;
    if (loads) {
        uint64_t first = net->kept_first[item->space];
        uint64_t last = first + net->kept_bytes[item->space];
        int inside = first <= found[1].address && knl_last(&found[1]) <= last;
        int apart = knl_last(&found[1]) <= first || last <= found[1].address;
        int sound = inside && knl_last(&found[0]) <= net->constants_bytes && !item->wait &&
                    !item->signal;
        if (at->index < net->once ? !sound : !apart)
            REFUSE(at, "must leave what is kept as it is.");
    } else if (at->index < net->once) {
        REFUSE(at, "must load constants into what is kept, as it runs once.");
    }
    return KNL_OK;
}

static int check_one(const place *at, uint8_t *marks) {
    const knl_item *item = at->item;
    knl_operand found[KNL_MOST_OPERANDS];
    unsigned count, i;
    int status = check_fields(at);
    if (status)
        return status;
    count = knl_operands(item, found);
    for (i = 0; i < count; i++) {
        status = check_operand(at, &found[i]);
        if (status)
            return status;
    }
    if (knl_is_matrix(item) && item->weight_address % at->net->wspm_align_bytes)
        REFUSE(at, "must have its weights in WSPM at a multiple of %u bytes, not %x.",
               at->net->wspm_align_bytes, (uint64_t)item->weight_address);
    if (item->opcode == KNL_OP_STORE && item->ddr_address < at->net->constants_bytes)
        REFUSE(at, "stores to DDR %x inside the %u bytes of constants.", item->ddr_address,
               at->net->constants_bytes);
    if (item->opcode == KNL_OP_LOAD || item->opcode == KNL_OP_STORE) {
        uint64_t last = knl_last(&found[item->opcode == KNL_OP_STORE]);
        if (knl_crosses(at->net, item->ddr_address, last))
            REFUSE(at,
                   "touches DDR [%x, %x) in more than one of the memories of network, inputs and "
                   "outputs.",
                   item->ddr_address, last);
        if (item->opcode == KNL_OP_STORE && knl_is_given(at->net, item->ddr_address))
            REFUSE(at, "stores to DDR %x inside the inputs' own memory.", item->ddr_address);
        return at->net->once ? check_once(at, found) : KNL_OK;
    }
    status = at->net->once ? check_once(at, found) : KNL_OK;
    return status ? status : check_overlap(at, found, count, marks);
}

int knl_check_structure(const knl_network *net, uint8_t *marks, knl_error *error) {
    knl_item item;
    place at;
    size_t byte = 0;
    at.net = net;
    at.item = &item;
    at.error = error;
    for (at.index = 0; at.index < net->instructions; at.index++) {
        int status;
        byte = knl_decode(net, byte, &item);
        status = check_one(&at, marks);
        if (status)
            return status;
    }
    return KNL_OK;
}
