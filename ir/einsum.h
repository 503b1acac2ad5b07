/* Equations of Einsum: which axes of the operands carry the same label.
 *
 *   "bij,bjk->bik"     terms [0,1,2], [0,2,3]; result [0,1,3]
 *   "...ii->...i"      of an operand of rank 4: term [0,1,2,2], result [0,1,2]
 *   "ij,jk"            no arrow: the dims of "..." and then the letters that occur once, in alphabetical order
 *
 * Labels are numbered in the order in which they are first seen. The axes that "..." stands for are aligned at the right, as in
 * broadcasting. */
#ifndef TLBC_IR_EINSUM_H
#define TLBC_IR_EINSUM_H

#include "ir/base/arena.h"
#include "ir/limits.h"

#include <stdbool.h>
#include <stdint.h>

enum { IR_EINSUM_MAX_LABELS = 64 }; /* sets of labels are masks of 64 bits */

typedef struct ir_einsum_term {
    int32_t rank;
    uint8_t label[IR_MAX_RANK];
} ir_einsum_term;

typedef struct ir_einsum {
    uint32_t n_terms, n_labels;
    ir_einsum_term *terms; /* one per operand */
    ir_einsum_term out;
} ir_einsum;

/* NULL, or what is wrong with the equation for operands of these ranks, in words. */
const char *ir_einsum_parse(ir_einsum *e, tl_arena *a, const char *equation, const int32_t *ranks,
                            uint32_t n_operands);
uint64_t ir_einsum_labels(const ir_einsum_term *t);
/* Axis of the label, or -1. */
int32_t ir_einsum_axis(const ir_einsum_term *t, uint32_t label);

#endif
