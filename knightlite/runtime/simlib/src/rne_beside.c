/* Networks beside each other on one chip: what one leaves in WSPM or MSPM is no other's. */
#include "inner.h"

static inner *loaded; /* the first of those that use the chip */

static int check_pair(const inner *one, const inner *other, unsigned memory) {
    uint64_t first, last, begin, end;
    int stays = knl_scratchpad(&one->net, memory, &first, &last);
    stays |= knl_scratchpad(&other->net, memory, &begin, &end);
    if (!stays || first >= end || begin >= last)
        return TS_SUCCESS;
    TS_MPI_TRP_RNE_Error("network %.*s uses bytes %lu to %lu of %s, and %.*s %lu to %lu, of which "
                         "some stay there: compile with other offsets.",
                         (int)one->net.name.length, one->net.name.bytes, (unsigned long)first,
                         (unsigned long)last, memory == KNL_WSPM ? "WSPM" : "MSPM",
                         (int)other->net.name.length, other->net.name.bytes, (unsigned long)begin,
                         (unsigned long)end);
    return TS_FAILURE;
}

int is_kept(const inner *it) {
    uint64_t first, last;
    return knl_scratchpad(&it->net, KNL_WSPM, &first, &last) ||
           knl_scratchpad(&it->net, KNL_MSPM, &first, &last);
}

int use_chip(inner *it) {
    const inner *other;
    for (other = loaded; other; other = other->next)
        if (other != it &&
            (check_pair(it, other, KNL_WSPM) || check_pair(it, other, KNL_MSPM)))
            return TS_FAILURE;
    if (!it->uses_chip) {
        it->next = loaded;
        loaded = it;
        it->uses_chip = 1;
    }
    return TS_SUCCESS;
}

void leave_chip(inner *it) {
    inner **at = &loaded;
    while (*at && *at != it)
        at = &(*at)->next;
    if (*at)
        *at = it->next;
    it->uses_chip = 0;
}
