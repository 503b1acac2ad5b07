/* Making and changing a Recur (docs/IR.md): what the passes recur_* share. */
#ifndef TLBC_PASSES_RECUR_H
#define TLBC_PASSES_RECUR_H

#include "passes/loop_like.h"

/* A parameter in front of the others. */
ir_value *region_prepend_param(ir_region *r, const ir_type *type, const char *name);
/* Entry i of a list of axes or flags; 0 where there is no list. */
int64_t recur_list_at(const ir_node *n, const char *list, uint32_t i);
/* Sets a list; one of zeros need not be there and is not. */
void recur_set_list(pass_ctx *ctx, ir_node *n, const char *list, const int64_t *v, uint32_t count);
/* Slices of v along an axis: a new operand and its parameter, which inference has to give a type. The lists keep step. */
ir_value *recur_add_slice(pass_ctx *ctx, ir_node *n, ir_value *v, int64_t axis, bool reverse);
/* A stacked output of this value of the body; returns its number among the results, which have moved. */
uint32_t recur_add_stacked(pass_ctx *ctx, ir_node *n, ir_value *element, int64_t axis,
                           bool reverse);
/* The number of rounds as an expression over sizes; NULL where it is data. */
const ir_dim *recur_trips(ir_ctx *c, const ir_node *n);
/* A part of a tensor that moves with the counter: `extent` elements along `axis`, from first + extent * (round's position). */
typedef struct recur_window {
    int32_t axis;
    int64_t extent;
    const ir_dim *first; /* of the smallest position */
    bool reverse;
} recur_window;
/* start, a function of the counter, moves by `extent` each round, up or down: fills in w. */
bool recur_find_window(ir_ctx *c, const loop_like *l, const ir_dim *start, int64_t extent,
                       recur_window *w);
/* The windows of all rounds together are elements first to last - 1 of the axis; *whole: of `size`. False where they might be
 * beyond it, or cannot be computed before the Recur. */
bool recur_window_range(ir_ctx *c, const loop_like *l, const recur_window *w, const ir_dim *size,
                        const ir_dim **last, bool *whole);
/* For remarks: the name of the node's first result. */
const char *node_name(const ir_node *n);
/* Carried values keep their types from step to step, as a Recur's do. */
bool loop_types_are_fixed(const loop_like *l);

#endif
