/* Files, pictures and memory of an operating system. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "network.h"

/* PNG and JPEG are read where there is stb_image.h (Debian: libstb-dev); PPM always. */
#if defined(__has_include)
#if __has_include(<stb/stb_image.h>)
#define HAS_STB
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#if defined(__GNUC__) /* of formats that are left out; gcc says so at the end of the file */
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <stb/stb_image.h>
#endif
#endif

enum { MOST_SIDE = 65535 };

static int say(knl_error *error, const char *name, const char *what) {
    snprintf(error->sentence, sizeof error->sentence, "%s %s.", name, what);
    return error->status = KNL_ARGUMENT;
}

void *allocate(size_t bytes) {
    return malloc(bytes ? bytes : 1);
}

void release(void *memory) {
    free(memory);
}

void *arena_of(size_t bytes) {
    return bytes ? malloc(bytes) : NULL;
}

void *outside_of(unsigned side, size_t bytes) {
    (void)side;
    return bytes ? calloc(bytes, 1) : NULL;
}

int read_file(const char *name, file *found, knl_error *error) {
    FILE *opened = fopen(name, "rb");
    unsigned char *data = NULL;
    size_t room = 1 << 16, got;
    found->memory = NULL;
    found->bytes = 0;
    if (!opened)
        return say(error, name, "cannot be read");
    for (;;) {
        unsigned char *more = realloc(data, room);
        if (!more) {
            free(data);
            fclose(opened);
            return say(error, name, "needs more memory than there is");
        }
        data = more;
        got = fread(data + found->bytes, 1, room - found->bytes, opened);
        found->bytes += got;
        if (!got)
            break;
        if (found->bytes == room)
            room *= 2;
    }
    found->data = found->memory = data;
    if (ferror(opened)) {
        release_file(found);
        fclose(opened);
        return say(error, name, "cannot be read");
    }
    fclose(opened);
    return KNL_OK;
}

void release_file(file *opened) {
    free(opened->memory);
    opened->memory = NULL;
}

int write_file(const char *name, const void *data, size_t bytes, knl_error *error) {
    FILE *opened = fopen(name, "wb");
    int bad;
    if (!opened)
        return say(error, name, "cannot be written");
    bad = fwrite(data, 1, bytes, opened) != bytes;
    bad |= fclose(opened) != 0;
    return bad ? say(error, name, "cannot be written") : KNL_OK;
}

#ifdef NETWORK_ARRAYS
#include "network_arrays.h"

static int array(const unsigned char *data, size_t bytes, file *found) {
    found->data = data;
    found->bytes = bytes;
    found->memory = NULL;
    return KNL_OK;
}
#define FIND(folder, name, array_name, found, error)                                              \
    ((void)(folder), (void)(error), array(array_name, sizeof array_name, found))
#else
static int find(const char *folder, const char *name, file *found, knl_error *error) {
    char path[4096];
    if (strlen(folder) + strlen(name) + 2 > sizeof path)
        return say(error, "the folder's name", "is too long");
    strcpy(path, folder);
    strcat(path, "/");
    strcat(path, name);
    return read_file(path, found, error);
}
#define FIND(folder, name, array_name, found, error) find(folder, name, found, error)
#endif

int network_files(const char *folder, file *cfg, file *weight, knl_error *error) {
    int status = FIND(folder, "network.cfg", network_cfg, cfg, error);
    return status ? status : FIND(folder, "network.weight", network_weight, weight, error);
}

int known_input(const char *folder, file *found, knl_error *error) {
    return FIND(folder, "known_input.bin", network_known_input, found, error);
}

int known_output(const char *folder, file *found, knl_error *error) {
    return FIND(folder, "known_output.bin", network_known_output, found, error);
}

/* ---- pictures */

static int ends_in(const char *name, const char *end) {
    size_t length = strlen(name), most = strlen(end), at;
    if (length < most)
        return 0;
    for (at = 0; at < most; at++) {
        char letter = name[length - most + at];
        if ((letter >= 'A' && letter <= 'Z' ? letter + 32 : letter) != end[at])
            return 0;
    }
    return 1;
}

/* The next number of a PPM's head; -1 where there is none, or a large one. */
static long number(const file *from, size_t *at) {
    long found = -1;
    while (*at < from->bytes && (from->data[*at] <= ' ' || from->data[*at] == '#')) {
        if (from->data[*at] == '#')
            while (*at < from->bytes && from->data[*at] != '\n')
                (*at)++;
        else
            (*at)++;
    }
    for (; *at < from->bytes && from->data[*at] >= '0' && from->data[*at] <= '9'; (*at)++) {
        found = (found < 0 ? 0 : found) * 10 + (from->data[*at] - '0');
        if (found > MOST_SIDE)
            return -1;
    }
    return found;
}

static int read_ppm(const char *name, const file *from, picture *found, knl_error *error) {
    size_t at = 2, bytes;
    long width, height, most;
    if (from->bytes < 2 || memcmp(from->data, "P6", 2))
        return say(error, name, "must be a PPM with the magic P6");
    width = number(from, &at);
    height = number(from, &at);
    most = number(from, &at);
    if (width < 1 || height < 1 || most != 255)
        return say(error, name, "must have 1 to 65535 rows and columns, and 255 for white");
    at++; /* one space behind the head */
    bytes = (size_t)width * (size_t)height;
    if (bytes > ((size_t)-1) / 3 || at > from->bytes || from->bytes - at < 3 * bytes)
        return say(error, name, "is shorter than its head says");
    found->pixels = allocate(3 * bytes);
    if (!found->pixels)
        return say(error, name, "needs more memory than there is");
    memcpy(found->pixels, from->data + at, 3 * bytes);
    found->width = (uint32_t)width;
    found->height = (uint32_t)height;
    return KNL_OK;
}

static int decode(const char *name, const file *from, picture *found, knl_error *error) {
#ifdef HAS_STB
    int width, height, channels;
    found->pixels = from->bytes > 0x7fffffff
                        ? NULL
                        : stbi_load_from_memory(from->data, (int)from->bytes, &width, &height,
                                                &channels, 3);
    if (!found->pixels)
        return say(error, name, "is not a PNG or JPEG that can be decoded");
    found->width = (uint32_t)width;
    found->height = (uint32_t)height;
    return KNL_OK;
#else
    (void)from;
    (void)found;
    return say(error, name, "is a PNG or JPEG, which this program was built without stb_image.h "
                            "for: install libstb-dev and build anew (make -B), or convert it to "
                            "PPM");
#endif
}

int read_picture(const char *name, picture *found, knl_error *error) {
    file opened;
    int status;
    int is_ppm = ends_in(name, ".ppm");
    if (!is_ppm && !ends_in(name, ".png") && !ends_in(name, ".jpg") && !ends_in(name, ".jpeg"))
        return NO_PICTURE;
    status = read_file(name, &opened, error);
    if (status)
        return status;
    status = is_ppm ? read_ppm(name, &opened, found, error) : decode(name, &opened, found, error);
    release_file(&opened);
    return status;
}

void release_picture(picture *shown) {
    free(shown->pixels);
    shown->pixels = NULL;
}
