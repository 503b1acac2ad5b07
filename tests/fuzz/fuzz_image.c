/* Fuzz target: the files that ImageDecoder is given. Any bytes end in pixels or in one message, and so do 48 damaged copies of them. The
 * corpus begins with the files of ONNX's own tests of the operator. */
#include "runtime/calls/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DAMAGED = 48, MOST_MEMORY = 1 << 26 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *allocate(void *context, size_t bytes) {
    (void)context;
    return bytes > MOST_MEMORY ? NULL : aligned_alloc(64, (bytes + 63) & ~(size_t)63);
}

static void release(void *context, void *memory) {
    (void)context;
    free(memory);
}

static bool decode(const uint8_t *data, size_t size, const char *format) {
    tlbc_string text = {format, strlen(format)};
    tlbc_rt_attr attr = {"pixel_format", TLBC_RT_STRINGS, 1, &text};
    tlbc_tensor x = {.data = (void *)(uintptr_t)data,
                     .bytes = size,
                     .dtype = TLBC_U8,
                     .rank = 1,
                     .dims = {(int64_t)size}};
    tlbc_tensor y = {.dtype = TLBC_U8};
    const tlbc_tensor *in[] = {&x};
    tlbc_rt_heap heap = {.allocate = allocate, .release = release};
    tlbc_rt_call c = {
        .in = in, .out = &y, .attrs = &attr, .n_in = 1, .n_out = 1, .n_attrs = 1, .heap = &heap};
    bool ok = tlbc_rt_op_ImageDecoder(&c);
    bool whole = y.rank == 3 && y.data && y.dims[2] == (strcmp(format, "Grayscale") ? 3 : 1);
    if (ok ? !whole : !c.message[0]) {
        fprintf(stderr, "neither pixels nor a message\n");
        abort();
    }
    tlbc_rt_heap_release(&heap);
    return ok;
}

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void damage(uint8_t *copy, size_t size, uint32_t *state) {
    uint32_t places = 1 + next_random(state) % 4;
    for (uint32_t i = 0; i < places; i++)
        copy[next_random(state) % (next_random(state) % 2 && size > 64 ? 64 : size)] = (uint8_t)
            next_random(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const formats[] = {"RGB", "BGR", "Grayscale"};
    uint32_t state = (uint32_t)size;
    for (int i = 0; i < 3; i++)
        decode(data, size, formats[i]);
    for (int i = 0; size && i < DAMAGED; i++) {
        size_t length = i % 4 ? size : 1 + next_random(&state) % size;
        uint8_t *copy = malloc(length);
        if (!copy) abort();
        memcpy(copy, data, length);
        damage(copy, length, &state);
        decode(copy, length, formats[i % 3]);
        free(copy);
    }
    return 0;
}
