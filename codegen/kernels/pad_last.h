/* A copy with channels last (codegen/layout.h) and zeros around the spatial axes, which a convolution reads without tests.
 *
 *   x [N,H,W,C] as a view, any strides      ->      [N, before+H+after, before+W+after, C], dense
 *
 * A unit is a row of the copy. Rows that lie in the operand as they do in the copy are moved in vectors. */
#ifndef TLBC_CODEGEN_KERNELS_PAD_LAST_H
#define TLBC_CODEGEN_KERNELS_PAD_LAST_H

#include "codegen/lower.h"
#include "ir/window.h"

/* x: f32, permuted to channels last */
const cg_view *cg_pad_last(cg *g, const cg_view *x, const ir_window *w);

#endif
