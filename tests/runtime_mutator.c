/* Changes inputs of the runtime's fuzz target as the format has them: with libFuzzer. */
#include "knl_host.h"
#include "runtime_parts.h"

#define knl_known_operation unused_operation /* the table is what is wanted */
#include "knl_known.c"
#undef knl_known_operation

size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t most, unsigned seed);

#ifdef LOADER
enum { IS_LOADER = 1 };
#else
enum { IS_LOADER = 0 };
#endif

static uint8_t room[2 * MOST], changed[MOST + 64];

/* ---- records of the plan */

static uint32_t draw; /* of the mutator, from libFuzzer's seed */

static uint32_t drawn(uint32_t most) {
    draw = draw * 1664525u + 1013904223u;
    return (draw >> 8) % most;
}

typedef struct records {
    size_t first, size, count;
} records;

enum { MEMORIES, TENSORS, GENERAL, PLACES, SCALES, OPERATORS, OPERANDS, ATTRIBUTES, NUMBERS, KINDS };

/* Where the records of each kind lie; 0 where they do not fit. */
static int find_records(const uint8_t *plan, size_t bytes, records *found) {
    static const struct {
        unsigned size, count;
    } kinds[] = {
        {KNL_TENSOR_SIZE, KNL_HEAD_TENSORS},   {KNL_GENERAL_SIZE, KNL_HEAD_GENERAL_LAYERS},
        {KNL_PLACE_SIZE, KNL_HEAD_INPUTS},     {KNL_SCALE_SIZE, KNL_HEAD_SCALES},
        {KNL_HOST_OPERATOR_SIZE, KNL_HEAD_HOST_OPERATORS},
        {KNL_HOST_OPERAND_SIZE, KNL_HEAD_HOST_OPERANDS},
        {KNL_HOST_ATTRIBUTE_SIZE, KNL_HEAD_HOST_ATTRIBUTES},
        {KNL_NUMBER_SIZE, KNL_HEAD_NUMBERS}};
    uint64_t at, index;
    unsigned kind;
    if (bytes < KNL_HEAD_SIZE)
        return 0;
    found[MEMORIES].first = KNL_HEAD_DDR_BYTES;
    found[MEMORIES].size = KNL_HEAD_LAYERS - KNL_HEAD_DDR_BYTES;
    found[MEMORIES].count = 1;
    at = KNL_HEAD_SIZE + (uint64_t)KNL_LAYER_SIZE * knl_u32(plan + KNL_HEAD_LAYERS);
    for (kind = TENSORS; kind < KINDS; kind++) {
        uint64_t count = knl_u32(plan + kinds[kind - TENSORS].count);
        if (kind == PLACES)
            count += (uint64_t)knl_u32(plan + KNL_HEAD_OUTPUTS) +
                     knl_u32(plan + KNL_HEAD_GENERAL_READS);
        for (index = 0; kind == OPERATORS && index < found[GENERAL].count; index++)
            count += knl_u32(plan + found[GENERAL].first + index * KNL_GENERAL_SIZE +
                             KNL_GENERAL_OPERATORS);
        if (kind == NUMBERS)
            at += (uint64_t)KNL_RESULT_SIZE * knl_u32(plan + KNL_HEAD_RESULTS);
        found[kind].first = (size_t)at;
        found[kind].size = kinds[kind - TENSORS].size;
        found[kind].count = (size_t)count;
        at += found[kind].size * count;
        if (at > bytes)
            return 0;
    }
    return 1;
}

/* A text behind the last one, and in a record where it lies. */
static void set_text(part *plan, const records *numbers, size_t field, const char *text,
                     size_t length) {
    size_t texts = numbers->first + numbers->size * numbers->count;
    knl_put(changed + field, plan->bytes - texts, 4);
    knl_put(changed + field + 4, length, 4);
    memcpy(changed + plan->bytes, text, length);
    plan->bytes += length;
}

/* A number that is small, near, at an end of its type, or stands in another record. */
static void change_number(const records *of, size_t field, unsigned bytes) {
    static const uint64_t ends[] = {0, UINT32_MAX, UINT64_MAX, 1u << 28, 1u << 31, 1, INT64_MAX,
                                    UINT64_C(1) << 63, UINT64_C(0x7ff8000000000000),
                                    UINT64_C(0x3fe0000000000000)};
    uint64_t value = bytes == 8 ? knl_u64(changed + field) : knl_u32(changed + field);
    size_t inside = (field - of->first) % of->size;
    switch (drawn(5)) {
    case 0:
        value = drawn(12);
        break;
    case 1:
        value += drawn(2) ? 1 : UINT64_MAX;
        break;
    case 2:
        value = ends[drawn(sizeof ends / sizeof *ends)];
        break;
    case 3:
        value = (uint64_t)0 - drawn(6);
        break;
    default:
        memcpy(&value, changed + of->first + drawn((uint32_t)of->count) * of->size + inside, bytes);
        break;
    }
    knl_put(changed + field, value, bytes);
}

/* The plan, copied to `changed`, with a record or two of it changed; 0 where it has none. */
static int change_plan(part *plan) {
    records found[KINDS];
    unsigned turns = 1 + drawn(2), tries = 8;
    if (plan->bytes > MOST)
        return 0;
    memcpy(changed, plan->data, plan->bytes);
    while (turns && tries--) {
        const records *of;
        unsigned kind = drawn(KINDS), size;
        size_t record, field;
        if (plan->bytes + 64 > MOST || !find_records(changed, plan->bytes, found))
            return 0;
        of = &found[kind];
        if (!of->count || (kind <= TENSORS && drawn(2)))
            continue;
        turns--;
        size = kind == NUMBERS || kind == MEMORIES ? 8 : 4;
        record = of->first + drawn((uint32_t)of->count) * of->size;
        field = record + drawn((uint32_t)(of->size / size)) * size;
        if (kind == OPERATORS && drawn(2)) { /* another operator, its attributes as they are */
            const char *name = KNOWN[drawn(sizeof KNOWN / sizeof *KNOWN)].op;
            set_text(plan, &found[NUMBERS], record + KNL_HOST_OPERATOR_OP_OFFSET, name,
                     strlen(name));
        } else if (kind == ATTRIBUTES && drawn(2)) {
            const char *names = KNOWN[drawn(sizeof KNOWN / sizeof *KNOWN)].attributes;
            size_t length = strcspn(names, " ");
            if (strchr(names, ' ') && drawn(2)) {
                names = strrchr(names, ' ') + 1;
                length = strlen(names);
            }
            set_text(plan, &found[NUMBERS], record + KNL_HOST_ATTRIBUTE_NAME_OFFSET, names, length);
        } else {
            change_number(of, field, size);
        }
    }
    return 1;
}

#ifndef LOADER
/* A few bytes where values lie. */
static void change_values(uint8_t *values, size_t bytes) {
    unsigned turns = 1 + drawn(4);
    while (turns--) {
        size_t at = drawn((uint32_t)bytes);
        values[at] = (uint8_t)(drawn(2) ? drawn(256) : values[at] ^ 1u << drawn(8));
    }
}

/* What a program computes with: weights and parameters, scales, constants of the host. It stays one
 * that runs, mostly. 0 where it has none. */
static int change_constants(part *plan, part *data) {
    records found[KINDS];
    int known = plan && find_records(plan->data, plan->bytes, found);
    size_t texts = known ? found[NUMBERS].first + found[NUMBERS].count * found[NUMBERS].size : 0;
    if (known && found[OPERANDS].count && drawn(2)) {
        const uint8_t *at = plan->data + found[OPERANDS].first +
                            drawn((uint32_t)found[OPERANDS].count) * KNL_HOST_OPERAND_SIZE;
        uint64_t from = texts + (uint64_t)knl_u32(at + KNL_HOST_OPERAND_DATA_OFFSET);
        uint32_t bytes = knl_u32(at + KNL_HOST_OPERAND_DATA_BYTES);
        if (bytes && knl_u32(at + KNL_HOST_OPERAND_TYPE) < KNL_ELEMENT_TYPES &&
            from + bytes <= plan->bytes) {
            change_values(plan->data + from, bytes);
            return 1;
        }
    }
    if (known && found[SCALES].count && drawn(4) == 0) {
        change_values(plan->data + found[SCALES].first, found[SCALES].count * KNL_SCALE_SIZE);
        return 1;
    }
    if (!data || !data->bytes)
        return 0;
    change_values(data->data, data->bytes);
    return 1;
}
#endif

/* One section is changed, or a word, or what is done; the sections stay where files have them. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t most, unsigned seed) {
    uint32_t asked = bytes < 4 ? 0 : knl_u32(data);
    size_t cfg_bytes = asked & CFG_BYTES, first, second;
    parts cfg, weight;
    part *item, *plan;
    if (seed % 64 == 0 || bytes < 4 || bytes > sizeof room || cfg_bytes > bytes - 4)
        return LLVMFuzzerMutate(data, bytes, most);
    if (seed % 16 == 1) {
        knl_put(data, asked ^ (1u << (25 + seed / 16 % 7)), 4);
        return bytes;
    }
    memcpy(room, data, bytes);
    if (!take(room + 4, cfg_bytes, &cfg) ||
        !take(room + 4 + cfg_bytes, bytes - 4 - cfg_bytes, &weight) || !cfg.count || !weight.count)
        return LLVMFuzzerMutate(data, bytes, most);
    item = seed / 64 % 8 == 0 ? &weight.items[seed / 512 % weight.count]
                              : &cfg.items[seed / 512 % cfg.count];
#ifndef LOADER
    if (seed / 32 % 2 && find(&cfg, "code")) /* what the loader lets through, more often than not */
        item = find(&cfg, "code");
#endif
    draw = seed;
    plan = find(&cfg, "plan");
    if ((seed % 8 == 0 || seed % 8 == 4 || (IS_LOADER && seed % 4 == 3)) && plan &&
        change_plan(plan)) {
        plan->data = changed;
#ifndef LOADER
    } else if (seed % 8 != 1 && seed % 2 && change_constants(plan, find(&weight, "data"))) {
        ;
#endif
    } else if (seed % 4 == 2 && item->bytes >= 4) { /* a word more or less, or a bit of it */
        uint8_t *word = item->data + seed / 4096 * (size_t)4 % (item->bytes - 3);
        uint32_t value = knl_u32(word), bit = seed / 8 % 32;
        knl_put(word, seed % 8 < 4 ? value ^ (1u << bit) : value + (bit % 2 ? 1 : UINT32_MAX), 4);
    } else {
        size_t limit = item->bytes + 64 < MOST ? item->bytes + 64 : MOST;
        memcpy(changed, item->data, item->bytes);
        item->bytes = LLVMFuzzerMutate(changed, item->bytes, limit);
        item->data = changed;
    }
    first = most < 4 ? 0 : put(&cfg, data + 4, most - 4);
    second = first ? put(&weight, data + 4 + first, most - 4 - first) : 0;
    if (!second)
        return bytes;
    knl_put(data, (asked & ~(uint32_t)CFG_BYTES) | (uint32_t)first, 4);
    return 4 + first + second;
}
