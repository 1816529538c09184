/* What the library says, on stderr. */
#ifndef TS_RNE_LOG_H
#define TS_RNE_LOG_H

#include "ts_type.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    RNE_LOG_DEBUG = 0,
    RNE_LOG_INFO,
    RNE_LOG_WARN,
    RNE_LOG_ERROR,
    RNE_LOG_NONE
} RNE_LOG_E;

void TS_MPI_TRP_RNE_SetLogLevel(RNE_LOG_E level);
RNE_LOG_E TS_MPI_TRP_RNE_GetLogLevel(void);
void TS_MPI_TRP_RNE_Debug(const TS_CHAR *form, ...);
void TS_MPI_TRP_RNE_Info(const TS_CHAR *form, ...);
void TS_MPI_TRP_RNE_Warn(const TS_CHAR *form, ...);
void TS_MPI_TRP_RNE_Error(const TS_CHAR *form, ...);

#ifdef __cplusplus
}
#endif

#endif
