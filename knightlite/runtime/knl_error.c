/* Sentences without stdio. */
#include <stdarg.h>

#include "knl_core.h"

static void put(knl_line *line, const char *bytes, size_t length) {
    size_t room = KNL_SENTENCE - 1 - line->length;
    if (length > room)
        length = room;
    memcpy(line->text + line->length, bytes, length);
    line->length += length;
    line->text[line->length] = 0;
}

static void put_number(knl_line *line, uint64_t value, unsigned base) {
    char digits[24];
    size_t at = sizeof digits;
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    if (base == 16) {
        digits[--at] = 'x';
        digits[--at] = '0';
    }
    put(line, digits + at, sizeof digits - at);
}

static void put_form(knl_line *line, const char *form, va_list given) {
    const char *at = form;
    while (*at) {
        const char *end = at;
        while (*end && *end != '%')
            end++;
        put(line, at, (size_t)(end - at));
        if (!*end)
            return;
        switch (end[1]) {
        case 's': {
            const char *text = va_arg(given, const char *);
            size_t length = 0;
            while (text[length])
                length++;
            put(line, text, length);
            break;
        }
        case 't': {
            const knl_text *text = va_arg(given, const knl_text *);
            put(line, text->bytes, text->length);
            break;
        }
        case 'd': {
            int64_t value = va_arg(given, int64_t);
            if (value < 0)
                put(line, "-", 1);
            put_number(line, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10);
            break;
        }
        case 'x':
            put_number(line, va_arg(given, uint64_t), 16);
            break;
        default: /* u */
            put_number(line, va_arg(given, uint64_t), 10);
            break;
        }
        at = end + 2;
    }
}

static void say(knl_line *line, const char *form, ...) {
    va_list given;
    va_start(given, form);
    put_form(line, form, given);
    va_end(given);
}

static knl_line begin(knl_error *error, int status, uint64_t place) {
    knl_line line;
    error->status = status;
    error->place = place;
    error->sentence[0] = 0;
    line.text = error->sentence;
    line.length = 0;
    return line;
}

int knl_say(knl_error *error, int status, uint64_t place, const char *form, ...) {
    knl_line line = begin(error, status, place);
    va_list given;
    va_start(given, form);
    put_form(&line, form, given);
    va_end(given);
    return status;
}

void knl_describe(knl_line *line, const knl_network *net, uint32_t index, const knl_item *item) {
    const char *mnemonic = knl_form_of(item->opcode)->mnemonic;
    if (item->layer < net->layer_count) {
        const uint8_t *layer = net->layers + (size_t)item->layer * KNL_LAYER_SIZE;
        knl_text name;
        name.bytes = (const char *)net->texts + knl_u32(layer + KNL_LAYER_NAME_OFFSET);
        name.length = knl_u32(layer + KNL_LAYER_NAME_BYTES);
        say(line, "instruction %u (%s, layer %t)", (uint64_t)index, mnemonic, &name);
    } else {
        say(line, "instruction %u (%s, layer number %u)", (uint64_t)index, mnemonic,
            (uint64_t)item->layer);
    }
}

int knl_fault(const knl_network *net, uint32_t index, const knl_item *item, knl_error *error,
              const char *form, ...) {
    knl_line line = begin(error, KNL_PROGRAM, index);
    va_list given;
    knl_describe(&line, net, index, item);
    put(&line, " ", 1);
    va_start(given, form);
    put_form(&line, form, given);
    va_end(given);
    return KNL_PROGRAM;
}
