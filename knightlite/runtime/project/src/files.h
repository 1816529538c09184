/* Where files, pictures and memory come from: files_hosted.c with an operating system, else
 * files_board.c. All return KNL_OK, or another status with a sentence in `error`. */
#ifndef FILES_H
#define FILES_H

#include <stddef.h>

#include "knl.h"

typedef struct file {
    const unsigned char *data;
    size_t bytes;
    void *memory; /* to be released, or NULL */
} file;

/* RGB, 3 bytes a pixel. */
typedef struct picture {
    unsigned char *pixels;
    uint32_t height, width;
} picture;

enum { NO_PICTURE = -1 }; /* its name is not that of a picture */

/* The network: C arrays of the program, or files in a folder. */
int network_files(const char *folder, file *cfg, file *weight, knl_error *error);
int known_input(const char *folder, file *found, knl_error *error);
int known_output(const char *folder, file *found, knl_error *error);

int read_file(const char *name, file *found, knl_error *error);
int write_file(const char *name, const void *data, size_t bytes, knl_error *error);
void release_file(file *opened);

int read_picture(const char *name, picture *found, knl_error *error);
void release_picture(picture *shown);

void *allocate(size_t bytes);
void release(void *memory);
void *arena_of(size_t bytes);
/* For inputs or outputs outside the arena. */
void *outside_of(unsigned side, size_t bytes);

#endif
