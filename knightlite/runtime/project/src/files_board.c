/* No files and no heap: the network is in C arrays, the arena is static. */
#include <stdint.h>
#include <string.h>

#include "files.h"
#include "network.h"

#ifndef NETWORK_ARRAYS
#error "a board without files needs the network as C arrays: knightlite deploy --arrays"
#endif
#include "network_arrays.h"

enum { POOL_BYTES = NETWORK_OUTPUT_BYTES + 16 };

/* The linker script places it. */
static unsigned char arena[NETWORK_ARENA_BYTES] __attribute__((section(".arena"), aligned(64)));
static uint32_t inputs[NETWORK_INPUTS_OUTSIDE / sizeof(uint32_t) + 1];
static uint32_t outputs[NETWORK_OUTPUTS_OUTSIDE / sizeof(uint32_t) + 1];
static uint64_t pool[POOL_BYTES / sizeof(uint64_t) + 1]; /* for what the outputs are copied to */
static int taken;

void *allocate(size_t bytes) {
    if (taken || bytes > sizeof pool)
        return NULL;
    taken = 1;
    return pool;
}

void release(void *memory) {
    taken = taken && memory != (void *)pool;
}

void *arena_of(size_t bytes) {
    return bytes <= sizeof arena ? arena : NULL;
}

void *outside_of(unsigned side, size_t bytes) {
    if (side == KNL_INPUTS)
        return bytes <= sizeof inputs ? inputs : NULL;
    return bytes <= sizeof outputs ? outputs : NULL;
}

static int array(const unsigned char *data, size_t bytes, file *found) {
    found->data = data;
    found->bytes = bytes;
    found->memory = NULL;
    return KNL_OK;
}

int network_files(const char *folder, file *cfg, file *weight, knl_error *error) {
    (void)folder;
    (void)error;
    array(network_weight, sizeof network_weight, weight);
    return array(network_cfg, sizeof network_cfg, cfg);
}

int known_input(const char *folder, file *found, knl_error *error) {
    (void)folder;
    (void)error;
    return array(network_known_input, sizeof network_known_input, found);
}

int known_output(const char *folder, file *found, knl_error *error) {
    (void)folder;
    (void)error;
    return array(network_known_output, sizeof network_known_output, found);
}

static int refuse(knl_error *error) {
    strcpy(error->sentence, "this board has no files.");
    return error->status = KNL_ARGUMENT;
}

int read_file(const char *name, file *found, knl_error *error) {
    (void)name;
    (void)found;
    return refuse(error);
}

int write_file(const char *name, const void *data, size_t bytes, knl_error *error) {
    (void)name;
    (void)data;
    (void)bytes;
    return refuse(error);
}

void release_file(file *opened) {
    (void)opened;
}

int read_picture(const char *name, picture *found, knl_error *error) {
    (void)name;
    (void)found;
    (void)error;
    return NO_PICTURE;
}

void release_picture(picture *shown) {
    (void)shown;
}
