/* A fuzz target of the runtime: files are read, the program is checked and run, each in memory of
 * exactly its size. An input is a u32, then the .cfg and the .weight, or a .tsmodel: the low 24 bits
 * are the bytes of the .cfg, the others say what is done. Unless RAW is set, versions and checksums
 * are made right first, so that what is behind them is reached. They are of a cheap hash, which
 * stands for SHA-256 here (knl_sha256.c is left out): most of the time would go into it.
 *
 *     make fuzz-runtime
 *
 * With -DLOADER files are only read, many more a second. What runs, runs twice: scalar and checked,
 * then with the best kernels and unchecked; the outputs must be the same bytes.
 * What the host computes between segments is computed by the runtime, or by handlers that hash.
 * Without libFuzzer (-DALONE) it runs inputs from standard input, each with its size as u32 before
 * it, and says how many were read, checked and run, and in how many of them the host computed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "knl_layers.h"
#include "runtime_parts.h"

enum { MOST_ARENA = 1 << 20, TAIL = 8 + 2 * KNL_DIGEST + 2 };

static unsigned long seen, opened, started, hosted;

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

static void hash(const uint8_t *data, size_t bytes, uint8_t digest[KNL_DIGEST]) {
    knl_sha256 running;
    knl_sha256_start(&running);
    knl_sha256_add(&running, data, bytes);
    knl_sha256_end(&running, digest);
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

static unsigned long looked_through(const void *data, size_t bytes) {
    unsigned long found = 0;
    size_t at;
    for (at = 0; at < bytes; at++)
        found = found * 31 + ((const uint8_t *)data)[at];
    return found;
}

/* A handler: all that is read decides all that is written; sometimes it fails. */
static int handle(void *context, const knl_call *call) {
    unsigned long found = call->number;
    uint32_t at;
    (void)context;
    for (at = 0; at < call->input_count; at++) {
        const knl_value *x = &call->inputs[at];
        if (x->data)
            found += looked_through(x->data, x->count * knl_value_bytes(x->type));
    }
    for (at = 0; at < call->output_count; at++) {
        const knl_value *y = &call->outputs[at];
        memset(y->data, (int)(found % 251), y->count * knl_value_bytes(y->type));
    }
    return found % 16 == 0;
}

static const knl_handler HANDLERS[] = {
    {"Mul", 0, handle, NULL}, {"CumSum", 0, handle, NULL}, {"Erf", 0, handle, NULL},
    {NULL, 1, handle, NULL}};

/* What knl_open leaves to the program. */
static int register_handlers(knl_network *net, uint32_t asked, knl_error *error) {
    return asked & HANDLED ? knl_handle(net, HANDLERS, sizeof HANDLERS / sizeof *HANDLERS, error)
                           : KNL_OK;
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
    uint32_t at, frame, byte;
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
                for (byte = 0; byte < size; byte++) /* large ones too, and small ones */
                    values[byte] = (uint8_t)(frame ? byte * 37 % 251 : byte % 3 ? 0 : 0x80 - byte);
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
    int status;
    knl_use_kernels(net, KNL_SCALAR, &error);
    wanted = run(net, asked, &bytes);
    if (!wanted)
        return;
    started++;
    saturations = knl_saturations(net);
    status = knl_host_status(net, &error);
    hosted += knl_host_between(net) && !status;
    expect(!knl_open(&fast, cfg, cfg_bytes, weight, weight_bytes,
                     KNL_CHIP_ONLY | (asked & HANDLED ? (unsigned)KNL_HANDLERS : 0u), &error) &&
               !register_handlers(&fast, asked, &error),
           "opened once and not again");
    if (knl_arena_bytes(&fast) > MOST_ARENA) { /* windows so far apart that much of x is staged */
        free(wanted);
        return;
    }
    found = run(&fast, asked & ~(uint32_t)(CRAMPED | OBSERVED), &others);
    expect(found && others == bytes && !memcmp(wanted, found, bytes) &&
               knl_saturations(&fast) == saturations && knl_host_status(&fast, &error) == status,
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
    unsigned options = KNL_CHECKED | (asked & NO_HOST ? 0u : (unsigned)KNL_CHIP_ONLY) |
                       (asked & HANDLED ? (unsigned)KNL_HANDLERS : 0u);
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
    if (!status)
        status = register_handlers(&net, asked, &error);
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
    fprintf(stderr, "%lu inputs, %lu opened, %lu checked and run, %lu with the host%s\n", seen,
            opened, started, hosted, looked_at == 1 ? "." : "");
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
int LLVMFuzzerInitialize(int *count, char ***words);

int LLVMFuzzerInitialize(int *count, char ***words) {
    (void)count;
    (void)words;
    atexit(say);
    return 0;
}
#endif
