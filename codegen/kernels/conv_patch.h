/* The patches of a packed convolution: for a panel of positions of the result, x under every tap of every channel.
 *
 *   to[(tap * channels + c) * panel + i] = x[sample, first channel of the group + c, position i's element under the tap], 0 in the padding
 *
 * Positions run along the last axis and on in the next row. A run of them in one row is copied in vectors: contiguous ones by loads of
 * as many elements as there are, which read nothing outside, others by strided loads where all are inside, else one by one. */
#ifndef TLBC_CODEGEN_KERNELS_CONV_PATCH_H
#define TLBC_CODEGEN_KERNELS_CONV_PATCH_H

#include "codegen/kernels/conv_packed.h"

typedef struct cg_conv_patch {
    cg_conv *c;
    cg_kernel *k;
    unsigned lanes;
    int64_t panel;
    lp_value *sample, *group, *first, *positions; /* panel: its first position and their number */
    lp_value *to;                                 /* room for a vector more */
} cg_conv_patch;

void cg_conv_pack_patch(cg_conv_patch *p);

#endif
