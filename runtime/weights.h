/* Weights of a model: embedded in it, or in a side file in the same folder, mapped read-only and shared between processes. */
#ifndef TLBC_RUNTIME_WEIGHTS_H
#define TLBC_RUNTIME_WEIGHTS_H

#include "runtime/abi.h"

typedef struct tlbc_rt_weights {
    const void *data; /* 64-byte aligned */
    void *map;        /* NULL: embedded */
    size_t map_bytes;
} tlbc_rt_weights;

/* TLBC_ERROR_IO: the side file cannot be read. TLBC_ERROR_VERSION: it belongs to another compilation. */
tlbc_status tlbc_rt_weights_open(const tlbc_model *m, tlbc_rt_weights *w);
void tlbc_rt_weights_release(tlbc_rt_weights *w);

/* File the model's descriptor was loaded from; NULL where that is not known. Lives as long as the model is loaded. */
const char *tlbc_rt_library_path(const tlbc_model *m);

#endif
