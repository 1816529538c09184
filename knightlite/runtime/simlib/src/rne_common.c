/* Sentences, time, versions, memory: what knows no network. */
#define _POSIX_C_SOURCE 199309L

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "inner.h"

static RNE_LOG_E level = RNE_LOG_ERROR;

void TS_MPI_TRP_RNE_SetLogLevel(RNE_LOG_E wanted) {
    level = wanted;
}

RNE_LOG_E TS_MPI_TRP_RNE_GetLogLevel(void) {
    return level;
}

static void say(RNE_LOG_E of, const char *form, va_list given) {
    if (of < level)
        return;
    vfprintf(stderr, form, given);
    fputc('\n', stderr);
}

#define SAYS(name, of)                                                                             \
    void name(const TS_CHAR *form, ...) {                                                          \
        va_list given;                                                                             \
        va_start(given, form);                                                                     \
        say(of, form, given);                                                                      \
        va_end(given);                                                                             \
    }

SAYS(TS_MPI_TRP_RNE_Debug, RNE_LOG_DEBUG)
SAYS(TS_MPI_TRP_RNE_Info, RNE_LOG_INFO)
SAYS(TS_MPI_TRP_RNE_Warn, RNE_LOG_WARN)
SAYS(TS_MPI_TRP_RNE_Error, RNE_LOG_ERROR)

const TS_CHAR *TS_MPI_TRP_RNE_GetSdkVersion(void) {
    return "knightlite";
}

TS_U32 TS_MPI_TRP_RNE_GetSysTimeUs(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (TS_U32)((uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u);
}

TS_U32 TS_MPI_TRP_RNE_GetSysTimeMs(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (TS_U32)((uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u);
}

TS_S32 TS_MPI_TRP_RNE_StartSysTimer(void) {
    return TS_SUCCESS;
}

TS_S32 TS_MPI_TRP_RNE_ResetTimeState(RNE_TIME_STATES_S *state) {
    if (!state)
        return TS_FAILURE;
    memset(state, 0, sizeof *state);
    return TS_SUCCESS;
}

TS_S32 TS_MPI_TRP_RNE_InitTimeState(TS_U32 gpNum, RNE_TIME_STATES_S *state) {
    (void)gpNum;
    return TS_MPI_TRP_RNE_ResetTimeState(state);
}

TS_S32 TS_MPI_TRP_RNE_ReleaseTimeState(RNE_TIME_STATES_S *state) {
    return TS_MPI_TRP_RNE_ResetTimeState(state);
}

TS_U64 TS_MPI_TRP_RNE_GetTotalTime(RNE_TIME_STATES_S *state) {
    return state ? state->u64Forward : 0;
}

TS_U64 TS_MPI_TRP_RNE_GetTimeOfForward(RNE_TIME_STATES_S *state) {
    return state ? state->u64Forward : 0;
}

TS_U64 TS_MPI_TRP_RNE_GetTimeOfGpLayer(RNE_TIME_STATES_S *state) {
    return state ? state->u64Gp : 0;
}

TS_U64 TS_MPI_TRP_RNE_GetTimeOfHwLayer(RNE_TIME_STATES_S *state) {
    return state ? state->u64Hw : 0;
}
