/* Memory of this computer. */
#include <stdlib.h>

#include "ts_rne_plat_port.h"

void *TS_MPI_TRP_RNE_Alloc(TS_SIZE_T len) {
    return malloc(len ? len : 1);
}

void TS_MPI_TRP_RNE_Free(void *ptr) {
    free(ptr);
}

void *TS_MPI_TRP_RNE_AllocLinearMemCached(TS_SIZE_T len, TS_U32 flags) {
    (void)flags;
    return malloc(len ? len : 1);
}

void TS_MPI_TRP_RNE_FreeLinearMemCached(void *ptr) {
    free(ptr);
}

TS_S32 TS_MPI_TRP_RNE_CleanLinearMemCached(void *ptr, TS_SIZE_T len) {
    (void)ptr;
    (void)len;
    return TS_SUCCESS;
}

TS_S32 TS_MPI_TRP_RNE_InvalidateLinearMemCached(void *ptr, TS_SIZE_T len) {
    (void)ptr;
    (void)len;
    return TS_SUCCESS;
}

void *TS_MPI_TRP_RNE_VirtualToPhysicalAddress(void *ptr) {
    return ptr;
}

void *TS_MPI_TRP_RNE_PhysicalToVirtualAddress(void *ptr) {
    return ptr;
}
