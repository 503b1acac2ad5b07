/* MaxPool of bytes with channels last: the largest under the taps of each window (places.h), 32 channels at a time. */
#ifndef TLBC_CODEGEN_KERNELS_POOL_BYTES_H
#define TLBC_CODEGEN_KERNELS_POOL_BYTES_H

#include "codegen/kernels/places.h"

typedef struct cg_pool_bytes {
    cg *g;
    ir_node *node;
    const ir_window *window;
    const cg_view *x; /* u8 or i8 [N,...,C], channels contiguous */
    const cg_view *y; /* [positions,C], the same */
    int64_t channels, taps;
} cg_pool_bytes;

void cg_max_pool_bytes(cg_pool_bytes *p);

#endif
