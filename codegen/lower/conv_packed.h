/* Between codegen/lower/conv_packed.c, conv_last.c and window.c. */
#ifndef TLBC_CODEGEN_LOWER_CONV_PACKED_H
#define TLBC_CODEGEN_LOWER_CONV_PACKED_H

#include "codegen/lower.h"

/* A ConvPacked whose weight is in rows of CG_CONV_PANEL features. */
bool cg_lower_conv_last(cg *g, ir_node *n);
/* A ConvPacked with one channel per group. Its kernel is as the model has it, [M,1,taps...], or has features side by side: [1, taps * M]. */
bool cg_lower_depthwise(cg *g, ir_node *n);
/* Of a group; 0 where the operand's are not known. */
int64_t cg_conv_channels(const ir_node *n);

#endif
