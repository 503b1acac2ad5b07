/* Counts the allocations of a test program that is linked with -Wl,--wrap for malloc, calloc, realloc and aligned_alloc. One file of the
 * program includes this.
 *
 *   int before = allocations;
 *   ...
 *   CHECK_EQ(allocations, before); */
#ifndef TLBC_TESTS_SUPPORT_COUNT_ALLOCATIONS_H
#define TLBC_TESTS_SUPPORT_COUNT_ALLOCATIONS_H

#include <stddef.h>

static int allocations;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);

void *__wrap_malloc(size_t n) {
    return allocations++, __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t size) {
    return allocations++, __real_calloc(n, size);
}
void *__wrap_realloc(void *p, size_t n) {
    return allocations++, __real_realloc(p, n);
}
void *__wrap_aligned_alloc(size_t align, size_t n) {
    return allocations++, __real_aligned_alloc(align, n);
}

#endif
