/* Between codegen/lower/conv_packed.c and window.c. */
#ifndef TLBC_CODEGEN_LOWER_CONV_PACKED_H
#define TLBC_CODEGEN_LOWER_CONV_PACKED_H

#include "codegen/lower.h"

/* A ConvPacked with one channel per group and its kernel as the model has it: [M,1,taps...]. */
bool cg_lower_depthwise(cg *g, ir_node *n);

#endif
