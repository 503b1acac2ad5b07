/* A Recur written from the inside: operands, then its body, then what that yields.
 *
 *   recur_draft d = recur_begin(&b, trips);
 *   ir_value *h = recur_add_carried(&d, h0), *x = recur_add_sliced(&d, xs, 0, false);     // carried values first
 *   ir_value *next = build_op2(&d.b, OP_Add, h, x);
 *   ir_node *r = recur_end(&d, (ir_value *[]){next, next}, 2, 0, false);                  // r->out: last h, all of them along axis 0
 */
#ifndef TLBC_PASSES_RECUR_BUILD_H
#define TLBC_PASSES_RECUR_BUILD_H

#include "ir/build.h"

enum { RECUR_DRAFT_SLICES = 8 };

typedef struct recur_draft {
    ir_builder b; /* in the body */
    ir_node *node;
    uint32_t n_carried, n_sliced;
    int64_t axes[RECUR_DRAFT_SLICES], reverse[RECUR_DRAFT_SLICES];
} recur_draft;

recur_draft recur_begin(ir_builder *outer, ir_value *trips);
/* Both return the parameter. The operand's type is known. */
ir_value *recur_add_carried(recur_draft *d, ir_value *initial);
ir_value *recur_add_sliced(recur_draft *d, ir_value *x, int64_t axis, bool reverse);
/* The carried values' new ones, then elements of stacked outputs, all along one axis in one direction. */
ir_node *recur_end(recur_draft *d, ir_value *const *results, uint32_t n, int64_t axis,
                   bool reverse);

#endif
