/* AddressSanitizer's books of memory that we share out ourselves: TL_ASAN and its two macros, which are nothing in other builds.
 *
 *   ASAN_POISON_MEMORY_REGION(p, n)      nobody may touch these bytes from now on
 *   ASAN_UNPOISON_MEMORY_REGION(p, n)    they belong to somebody again
 *
 * The runtime, which includes nothing of ours, has the same in runtime/calls/heap.c. */
#ifndef TLBC_IR_BASE_ASAN_H
#define TLBC_IR_BASE_ASAN_H

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define TL_ASAN
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define TL_ASAN
#endif

#ifdef TL_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#endif
