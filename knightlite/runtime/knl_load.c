/* Files: sections, checksums, the identity of a program. docs/formats.md */
#include "knl_core.h"

enum { HEAD = 16, ENTRY = 64, NAME = 16, MOST_SECTIONS = 4 };

typedef struct section {
    const uint8_t *data; /* NULL where the file has none */
    size_t bytes;
    const uint8_t *digest;
} section;

typedef struct kind {
    const char *magic, *name;
    const char *sections[MOST_SECTIONS + 1]; /* NULL behind the last */
    unsigned needed;                         /* so many must be there, the first ones */
} kind;

static const kind CFG = {KNL_CFG_MAGIC, "the .cfg", {"meta", "plan", "code", "host", NULL}, 3};
static const kind WEIGHT = {KNL_WEIGHT_MAGIC, "the .weight", {"meta", "data", NULL}, 2};
static const kind MODEL = {KNL_MODEL_MAGIC, "the .tsmodel", {"cfg", "weight", NULL}, 2};

static void hash(const uint8_t *data, size_t bytes, uint8_t digest[KNL_DIGEST]) {
    knl_sha256 running;
    knl_sha256_start(&running);
    knl_sha256_add(&running, data, bytes);
    knl_sha256_end(&running, digest);
}

static int is_hash(const uint8_t *data, size_t bytes, const uint8_t *digest) {
    uint8_t found[KNL_DIGEST];
    hash(data, bytes, found);
    return memcmp(found, digest, KNL_DIGEST) == 0;
}

static knl_text entry_name(const uint8_t *entry) {
    knl_text found;
    found.bytes = (const char *)entry;
    found.length = NAME;
    while (found.length && !entry[found.length - 1])
        found.length--;
    return found;
}

static int same(const knl_text *one, const char *other) {
    uint32_t at;
    for (at = 0; at < one->length; at++)
        if (!other[at] || other[at] != one->bytes[at])
            return 0;
    return !other[at];
}

/* The header: magic, version, number of sections, checksum. */
static int read_head(const kind *file, const uint8_t *data, size_t bytes, uint64_t *end,
                     knl_error *error) {
    uint64_t count;
    if (bytes < 8 || memcmp(data, file->magic, 8))
        return knl_say(error, KNL_NOT_OURS, 0, "%s begins with another file's magic.", file->name);
    if (bytes < HEAD)
        return knl_say(error, KNL_TRUNCATED, bytes, "%s is truncated: %u bytes.", file->name,
                       (uint64_t)bytes);
    if (knl_u32(data + 8) != KNL_FORMAT_VERSION)
        return knl_say(error, KNL_VERSION, 8, "%s has format version %u, not %u.", file->name,
                       (uint64_t)knl_u32(data + 8), (uint64_t)KNL_FORMAT_VERSION);
    count = knl_u32(data + 12);
    *end = HEAD + ENTRY * count;
    if (bytes < *end + KNL_DIGEST)
        return knl_say(error, KNL_TRUNCATED, bytes, "%s is truncated: %u bytes.", file->name,
                       (uint64_t)bytes);
    if (!is_hash(data, (size_t)*end, data + *end))
        return knl_say(error, KNL_DAMAGED, *end, "%s is damaged: its header checksum is wrong.",
                       file->name);
    return KNL_OK;
}

static int read_entry(const kind *file, const uint8_t *data, size_t bytes, const uint8_t *entry,
                      uint64_t *last, section *found, knl_error *error) {
    uint64_t offset = knl_u64(entry + NAME), size = knl_u64(entry + NAME + 8);
    uint64_t place = (uint64_t)(entry - data);
    knl_text name = entry_name(entry);
    unsigned at = 0;
    while (file->sections[at] && !same(&name, file->sections[at]))
        at++;
    if (!file->sections[at])
        return knl_say(error, KNL_DAMAGED, place, "%s is damaged: no reader knows its section %t.",
                       file->name, &name);
    if (found[at].data)
        return knl_say(error, KNL_DAMAGED, place, "%s is damaged: it has two sections %t.",
                       file->name, &name);
    if (offset != *last)
        return knl_say(error, KNL_DAMAGED, place,
                       "%s is damaged: section %t must start at byte %u, not %u.", file->name,
                       &name, *last, offset);
    if (size > bytes - offset)
        return knl_say(error, KNL_TRUNCATED, place,
                       "%s is truncated: %u bytes, but section %t has %u from byte %u on.",
                       file->name, (uint64_t)bytes, &name, size, offset);
    found[at].data = data + offset;
    found[at].bytes = (size_t)size;
    found[at].digest = entry + NAME + 16;
    if (!is_hash(found[at].data, found[at].bytes, found[at].digest))
        return knl_say(error, KNL_DAMAGED, offset,
                       "%s is damaged: the checksum of section %t is wrong.", file->name, &name);
    *last = offset + size;
    return KNL_OK;
}

static int read_sections(const kind *file, const uint8_t *data, size_t bytes, section *found,
                         knl_error *error) {
    uint64_t end = 0, last;
    const uint8_t *entry;
    unsigned at;
    int status = read_head(file, data, bytes, &end, error);
    if (status)
        return status;
    last = end + KNL_DIGEST;
    for (at = 0; at < MOST_SECTIONS; at++)
        found[at].data = NULL;
    for (entry = data + HEAD; entry < data + end; entry += ENTRY) {
        status = read_entry(file, data, bytes, entry, &last, found, error);
        if (status)
            return status;
    }
    if (last != bytes)
        return knl_say(error, KNL_DAMAGED, last,
                       "%s is damaged: it has %u bytes, but its sections end at %u.", file->name,
                       (uint64_t)bytes, last);
    for (at = 0; at < file->needed; at++)
        if (!found[at].data)
            return knl_say(error, KNL_DAMAGED, 0, "%s has no section %s.", file->name,
                           file->sections[at]);
    return KNL_OK;
}

/* The identity is that of the bytes, and the .weight carries the same. */
static int check_pair(const section *cfg, const section *weight, knl_error *error) {
    static const uint8_t none[KNL_DIGEST];
    static const uint8_t no_host[1];
    static const char key[] = "\"pair\":\"";
    enum { KEY = sizeof key - 1, HEX = 2 * KNL_DIGEST, TAIL = KEY + HEX + 2 };
    const section *plan = &cfg[1];
    uint8_t digests[4][KNL_DIGEST], pair[KNL_DIGEST];
    char tail[TAIL];
    knl_sha256 running;
    unsigned i;
    knl_sha256_start(&running);
    knl_sha256_add(&running, none, KNL_DIGEST);
    knl_sha256_add(&running, plan->data + KNL_DIGEST, plan->bytes - KNL_DIGEST);
    knl_sha256_end(&running, digests[0]);
    memcpy(digests[1], cfg[2].digest, KNL_DIGEST);
    memcpy(digests[2], weight[1].digest, KNL_DIGEST);
    if (cfg[3].data)
        memcpy(digests[3], cfg[3].digest, KNL_DIGEST);
    else
        hash(no_host, 0, digests[3]);
    hash(digests[0], sizeof digests, pair);
    memcpy(tail, key, KEY);
    for (i = 0; i < KNL_DIGEST; i++) {
        tail[KEY + 2 * i] = "0123456789abcdef"[plan->data[i] >> 4];
        tail[KEY + 2 * i + 1] = "0123456789abcdef"[plan->data[i] & 15];
    }
    tail[TAIL - 2] = '"';
    tail[TAIL - 1] = '}';
    if (weight->bytes < TAIL || memcmp(weight->data + weight->bytes - TAIL, tail, TAIL))
        return knl_say(error, KNL_PAIR, 0, "the .cfg and the .weight do not belong together.");
    if (memcmp(pair, plan->data, KNL_DIGEST))
        return knl_say(error, KNL_DAMAGED, 0, "the .cfg is damaged: its pair is of other bytes.");
    return KNL_OK;
}

/* What the host does behind the chip is the caller's, or refused by name. */
static int check_host(const knl_network *net, const section *host, knl_error *error) {
    if (net->options & KNL_CHIP_ONLY)
        return KNL_OK;
    if (host->data)
        return knl_say(error, KNL_HOST, 0,
                       "the .cfg has a section host, an ONNX model, which ONNX Runtime must run.");
    if (net->host_operators)
        return knl_say(error, KNL_HOST, 0, "the .cfg has %u operators that the host must run.",
                       (uint64_t)net->host_operators);
    return KNL_OK;
}

int knl_open(knl_network *net, const void *cfg, size_t cfg_bytes, const void *weight,
             size_t weight_bytes, unsigned options, knl_error *error) {
    section in_cfg[MOST_SECTIONS], in_weight[MOST_SECTIONS];
    int status = read_sections(&CFG, cfg, cfg_bytes, in_cfg, error);
    memset(net, 0, sizeof *net);
    if (!status)
        status = read_sections(&WEIGHT, weight, weight_bytes, in_weight, error);
    if (status)
        return status;
    if (in_cfg[1].bytes < KNL_HEAD_SIZE)
        return knl_say(error, KNL_DAMAGED, 0, "the .cfg is damaged: its plan has only %u bytes.",
                       (uint64_t)in_cfg[1].bytes);
    status = check_pair(in_cfg, in_weight, error);
    if (status)
        return status;
    net->options = options;
    net->code = in_cfg[2].data;
    net->code_bytes = in_cfg[2].bytes;
    net->constants = in_weight[1].data;
    status = knl_read_plan(net, in_cfg[1].data, in_cfg[1].bytes, error);
    if (!status && net->constants_bytes != in_weight[1].bytes)
        status = knl_say(error, KNL_DAMAGED, KNL_HEAD_CONSTANTS_BYTES,
                         "the .cfg is damaged: constants_bytes must be %u, not %u.",
                         (uint64_t)in_weight[1].bytes, net->constants_bytes);
    if (!status)
        status = check_host(net, &in_cfg[3], error);
    if (!status)
        status = knl_check_plan(net, in_cfg[1].data, error);
    if (!status && !(options & KNL_HANDLERS))
        status = knl_measure_layers(net, error);
    return status ? status : knl_use_kernels(net, knl_best_kernels(), error);
}

int knl_open_model(knl_network *net, const void *model, size_t model_bytes, unsigned options,
                   knl_error *error) {
    section found[MOST_SECTIONS];
    int status = read_sections(&MODEL, model, model_bytes, found, error);
    if (status)
        return status;
    return knl_open(net, found[0].data, found[0].bytes, found[1].data, found[1].bytes, options,
                    error);
}
