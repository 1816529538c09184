/* Tokens and races. Each engine works its queue in order; tokens are counted per sender and
 * receiver, so the k-th one consumed is the k-th one sent. From both follows, for every
 * instruction, how many of each engine have surely ended when it starts: its clock. Two accesses of
 * different engines that overlap, one of them writing, must be ordered by it. */
#include "knl_core.h"

enum { ENGINES = KNL_ENGINES, TOKEN_LIMIT = 255, RING = TOKEN_LIMIT + 1 };

typedef struct clock_of {
    uint32_t ended[ENGINES];
} clock_of;

/* From one engine to another. No more than 255 may wait at once, so rings hold them. */
typedef struct channel {
    uint64_t sent, taken, surely_taken;
    clock_of tokens[RING];
    uint32_t takers[RING]; /* positions in the receiver's queue */
} channel;

typedef struct order {
    clock_of queue[ENGINES];
    uint32_t lengths[ENGINES];
    channel channels[ENGINES][ENGINES];
} order;

static int has(uint32_t mask, unsigned engine) {
    return (int)(mask >> engine & 1);
}

/* A token is missing: whether any instruction would send it. */
static int underflow(const knl_network *net, uint32_t index, const knl_item *item, unsigned sender,
                     knl_error *error) {
    uint64_t sent = 0, taken = 0;
    size_t byte = 0;
    uint32_t at;
    knl_item other;
    for (at = 0; at < net->instructions; at++) {
        byte = knl_decode(net, byte, &other);
        sent += other.engine == sender && has(other.signal, item->engine);
        taken += at < index && other.engine == item->engine && has(other.wait, sender);
    }
    return knl_fault(net, index, item, error,
                     sent <= taken ? "waits for a token of %s that no instruction sends."
                                   : "waits for a token of %s that is sent only later in program "
                                     "order.",
                     knl_engine_names[sender]);
}

/* The next instruction: its clock, and its position in its queue, from 1. */
static int step(order *state, const knl_network *net, uint32_t index, const knl_item *item,
                clock_of *clock, uint32_t *position, knl_error *error) {
    unsigned engine = item->engine, other, e;
    *clock = state->queue[engine];
    *position = state->lengths[engine] + 1;
    for (other = 0; other < ENGINES; other++) {
        channel *from = &state->channels[other][engine];
        const clock_of *token = &from->tokens[from->taken % RING];
        if (!has(item->wait, other))
            continue;
        if (from->taken == from->sent)
            return underflow(net, index, item, other, error);
        for (e = 0; e < ENGINES; e++)
            if (token->ended[e] > clock->ended[e])
                clock->ended[e] = token->ended[e];
        from->takers[from->taken % RING] = *position;
        from->taken++;
    }
    state->lengths[engine] = *position;
    state->queue[engine] = *clock;
    state->queue[engine].ended[engine] = *position;
    for (other = 0; other < ENGINES; other++) {
        channel *to = &state->channels[engine][other];
        if (!has(item->signal, other))
            continue;
        while (to->surely_taken < to->taken && to->takers[to->surely_taken % RING] <=
                                                   state->queue[engine].ended[other])
            to->surely_taken++;
        to->sent++;
        if (to->sent - to->surely_taken > TOKEN_LIMIT)
            return knl_fault(net, index, item, error,
                             "may bring the token counter from %s to %s to %u, beyond %u.",
                             knl_engine_names[engine], knl_engine_names[other],
                             to->sent - to->surely_taken, (uint64_t)TOKEN_LIMIT);
        to->tokens[(to->sent - 1) % RING] = state->queue[engine];
    }
    return KNL_OK;
}

/* A counter is not back at 0: the next frame would start with it. */
static int surplus(const knl_network *net, unsigned sender, unsigned receiver, uint64_t left,
                   knl_error *error) {
    size_t byte = 0;
    uint32_t at, last = 0;
    knl_item item, found;
    memset(&found, 0, sizeof found);
    for (at = 0; at < net->instructions; at++) {
        byte = knl_decode(net, byte, &item);
        if (item.engine == sender && has(item.signal, receiver))
            found = item, last = at;
    }
    return knl_fault(net, last, &found, error,
                     "sends a token to %s that no instruction takes: %u of %s would be left at the "
                     "end.",
                     knl_engine_names[receiver], left, knl_engine_names[sender]);
}

int knl_check_tokens(const knl_network *net, uint8_t *work, knl_error *error) {
    order *state = (order *)(void *)work;
    knl_item item;
    size_t byte = 0;
    uint32_t index, position;
    clock_of clock;
    unsigned from, to;
    memset(state, 0, sizeof *state);
    for (index = 0; index < net->instructions; index++) {
        int status;
        byte = knl_decode(net, byte, &item);
        status = step(state, net, index, &item, &clock, &position, error);
        if (status)
            return status;
    }
    for (from = 0; from < ENGINES; from++)
        for (to = 0; to < ENGINES; to++) {
            const channel *found = &state->channels[from][to];
            if (found->sent > found->taken)
                return surplus(net, from, to, found->sent - found->taken, error);
        }
    return KNL_OK;
}

/* ---- races */

/* Who touched: position 0 is nobody. */
typedef struct access {
    uint32_t position, index;
} access;

/* Bytes from `first` to the next segment: who wrote them last, and who has read them since. */
typedef struct segment {
    uint64_t first;
    access writer;
    uint32_t writer_engine;
    access readers[ENGINES]; /* the last of each engine; its queue orders the earlier ones */
} segment;

typedef struct history {
    segment *segments;
    uint64_t count;
} history;

static size_t aligned(size_t bytes) {
    return (bytes + 15) / 16 * 16;
}

static uint64_t capacity(const knl_network *net, unsigned space) {
    return net->most_segments[space] + 2;
}

uint64_t knl_race_bytes(const knl_network *net) {
    uint64_t found = aligned(sizeof(order));
    unsigned space;
    for (space = 0; space < 4; space++)
        found += capacity(net, space) * sizeof(segment);
    return found;
}

/* The segment that begins at a byte, made where there is none. */
static uint64_t cut(history *memory, uint64_t first) {
    uint64_t low = 0, high = memory->count;
    segment *found;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (memory->segments[middle].first < first)
            low = middle + 1;
        else
            high = middle;
    }
    found = memory->segments + low;
    if (low < memory->count && found->first == first)
        return low;
    memmove(found + 1, found, (size_t)(memory->count - low) * sizeof *found);
    *found = found[-1];
    found->first = first;
    memory->count++;
    return low;
}

static int is_same(const segment *one, const segment *other) {
    return one->writer.position == other->writer.position &&
           (!one->writer.position || one->writer_engine == other->writer_engine) &&
           !memcmp(one->readers, other->readers, sizeof one->readers);
}

/* Drop segments (first, last) that are like the one before, so that reads do not shatter. */
static void join(history *memory, uint64_t first, uint64_t last) {
    segment *all = memory->segments;
    uint64_t kept = first, at;
    for (at = first + 1; at < last; at++)
        if (!is_same(&all[at], &all[kept]))
            all[++kept] = all[at];
    if (last > first + 1 && kept + 1 < last) {
        memmove(all + kept + 1, all + last, (size_t)(memory->count - last) * sizeof *all);
        memory->count -= last - (kept + 1);
    }
}

/* Record an access; 1 + the index of an instruction that it is not ordered after, or 0. */
static uint64_t touch(history *memory, const knl_operand *operand, unsigned engine, access who,
                      const clock_of *clock) {
    uint64_t first = cut(memory, operand->address), last = cut(memory, knl_last(operand)), at;
    unsigned e;
    for (at = first; at < last; at++) {
        segment *here = &memory->segments[at];
        uint64_t oldest = 0;
        if (here->writer.position && here->writer_engine != engine &&
            here->writer.position > clock->ended[here->writer_engine])
            return (uint64_t)here->writer.index + 1;
        if (!operand->write) {
            here->readers[engine] = who;
            continue;
        }
        for (e = 0; e < ENGINES; e++) {
            const access *reader = &here->readers[e];
            if (e != engine && reader->position > clock->ended[e] &&
                (!oldest || reader->index + UINT64_C(1) < oldest))
                oldest = reader->index + UINT64_C(1);
        }
        if (oldest)
            return oldest;
    }
    if (operand->write) {
        segment *here = &memory->segments[first];
        memset(here->readers, 0, sizeof here->readers);
        here->writer = who;
        here->writer_engine = engine;
        memmove(here + 1, memory->segments + last,
                (size_t)(memory->count - last) * sizeof *here);
        memory->count -= last - first - 1;
    } else {
        join(memory, first, last);
    }
    return 0;
}

static int race(const knl_network *net, uint32_t index, const knl_item *item,
                const knl_operand *mine, uint32_t other, knl_error *error) {
    knl_item their_item;
    knl_operand found[KNL_MOST_OPERANDS], *theirs = found;
    char text[KNL_SENTENCE];
    const char *described = text;
    knl_line line;
    unsigned count;
    size_t byte = 0;
    uint32_t at;
    for (at = 0; at <= other; at++)
        byte = knl_decode(net, byte, &their_item);
    count = knl_operands(&their_item, found);
    while (theirs < found + count - 1 &&
           !(theirs->space == mine->space && theirs->address < knl_last(mine) &&
             mine->address < knl_last(theirs) && (theirs->write || mine->write)))
        theirs++;
    line.text = text;
    line.length = 0;
    knl_describe(&line, net, other, &their_item);
    return knl_fault(net, index, item, error,
                     "%s %s [%x, %x), a race with %s, which %s [%x, %x): no token orders them.",
                     mine->write ? "writes" : "reads", knl_space_names[mine->space],
                     mine->address, knl_last(mine), described,
                     theirs->write ? "writes" : "reads", theirs->address, knl_last(theirs));
}

/* Behind a border every queue begins when all that stands before it has ended. */
int knl_check_borders(const knl_network *net, uint8_t *work, knl_error *error) {
    order *state = (order *)(void *)work;
    uint32_t ended[ENGINES] = {0}, needed[ENGINES] = {0}, index, layer = 0, position;
    int waits[ENGINES] = {0};
    knl_item item;
    size_t byte = 0;
    clock_of clock;
    unsigned e;
    memset(state, 0, sizeof *state);
    for (index = 0; index < net->instructions; index++) {
        int status;
        byte = knl_decode(net, byte, &item);
        status = step(state, net, index, &item, &clock, &position, error);
        if (status)
            return status;
        for (; layer < net->general_count && knl_layer_place(net, layer) <= index; layer++)
            for (e = 0; e < ENGINES; e++) {
                waits[e] = 1;
                needed[e] = ended[e];
            }
        for (e = 0; waits[item.engine] && e < ENGINES; e++)
            if (e != item.engine && clock.ended[e] < needed[e])
                return knl_fault(net, index, &item, error,
                                 "may start while the host computes what comes before it: no token "
                                 "says that %s is done.",
                                 knl_engine_names[e]);
        waits[item.engine] = 0;
        ended[item.engine] = position;
    }
    return KNL_OK;
}

int knl_check_races(const knl_network *net, uint8_t *work, knl_error *error) {
    order *state = (order *)(void *)work;
    history memories[4];
    knl_item item;
    size_t byte = 0;
    uint32_t index;
    unsigned space;
    memset(state, 0, sizeof *state);
    work += aligned(sizeof *state);
    for (space = 0; space < 4; space++) {
        memories[space].segments = (segment *)(void *)work;
        memories[space].count = 1;
        memset(work, 0, sizeof(segment));
        work += (size_t)capacity(net, space) * sizeof(segment);
    }
    for (index = 0; index < net->instructions; index++) {
        knl_operand found[KNL_MOST_OPERANDS];
        clock_of clock;
        access who;
        unsigned count, i;
        int status;
        byte = knl_decode(net, byte, &item);
        status = step(state, net, index, &item, &clock, &who.position, error);
        if (status)
            return status;
        if (index < net->once) /* has ended before a frame begins */
            continue;
        who.index = index;
        count = knl_operands(&item, found);
        for (i = 0; i < count; i++) {
            uint64_t other = touch(&memories[found[i].space], &found[i], item.engine, who, &clock);
            if (other)
                return race(net, index, &item, &found[i], (uint32_t)(other - 1), error);
        }
    }
    return KNL_OK;
}
