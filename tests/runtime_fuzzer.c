/* A fuzz target of the runtime: files are read, the program is checked and run, each in memory of
 * exactly its size. An input is a u32, then the .cfg and the .weight, or a .tsmodel: the low 24
 * bits
 * are the bytes of the .cfg, the others say what is done. Unless RAW is set, versions and checksums
 * are made right first, so that what is behind them is reached. They are of a cheap hash, which
 * stands for SHA-256 here (knl_sha256.c is left out): most of the time would go into it.
 *
 *     make fuzz-runtime
 *
 * With -DLOADER files are only read, many more a second. What runs, runs twice: scalar and checked,
 * then with the best kernels and unchecked; the outputs must be the same bytes.
 * Without libFuzzer (-DALONE) it runs inputs from standard input, each with its size as u32
 * before it,
 * and says how many were read, checked and run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "knl_core.h"
#include "knl_host.h"

enum {
    MOST_ARENA = 1 << 20,
    HEAD = 16,
    ENTRY = 64,
    MOST = 1 << 16, /* of a file */
    SECTIONS = 4,
    TAIL = 8 + 2 * KNL_DIGEST + 2
};

/* What an input asks for, beside the bytes of its .cfg. */
enum {
    CFG_BYTES = 0xffffff,
    OBSERVED = 1 << 26, /* the tensors are looked at as they are completed */
    NO_HOST = 1 << 27,  /* the caller does not do the host's share */
    CRAMPED = 1 << 28,  /* an arena that is too small, or none; kernels that are not there */
    OFFSET = 1 << 29,   /* an arena at an odd address */
    MODEL = 1 << 30,    /* one file that holds both */
};
#define RAW 0x80000000u /* files as they are */

static unsigned long seen, opened, started;

/* ---- in place of SHA-256 */

void knl_sha256_start(knl_sha256 *hash) {
    memset(hash, 0, sizeof *hash);
}

/* Nothing to be found here: without the sanitizers it takes a tenth of the time. */
#ifdef __clang__
__attribute__((no_sanitize("address", "undefined", "coverage")))
#endif
void knl_sha256_add(knl_sha256 *hash, const uint8_t *data, size_t bytes) {
    uint64_t mixed = (uint64_t)hash->state[0] << 32 | hash->state[1], eight = 0;
    hash->bytes += bytes;
    for (; bytes >= 8; data += 8, bytes -= 8) {
        memcpy(&eight, data, 8);
        mixed = (mixed ^ eight) * UINT64_C(0x9e3779b97f4a7c15) + (mixed >> 29);
    }
    for (; bytes; bytes--)
        mixed = (mixed ^ *data++) * UINT64_C(0x100000001b3) + (mixed >> 31);
    hash->state[0] = (uint32_t)(mixed >> 32);
    hash->state[1] = (uint32_t)(mixed & 0xffffffffu);
}

void knl_sha256_end(knl_sha256 *hash, uint8_t digest[KNL_DIGEST]) {
    uint64_t mixed = ((uint64_t)hash->state[0] << 32 | hash->state[1]) ^ hash->bytes;
    unsigned at;
    for (at = 0; at < KNL_DIGEST; at += 8)
        knl_put(digest + at, mixed = mixed * UINT64_C(0x9e3779b97f4a7c15) + at, 8);
}

/* ---- the files of an input */

static void *exactly(const void *data, size_t bytes) {
    void *found = malloc(bytes ? bytes : 1);
    if (!found)
        abort();
    if (data && bytes)
        memcpy(found, data, bytes);
    return found;
}

typedef struct part {
    char name[16];
    uint8_t *data;
    size_t bytes;
} part;

typedef struct parts {
    char magic[8];
    part items[SECTIONS];
    uint32_t count;
} parts;

/* The sections of a file, where they lie; 0 where it is none. */
static int take(uint8_t *data, size_t bytes, parts *found) {
    uint32_t at;
    if (bytes < HEAD)
        return 0;
    memcpy(found->magic, data, sizeof found->magic);
    found->count = knl_u32(data + 12);
    if (found->count > SECTIONS || bytes < HEAD + (size_t)ENTRY * found->count + KNL_DIGEST)
        return 0;
    for (at = 0; at < found->count; at++) {
        const uint8_t *entry = data + HEAD + ENTRY * at;
        uint64_t from = knl_u64(entry + 16), size = knl_u64(entry + 24);
        if (from > bytes || size > bytes - from || size > MOST)
            return 0;
        memcpy(found->items[at].name, entry, sizeof found->items[at].name);
        found->items[at].data = data + from;
        found->items[at].bytes = (size_t)size;
    }
    return 1;
}

static void hash(const uint8_t *data, size_t bytes, uint8_t digest[KNL_DIGEST]) {
    knl_sha256 running;
    knl_sha256_start(&running);
    knl_sha256_add(&running, data, bytes);
    knl_sha256_end(&running, digest);
}

static part *find(parts *file, const char *name) {
    uint32_t at;
    for (at = 0; at < file->count; at++)
        if (!strncmp(file->items[at].name, name, sizeof file->items[at].name))
            return &file->items[at];
    return NULL;
}

/* Both files carry the identity of their bytes. */
static void pair(parts *cfg, parts *weight) {
    static const char *const hashed[4] = {"plan", "code", "data", "host"};
    part *plan = find(cfg, "plan"), *meta = find(weight, "meta");
    uint8_t digests[4][KNL_DIGEST], found[KNL_DIGEST];
    unsigned at;
    if (!plan || plan->bytes < KNL_HEAD_SIZE || !meta || meta->bytes < TAIL)
        return;
    memset(plan->data, 0, KNL_DIGEST);
    for (at = 0; at < 4; at++) {
        part *item = find(at == 2 ? weight : cfg, hashed[at]);
        hash(item ? item->data : plan->data, item ? item->bytes : 0, digests[at]);
    }
    hash(digests[0], sizeof digests, found);
    memcpy(plan->data, found, KNL_DIGEST);
    for (at = 0; at < KNL_DIGEST; at++) {
        uint8_t *to = meta->data + meta->bytes - TAIL + 8 + 2 * at;
        to[0] = (uint8_t)"0123456789abcdef"[found[at] >> 4];
        to[1] = (uint8_t)"0123456789abcdef"[found[at] & 15];
    }
}

/* Version and checksums of a file. */
static void seal_one(uint8_t *data, const parts *file) {
    size_t end = HEAD + (size_t)ENTRY * file->count;
    uint32_t at;
    knl_put(data + 8, KNL_FORMAT_VERSION, 4);
    for (at = 0; at < file->count; at++)
        hash(file->items[at].data, file->items[at].bytes, data + HEAD + ENTRY * at + 32);
    hash(data, end, data + end);
}

static void seal(uint8_t *cfg, size_t cfg_bytes, uint8_t *weight, size_t weight_bytes) {
    parts one, other;
    if (!take(cfg, cfg_bytes, &one) || !take(weight, weight_bytes, &other))
        return;
    pair(&one, &other);
    seal_one(cfg, &one);
    seal_one(weight, &other);
}

/* A file of these sections without checksums; its bytes, 0 where there is no room. */
static size_t put(const parts *file, uint8_t *to, size_t most) {
    size_t last = HEAD + (size_t)ENTRY * file->count + KNL_DIGEST, from = last;
    uint32_t at;
    for (at = 0; at < file->count; at++)
        last += file->items[at].bytes;
    if (last > most)
        return 0;
    memset(to, 0, from);
    memcpy(to, file->magic, sizeof file->magic);
    knl_put(to + 12, file->count, 4);
    for (at = 0; at < file->count; at++) {
        const part *item = &file->items[at];
        uint8_t *entry = to + HEAD + ENTRY * at;
        memcpy(entry, item->name, sizeof item->name);
        knl_put(entry + 16, from, 8);
        knl_put(entry + 24, item->bytes, 8);
        memcpy(to + from, item->data, item->bytes);
        from += item->bytes;
    }
    return last;
}

/* ---- what is done with them */

static unsigned long looked_at; /* so that nothing is left out */

static void look(knl_text text) {
    uint32_t at;
    for (at = 0; at < text.length; at++)
        looked_at += (unsigned char)text.bytes[at];
}

/* Everything that is said of the host, byte by byte. */
static void walk(const knl_network *net) {
    uint32_t at, item, of;
    for (at = 0; at < knl_results(net); at++)
        look(knl_result(net, at));
    for (at = 0; at < knl_host_operators(net); at++) {
        knl_host_operator step = knl_host_operator_at(net, at);
        look(step.name);
        look(step.op);
        for (item = 0; item < step.inputs + step.outputs; item++) {
            knl_host_operand operand = knl_host_operand_at(net, step.first_operand + item);
            look(operand.name);
            for (of = 0; operand.is_constant && of < operand.axes; of++)
                looked_at += (unsigned long)knl_host_number(net, operand.first_size + of);
            if (operand.is_constant)
                look(operand.data);
        }
        for (item = 0; item < step.attributes; item++) {
            knl_host_attribute found = knl_host_attribute_at(net, step.first_attribute + item);
            look(found.name);
            for (of = 0; of < found.count; of++)
                looked_at += (unsigned long)knl_host_number(net, found.first_number + of) +
                             (knl_host_real(net, found.first_number + of) > 0);
        }
    }
}

#ifndef LOADER
static void observe(void *net, uint32_t tensor) {
    looked_at += knl_tensor_at(net, tensor).name.length;
}

static void expect(int holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

/* The bytes of all outputs behind one another, or NULL. */
static uint8_t *outputs(const knl_network *net, size_t *bytes) {
    uint8_t *found;
    uint32_t at;
    size_t done = 0;
    knl_error error;
    *bytes = 0;
    for (at = 0; at < knl_outputs(net); at++) {
        knl_tensor tensor = knl_tensor_at(net, knl_output(net, at));
        uint64_t size = knl_tensor_bytes(&tensor);
        if (size > MOST_ARENA - *bytes)
            return NULL;
        *bytes += (size_t)size;
    }
    found = exactly(NULL, *bytes);
    for (at = 0; at < knl_outputs(net); at++) {
        knl_tensor tensor = knl_tensor_at(net, knl_output(net, at));
        expect(!knl_read(net, knl_output(net, at), found + done,
                         (size_t)knl_tensor_bytes(&tensor), &error),
               "an output cannot be read");
        done += (size_t)knl_tensor_bytes(&tensor);
    }
    return found;
}

/* Two frames of inputs that are not all zeros; NULL where the program is refused. */
static uint8_t *run(knl_network *net, uint32_t asked, size_t *found) {
    knl_error error;
    size_t bytes = knl_arena_bytes(net), off = asked & OFFSET ? 1 : 0;
    uint8_t *arena, *result = NULL, *outside[KNL_SIDES];
    uint32_t at, frame;
    if (!bytes || bytes > MOST_ARENA)
        return NULL;
    for (at = 0; at < KNL_SIDES; at++) {
        uint64_t size = knl_outside_bytes(net, at);
        outside[at] = size && size <= MOST_ARENA ? exactly(NULL, (size_t)size) : NULL;
        if (outside[at]) {
            expect(knl_set_outside(net, at, outside[at], (size_t)size - 1, &error) == KNL_ARGUMENT,
                   "too little memory outside");
            expect(!knl_set_outside(net, at, outside[at], (size_t)size, &error), "memory outside");
        }
    }
    arena = exactly(NULL, bytes + off);
    if (asked & CRAMPED) {
        expect(knl_start(net, arena + off, bytes - 1, &error) == KNL_ARENA, "too small an arena");
        expect(knl_start(net, NULL, bytes, &error) == KNL_ARENA, "no arena");
        expect(knl_use_kernels(net, 99, &error) == KNL_ARGUMENT, "kernels that are not there");
    }
    if (!knl_start(net, arena + off, bytes, &error)) {
        for (frame = 0; frame < 2; frame++) {
            for (at = 0; at < knl_inputs(net); at++) {
                knl_tensor tensor = knl_tensor_at(net, knl_input(net, at));
                uint64_t size = knl_tensor_bytes(&tensor);
                uint8_t *values;
                if (size > MOST_ARENA)
                    continue;
                values = exactly(NULL, (size_t)size);
                memset(values, frame ? 0x5a : 0x80, (size_t)size);
                knl_write(net, knl_input(net, at), values, (size_t)size, &error);
                free(values);
            }
            knl_run(net, asked & OBSERVED ? observe : NULL, net);
        }
        looked_at += knl_fspm(net) != NULL;
        result = outputs(net, found);
    }
    free(arena);
    for (at = 0; at < KNL_SIDES; at++)
        free(outside[at]);
    return result;
}

static void run_both(knl_network *net, const uint8_t *cfg, size_t cfg_bytes, const uint8_t *weight,
                     size_t weight_bytes, uint32_t asked) {
    knl_network fast;
    knl_error error;
    size_t bytes = 0, others = 0;
    uint8_t *wanted, *found;
    uint64_t saturations;
    knl_use_kernels(net, KNL_SCALAR, &error);
    wanted = run(net, asked, &bytes);
    if (!wanted)
        return;
    started++;
    saturations = knl_saturations(net);
    expect(!knl_open(&fast, cfg, cfg_bytes, weight, weight_bytes, KNL_CHIP_ONLY, &error),
           "opened once and not again");
    if (knl_arena_bytes(&fast) > MOST_ARENA) { /* windows so far apart that much of x is staged */
        free(wanted);
        return;
    }
    found = run(&fast, asked & ~(uint32_t)(CRAMPED | OBSERVED), &others);
    expect(found && others == bytes && !memcmp(wanted, found, bytes) &&
               knl_saturations(&fast) == saturations,
           "other bytes where it is not checked");
    free(wanted);
    free(found);
}
#endif

/* Both files in one. */
static uint8_t *join(uint8_t *cfg, size_t cfg_bytes, uint8_t *weight, size_t weight_bytes,
                     size_t *bytes) {
    parts file;
    uint8_t *found;
    memset(&file, 0, sizeof file);
    memcpy(file.magic, KNL_MODEL_MAGIC, sizeof file.magic);
    memcpy(file.items[0].name, "cfg", 4);
    memcpy(file.items[1].name, "weight", 7);
    file.items[0].data = cfg, file.items[0].bytes = cfg_bytes;
    file.items[1].data = weight, file.items[1].bytes = weight_bytes;
    file.count = 2;
    *bytes = HEAD + 2 * ENTRY + KNL_DIGEST + cfg_bytes + weight_bytes;
    found = exactly(NULL, *bytes);
    put(&file, found, *bytes);
    take(found, *bytes, &file);
    seal_one(found, &file);
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    uint32_t asked = bytes < 4 ? 0 : knl_u32(data);
    size_t cfg_bytes = asked & CFG_BYTES, weight_bytes = bytes - 4 - cfg_bytes;
    unsigned options = KNL_CHECKED | (asked & NO_HOST ? 0u : (unsigned)KNL_CHIP_ONLY);
    uint8_t *cfg, *weight, *model = NULL;
    knl_network net;
    knl_error error;
    int status;
    if (bytes < 4 || cfg_bytes > bytes - 4)
        return 0;
    seen++;
    cfg = exactly(data + 4, cfg_bytes);
    weight = exactly(data + 4 + cfg_bytes, weight_bytes);
    if (!(asked & RAW))
        seal(cfg, cfg_bytes, weight, weight_bytes);
    if (asked & MODEL) {
        size_t model_bytes;
        model = join(cfg, cfg_bytes, weight, weight_bytes, &model_bytes);
        status = knl_open_model(&net, model, model_bytes, options, &error);
    } else {
        status = knl_open(&net, cfg, cfg_bytes, weight, weight_bytes, options, &error);
    }
    if (!status) {
        opened++;
        walk(&net);
#ifndef LOADER
        run_both(&net, cfg, cfg_bytes, weight, weight_bytes, asked);
#endif
    }
    free(model);
    free(cfg);
    free(weight);
    return 0;
}

static void say(void) {
    fprintf(stderr, "%lu inputs, %lu opened, %lu checked and run%s\n", seen, opened, started,
            looked_at == 1 ? "." : "");
}

#ifdef ALONE
int main(void) {
    uint32_t bytes;
    while (fread(&bytes, sizeof bytes, 1, stdin) == 1) {
        uint8_t *data = exactly(NULL, bytes);
        if (fread(data, 1, bytes, stdin) != bytes)
            return 4;
        LLVMFuzzerTestOneInput(data, bytes);
        free(data);
    }
    say();
    return 0;
}
#else
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t most, unsigned seed);
int LLVMFuzzerInitialize(int *count, char ***words);

int LLVMFuzzerInitialize(int *count, char ***words) {
    (void)count;
    (void)words;
    atexit(say);
    return 0;
}

static uint8_t room[2 * MOST], changed[MOST + 64];

/* One section is changed, or a word, or what is done; the sections stay where files have them. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t most, unsigned seed) {
    uint32_t asked = bytes < 4 ? 0 : knl_u32(data);
    size_t cfg_bytes = asked & CFG_BYTES, first, second;
    parts cfg, weight;
    part *item;
    if (seed % 64 == 0 || bytes < 4 || bytes > sizeof room || cfg_bytes > bytes - 4)
        return LLVMFuzzerMutate(data, bytes, most);
    if (seed % 16 == 1) {
        knl_put(data, asked ^ (1u << (26 + seed / 16 % 6)), 4);
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
    if (seed % 4 == 2 && item->bytes >= 4) { /* a word more or less, or a bit of it */
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
#endif
