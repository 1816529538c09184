/* A fuzz target of the runtime: files are read, the program is checked and run, each in memory of
 * exactly its size. An input is u32 bytes of a .cfg, then the .cfg and the .weight. The mutator
 * changes one section and makes all checksums right again, so that what is behind them is reached.
 *
 *     clang -fsanitize=fuzzer,address,undefined -I knightlite/runtime tests/runtime_fuzzer.c
 *         knightlite/runtime/knl_*.c -o fuzzer && ./fuzzer corpus
 *
 * Without libFuzzer (-DALONE) it runs inputs from standard input, each with its size as u32 before it,
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

static unsigned long seen, opened, started;

static void *exactly(const void *data, size_t bytes) {
    void *found = malloc(bytes ? bytes : 1);
    if (!found)
        abort();
    if (data && bytes)
        memcpy(found, data, bytes);
    return found;
}

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

static void run(knl_network *net) {
    knl_error error;
    size_t bytes = knl_arena_bytes(net);
    void *arena;
    if (bytes > MOST_ARENA)
        return;
    arena = exactly(NULL, bytes);
    if (!knl_start(net, arena, bytes, &error)) {
        started++;
        knl_run(net, NULL, NULL);
    }
    free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    size_t cfg_bytes = bytes < 4 ? 0 : knl_u32(data);
    uint8_t *cfg, *weight;
    knl_network net;
    knl_error error;
    if (bytes < 4 || cfg_bytes > bytes - 4)
        return 0;
    seen++;
    cfg = exactly(data + 4, cfg_bytes);
    weight = exactly(data + 4 + cfg_bytes, bytes - 4 - cfg_bytes);
    if (!knl_open(&net, cfg, cfg_bytes, weight, bytes - 4 - cfg_bytes, KNL_CHIP_ONLY | KNL_CHECKED,
                  &error)) {
        opened++;
        walk(&net);
        run(&net);
    }
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

static uint8_t room[2 * SECTIONS][MOST];

/* The sections of a file, copied; 0 where it is none. */
static int take(const uint8_t *data, size_t bytes, uint8_t (*into)[MOST], parts *found) {
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
        memcpy(into[at], data + from, size);
        found->items[at].data = into[at];
        found->items[at].bytes = size;
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

/* A file with all checksums; its bytes, 0 where there is no room. */
static size_t put(const parts *file, uint8_t *to, size_t most) {
    size_t end = HEAD + (size_t)ENTRY * file->count, last = end + KNL_DIGEST;
    uint32_t at;
    for (at = 0; at < file->count; at++)
        last += file->items[at].bytes;
    if (last > most)
        return 0;
    memcpy(to, file->magic, sizeof file->magic);
    knl_put(to + 8, KNL_FORMAT_VERSION, 4);
    knl_put(to + 12, file->count, 4);
    last = end + KNL_DIGEST;
    for (at = 0; at < file->count; at++) {
        const part *item = &file->items[at];
        uint8_t *entry = to + HEAD + ENTRY * at;
        memcpy(entry, item->name, sizeof item->name);
        knl_put(entry + 16, last, 8);
        knl_put(entry + 24, item->bytes, 8);
        hash(item->data, item->bytes, entry + 32);
        memcpy(to + last, item->data, item->bytes);
        last += item->bytes;
    }
    hash(to, end, to + end);
    return last;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t most, unsigned seed) {
    size_t cfg_bytes = bytes < 4 ? 0 : knl_u32(data), first, second;
    parts cfg, weight;
    part *item;
    if (seed % 32 == 0 || bytes < 4 || cfg_bytes > bytes - 4 ||
        !take(data + 4, cfg_bytes, room, &cfg) ||
        !take(data + 4 + cfg_bytes, bytes - 4 - cfg_bytes, room + SECTIONS, &weight) ||
        !cfg.count || !weight.count)
        return LLVMFuzzerMutate(data, bytes, most);
    item = seed / 32 % 8 == 0 ? &weight.items[seed / 256 % weight.count]
                              : &cfg.items[seed / 256 % cfg.count];
    item->bytes = LLVMFuzzerMutate(item->data, item->bytes, item->bytes + 64 < MOST ? item->bytes + 64 : MOST);
    pair(&cfg, &weight);
    first = most < 4 ? 0 : put(&cfg, data + 4, most - 4);
    second = first ? put(&weight, data + 4 + first, most - 4 - first) : 0;
    if (!second)
        return bytes;
    knl_put(data, first, 4);
    return 4 + first + second;
}
#endif
