/* Basic types of the vendor's interface, written from its public documentation. */
#ifndef TS_TYPE_H
#define TS_TYPE_H

#include <stddef.h>
#include <stdint.h>

typedef uint8_t TS_U8;
typedef uint16_t TS_U16;
typedef uint32_t TS_U32;
typedef uint64_t TS_U64;
typedef int8_t TS_S8;
typedef int16_t TS_S16;
typedef int32_t TS_S32;
typedef int64_t TS_S64;
typedef char TS_CHAR;
typedef float TS_FLOAT;
typedef double TS_DOUBLE;
typedef size_t TS_SIZE_T;
typedef void TS_VOID;

#ifndef TS_NULL
#define TS_NULL NULL
#endif
#define TS_SUCCESS 0
#define TS_FAILURE (-1)

#endif
