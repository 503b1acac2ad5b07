/* Convolution of bytes with one channel per group and channels last: channels are the lanes of vectors, so that nothing moves across lanes.
 *
 *   for blocks of positions                 where their taps read (places.h)
 *     for positions
 *       for vectors of channels             acc += (x[tap 0], x[tap 1]) . (w[0], w[1]), two taps a step (`dot2`), then the epilogue
 *
 * The weight is i32[ceil(taps/2), C], each lane two i16: so weights less their zero points fit, which take nine bits. Sums are exact.
 *
 * Roofline on AVX2, 3x3: 8 channels take 9 loads, 4 interleavings, 5 widenings, 5 products, 5 sums, then the epilogue. */
#ifndef TLBC_CODEGEN_KERNELS_DEPTHWISE_BYTES_H
#define TLBC_CODEGEN_KERNELS_DEPTHWISE_BYTES_H

#include "codegen/kernels/epilogue.h"
#include "codegen/kernels/places.h"

typedef struct cg_depthwise {
    cg *g;
    ir_node *node;
    ir_window window;
    const cg_view *x; /* u8[N,...,C] */
    const cg_view *w; /* i32[ceil(taps/2),C] */
    const cg_view *y; /* [positions,C] */
    int64_t channels, taps, pad;
    cg_epilogue epilogue; /* views [positions,C] */
} cg_depthwise;

void cg_depthwise_bytes(cg_depthwise *d);
/* Where the taps of its positions read, in kernel k. */
cg_places cg_depthwise_places(const cg_depthwise *d, cg_kernel *k);

#endif
