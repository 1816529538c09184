/* Runs the network: on its known answer, on raw data, or on a picture. See README.md. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "files.h"
#include "knl.h"
#include "knl_real.h"
#include "network.h"

enum { TOP = 5 };

typedef struct asked {
    const char *input, *output, *folder;
    long frames;
    unsigned options;
} asked;

static const char USAGE[] =
    "Usage: network [-c] [-n FRAMES] [-d FOLDER] [-o OUTPUT] [INPUT]\n"
    "  INPUT   a picture, or raw integers or float32 of all inputs; without it the known answer "
    "is run\n"
    "  -c      check the whole program first, as the simulator does\n"
    "  -n N    run N times, and say how long a frame takes; the outputs are the first one's\n"
    "  -d DIR  where the network's files are, unless they are built in (default: network)\n"
    "  -o FILE write the integers of all outputs, channel by channel\n";

static int fail(const char *sentence) {
    fprintf(stderr, "Error: %s\n", sentence);
    return 1;
}

/* A text of the network's on a terminal. */
static void print_text(FILE *to, knl_text text) {
    uint32_t at;
    for (at = 0; at < text.length; at++) {
        int byte = (unsigned char)text.bytes[at];
        fputc(byte < 0x20 || byte >= 0x7f ? '?' : byte, to);
    }
}

static int no_memory(knl_error *error, size_t bytes) {
    snprintf(error->sentence, sizeof error->sentence, "there are no %lu bytes of memory.",
             (unsigned long)bytes);
    return KNL_ARENA;
}

static size_t count_of(const knl_tensor *tensor) {
    return (size_t)(tensor->channels * tensor->height * tensor->width);
}

static size_t element_bytes(const knl_tensor *tensor) {
    return (size_t)knl_tensor_bytes(tensor) / count_of(tensor);
}

/* Channels of a pixel in a raw file. */
static size_t stored_channels(const knl_tensor *tensor) {
    return NETWORK_LAYOUT == NETWORK_NHWCSTRIDE
               ? (size_t)tensor->column_stride / element_bytes(tensor)
               : (size_t)tensor->channels;
}

static size_t stored_count(const knl_tensor *tensor) {
    return stored_channels(tensor) * (size_t)(tensor->height * tensor->width);
}

/* All inputs of a frame in a file, with elements of so many bytes; 0: the chip's. */
static size_t frame_bytes(const knl_network *net, size_t element) {
    size_t found = 0;
    uint32_t at;
    for (at = 0; at < knl_inputs(net); at++) {
        knl_tensor tensor = knl_tensor_at(net, knl_input(net, at));
        found += stored_count(&tensor) * (element ? element : element_bytes(&tensor));
    }
    return found;
}

/* Elements of a file in the order of channels, rows, columns. */
static void arrange(const knl_tensor *tensor, const unsigned char *from, unsigned char *to,
                    size_t element) {
    size_t pixels = (size_t)(tensor->height * tensor->width), channels = stored_channels(tensor);
    size_t pixel, channel;
    if (NETWORK_LAYOUT == NETWORK_NCHW) {
        memcpy(to, from, count_of(tensor) * element);
        return;
    }
    for (channel = 0; channel < tensor->channels; channel++)
        for (pixel = 0; pixel < pixels; pixel++)
            memcpy(to + (channel * pixels + pixel) * element,
                   from + (pixel * channels + channel) * element, element);
}

static int write_raw(knl_network *net, const unsigned char *data, size_t bytes, knl_error *error) {
    int real = bytes == frame_bytes(net, sizeof(float)), status = KNL_OK;
    uint32_t at;
    if (!real && bytes != frame_bytes(net, 0)) {
        snprintf(error->sentence, sizeof error->sentence,
                 "a frame has %lu bytes as float32 or %lu as integers, and the input %lu.",
                 (unsigned long)frame_bytes(net, sizeof(float)),
                 (unsigned long)frame_bytes(net, 0), (unsigned long)bytes);
        return KNL_ARGUMENT;
    }
    for (at = 0; at < knl_inputs(net) && !status; at++) {
        uint32_t index = knl_input(net, at);
        knl_tensor tensor = knl_tensor_at(net, index);
        size_t element = real ? sizeof(float) : element_bytes(&tensor);
        void *dense = allocate(count_of(&tensor) * element);
        if (!dense)
            return no_memory(error, count_of(&tensor) * element);
        arrange(&tensor, data, dense, element);
        data += stored_count(&tensor) * element;
        status = real ? knl_write_real(net, index, dense, count_of(&tensor), error)
                      : knl_write(net, index, dense, count_of(&tensor) * element, error);
        release(dense);
    }
    return status;
}

static int write_picture(knl_network *net, const picture *given, knl_error *error) {
#ifdef NETWORK_HAS_RECIPE
    uint32_t index = knl_input(net, 0);
    size_t bytes = knl_picture_bytes(net, index, &network_recipe, given->height, given->width);
    void *scratch = allocate(bytes);
    int status = scratch ? knl_write_picture(net, index, &network_recipe, given->pixels,
                                             given->height, given->width, scratch, bytes, error)
                         : no_memory(error, bytes);
    release(scratch);
    return status;
#else
    (void)net;
    (void)given;
    strcpy(error->sentence, "the network has no recipe that prepares pictures: give raw data.");
    return KNL_ARGUMENT;
#endif
}

static int write_input(knl_network *net, const char *name, knl_error *error) {
    picture shown;
    file opened;
    int status = read_picture(name, &shown, error);
    if (status == KNL_OK) {
        status = write_picture(net, &shown, error);
        release_picture(&shown);
        return status;
    }
    if (status != NO_PICTURE)
        return status;
    status = read_file(name, &opened, error);
    if (!status) {
        status = write_raw(net, opened.data, opened.bytes, error);
        release_file(&opened);
    }
    return status;
}

static double value_at(const knl_tensor *tensor, const unsigned char *dense, size_t channel) {
    long value;
    if (tensor->type == KNL_S16) {
        value = dense[2 * channel] | (long)dense[2 * channel + 1] << 8;
        value = value >= 32768 ? value - 65536 : value;
    } else {
        value = dense[channel];
        value = tensor->type == KNL_S8 && value >= 128 ? value - 256 : value;
    }
    return (double)((float)value * knl_scale_of(tensor, channel));
}

/* The highest values of one pixel of channels. */
static void print_top(const knl_tensor *tensor, const unsigned char *dense) {
    size_t best[TOP], found = 0, channel, at;
    for (channel = 0; channel < tensor->channels; channel++) {
        double value = value_at(tensor, dense, channel);
        for (at = found; at > 0 && value_at(tensor, dense, best[at - 1]) < value; at--)
            if (at < TOP)
                best[at] = best[at - 1];
        if (at < TOP)
            best[at] = channel;
        found += found < TOP;
    }
    for (at = 0; at < found; at++)
        printf("%5lu  %g\n", (unsigned long)best[at], value_at(tensor, dense, best[at]));
}

/* All outputs, dense and one behind the other. */
static unsigned char *outputs_of(const knl_network *net, size_t *bytes, knl_error *error) {
    unsigned char *found, *to;
    uint32_t at;
    *bytes = 0;
    for (at = 0; at < knl_outputs(net); at++) {
        knl_tensor tensor = knl_tensor_at(net, knl_output(net, at));
        *bytes += (size_t)knl_tensor_bytes(&tensor);
    }
    to = found = allocate(*bytes);
    if (!found)
        no_memory(error, *bytes);
    for (at = 0; found && at < knl_outputs(net); at++) {
        knl_tensor tensor = knl_tensor_at(net, knl_output(net, at));
        size_t size = (size_t)knl_tensor_bytes(&tensor);
        if (knl_read(net, knl_output(net, at), to, size, error)) {
            release(found);
            return NULL;
        }
        to += size;
    }
    return found;
}

static void print_outputs(const knl_network *net, const unsigned char *dense) {
    uint32_t at;
    for (at = 0; at < knl_outputs(net); at++) {
        knl_tensor tensor = knl_tensor_at(net, knl_output(net, at));
        printf("output ");
        print_text(stdout, tensor.name);
        printf(": %lux%lux%lu of %s\n", (unsigned long)tensor.channels,
               (unsigned long)tensor.height, (unsigned long)tensor.width,
               tensor.type == KNL_U8 ? "u8" : tensor.type == KNL_S8 ? "s8" : "s16");
        if (tensor.height == 1 && tensor.width == 1)
            print_top(&tensor, dense);
        dense += (size_t)knl_tensor_bytes(&tensor);
    }
}

static int write_known(knl_network *net, const char *folder, knl_error *error) {
    const unsigned char *from;
    file known;
    int status = known_input(folder, &known, error);
    uint32_t at;
    if (status)
        return status;
    from = known.data;
    for (at = 0; at < knl_inputs(net) && !status; at++) {
        knl_tensor tensor = knl_tensor_at(net, knl_input(net, at));
        size_t bytes = (size_t)knl_tensor_bytes(&tensor);
        if ((size_t)(from - known.data) + bytes > known.bytes) {
            strcpy(error->sentence, "the known input is that of another network.");
            status = KNL_ARGUMENT;
            break;
        }
        status = knl_write(net, knl_input(net, at), from, bytes, error);
        from += bytes;
    }
    release_file(&known);
    return status;
}

/* Whether the outputs are the known answer. */
static int compare(const unsigned char *dense, size_t bytes, const char *folder,
                   knl_error *error) {
    file known;
    size_t differ = 0, at;
    int status = known_output(folder, &known, error);
    if (status)
        return fail(error->sentence);
    if (bytes != known.bytes)
        return fail("the known answer is that of another network.");
    for (at = 0; at < bytes; at++)
        differ += dense[at] != known.data[at];
    release_file(&known);
    printf("known answer: %lu bytes, %lu differ\n", (unsigned long)bytes, (unsigned long)differ);
    return differ != 0;
}

static int arguments(int count, char **words, asked *found) {
    int at;
    memset(found, 0, sizeof *found);
    found->frames = 1;
    found->folder = "network";
    found->options = KNL_CHIP_ONLY;
    for (at = 1; at < count; at++) {
        const char *word = words[at];
        int has_value = at + 1 < count;
        if (!strcmp(word, "-c")) {
            found->options |= KNL_CHECKED;
        } else if (!strcmp(word, "-o") && has_value) {
            found->output = words[++at];
        } else if (!strcmp(word, "-d") && has_value) {
            found->folder = words[++at];
        } else if (!strcmp(word, "-n") && has_value) {
            char *end;
            found->frames = strtol(words[++at], &end, 10);
            if (*end || found->frames < 1 || found->frames == LONG_MAX)
                return 2;
        } else if (word[0] != '-' && !found->input) {
            found->input = word;
        } else {
            return 2;
        }
    }
    return 0;
}

static int run(knl_network *net, const asked *wanted, knl_error *error) {
    unsigned char *dense;
    size_t bytes;
    long frame;
    double seconds;
    clock_t start;
    int status = wanted->input ? write_input(net, wanted->input, error)
                               : write_known(net, wanted->folder, error);
    if (status)
        return fail(error->sentence);
    start = clock();
    knl_run(net, NULL, NULL);
    if (knl_host_status(net, error))
        return fail(error->sentence);
    seconds = (double)(clock() - start);
    dense = outputs_of(net, &bytes, error);
    if (!dense)
        return fail(error->sentence);
    /* the rest is for the time only: a frame may have written over its input */
    start = clock();
    for (frame = 1; frame < wanted->frames; frame++)
        knl_run(net, NULL, NULL);
    seconds = (seconds + (double)(clock() - start)) / CLOCKS_PER_SEC;
    fprintf(stderr, "%.3f ms a frame\n", 1000 * seconds / (double)wanted->frames);
    status = KNL_OK;
    if (wanted->output)
        status = write_file(wanted->output, dense, bytes, error);
    if (status)
        status = fail(error->sentence);
    else if (wanted->input)
        print_outputs(net, dense);
    else
        status = compare(dense, bytes, wanted->folder, error);
    release(dense);
    return status;
}

/* A camera, or what reads the outputs, would have memory of its own: here is some. */
static int set_outside(knl_network *net, knl_error *error) {
    unsigned side;
    for (side = 0; side < KNL_SIDES; side++) {
        size_t bytes = (size_t)knl_outside_bytes(net, side);
        void *memory = bytes ? outside_of(side, bytes) : NULL;
        if (bytes && !memory)
            return no_memory(error, bytes);
        if (bytes && knl_set_outside(net, side, memory, bytes, error))
            return error->status;
    }
    return KNL_OK;
}

int main(int count, char **words) {
    knl_network net;
    knl_error error;
    asked wanted;
    file cfg, weight;
    void *arena;
    size_t arena_bytes;
    int status = arguments(count, words, &wanted);
    if (status) {
        fputs(USAGE, stderr);
        return status;
    }
    if (network_files(wanted.folder, &cfg, &weight, &error) ||
        knl_open(&net, cfg.data, cfg.bytes, weight.data, weight.bytes, wanted.options, &error))
        return fail(error.sentence);
    arena_bytes = knl_arena_bytes(&net);
    arena = arena_of(arena_bytes);
    fprintf(stderr, "network ");
    print_text(stderr, net.name);
    fprintf(stderr, " for ");
    print_text(stderr, net.chip);
    fprintf(stderr, ", arena of %lu bytes\n", (unsigned long)arena_bytes);
    if (!arena)
        status = fail("there is not enough memory for the arena.");
    else if (set_outside(&net, &error))
        status = fail(error.sentence);
    else if (knl_start(&net, arena, arena_bytes, &error))
        status = fail(error.sentence);
    else
        status = run(&net, &wanted, &error);
    return status;
}
