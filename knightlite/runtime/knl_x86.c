/* Kernels for other processors: none. */
#include "knl_core.h"

unsigned knl_best_kernels(void) {
    return KNL_SCALAR;
}

uint64_t knl_vector_bytes(const knl_network *net, const knl_item *item) {
    (void)net;
    (void)item;
    return 0;
}

void knl_vector_matrix(knl_network *net, const knl_item *item) {
    knl_run_matrix(net, item);
}
