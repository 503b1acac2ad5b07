/* Sums of the bytes under windows of an image with channels last: ConvBytes by a weight of ones for one feature. What a product owes to zero
 * points of its weight.
 *
 *   for blocks of positions             where their taps read (places.h)
 *     for positions, taps               32 bytes a step: four to a lane, products by 1 (`dot4n`), the lanes added at the end */
#ifndef TLBC_CODEGEN_KERNELS_BYTE_SUMS_H
#define TLBC_CODEGEN_KERNELS_BYTE_SUMS_H

#include "codegen/kernels/depthwise_bytes.h"

/* w is not read; y [positions,1]. */
void cg_byte_sums(cg_depthwise *d);

#endif
