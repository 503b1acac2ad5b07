/* The C header of one compiled model: names, sizes as constants, typed functions. Works from C99 and C++.
 *
 *   digits_run(session, image, logits);                        // const float *image, float *logits
 *   seq_run(session, batch, x, y);                             // a parameter for every symbolic dimension
 *   float image[DIGITS_IMAGE_ELEMENTS]; */
#ifndef TLBC_CODEGEN_HEADER_H
#define TLBC_CODEGEN_HEADER_H

#include "ir/ir.h"

/* `name`: a C identifier, prefix of all that is declared. The inputs and outputs are tensors of known rank. */
void cg_header_print(const ir_module *m, const char *name, tl_str *out);

#endif
