/* Fuzz target: RegexFullMatch. The first line is the pattern, of a model that nobody trusts, the rest the text. Any bytes end in a verdict
 * or in a message; a text that matches P matches (?:P)(?:) and (?:P){1} too, and no other does. */
#include "runtime/calls/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_MEMORY = 1 << 24 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *allocate(void *context, size_t bytes) {
    (void)context;
    return bytes > MOST_MEMORY ? NULL : aligned_alloc(64, (bytes + 63) & ~(size_t)63);
}

static void release(void *context, void *memory) {
    (void)context;
    free(memory);
}

/* 1: matches, 0: does not, -1: refused. */
static int match(tlbc_string pattern, tlbc_string text) {
    tlbc_rt_attr attr = {"pattern", TLBC_RT_STRINGS, 1, &pattern};
    tlbc_tensor x = {.data = &text, .bytes = sizeof text, .dtype = TLBC_STRING};
    tlbc_tensor y = {.dtype = TLBC_BOOL};
    const tlbc_tensor *in[] = {&x};
    tlbc_rt_heap heap = {.allocate = allocate, .release = release};
    tlbc_rt_call c = {
        .in = in, .out = &y, .attrs = &attr, .n_in = 1, .n_out = 1, .n_attrs = 1, .heap = &heap};
    int result = tlbc_rt_op_RegexFullMatch(&c) ? *(const uint8_t *)y.data : -1;
    if (result < 0 && !c.message[0]) {
        fprintf(stderr, "refused without a message\n");
        abort();
    }
    tlbc_rt_heap_release(&heap);
    return result;
}

/* A longer pattern may be refused where the other is at a limit. */
static void check_same(int found, tlbc_string pattern, tlbc_string text, const char *behind) {
    size_t n = strlen(behind);
    char *longer = malloc(pattern.len + n + 3);
    if (!longer) abort();
    memcpy(longer, "(?:", 3);
    memcpy(longer + 3, pattern.data, pattern.len);
    memcpy(longer + 3 + pattern.len, behind, n);
    int again = match((tlbc_string){longer, pattern.len + 3 + n}, text);
    free(longer);
    if (again < 0 || found == again) return;
    fprintf(stderr, "%d, and %d with '%s' around the pattern\n", found, again, behind);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *bytes = (const char *)data;
    const char *line = size ? memchr(bytes, '\n', size) : NULL;
    size_t n = line ? (size_t)(line - bytes) : size;
    tlbc_string pattern = {bytes, n};
    tlbc_string text = {line ? line + 1 : bytes + size, line ? size - n - 1 : 0};
    int found = match(pattern, text);
    if (found < 0) return 0;
    check_same(found, pattern, text, ")(?:)");
    check_same(found, pattern, text, "){1}");
    return 0;
}
