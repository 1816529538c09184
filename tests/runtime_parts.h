/* Inputs of the runtime's fuzz target, and the sections of the files in them. */
#ifndef RUNTIME_PARTS_H
#define RUNTIME_PARTS_H

#include "knl_core.h"

enum {
    HEAD = 16,
    ENTRY = 64,
    MOST = 1 << 16, /* of a file */
    SECTIONS = 4
};

/* What an input asks for, beside the bytes of its .cfg. */
enum {
    CFG_BYTES = 0xffffff,
    HANDLED = 1 << 25,  /* some of what the host computes is done by handlers */
    OBSERVED = 1 << 26, /* the tensors are looked at as they are completed */
    NO_HOST = 1 << 27,  /* the caller does not do the host's share */
    CRAMPED = 1 << 28,  /* an arena that is too small, or none; kernels that are not there */
    OFFSET = 1 << 29,   /* an arena at an odd address */
    MODEL = 1 << 30,    /* one file that holds both */
};
#define RAW 0x80000000u /* files as they are */

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
static inline int take(uint8_t *data, size_t bytes, parts *found) {
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

static inline part *find(parts *file, const char *name) {
    uint32_t at;
    for (at = 0; at < file->count; at++)
        if (!strncmp(file->items[at].name, name, sizeof file->items[at].name))
            return &file->items[at];
    return NULL;
}

/* A file of these sections without checksums; its bytes, 0 where there is no room. */
static inline size_t put(const parts *file, uint8_t *to, size_t most) {
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

#endif
