/* One node of a Recur's body for all rounds at once: its operands, which have one value for each round, come stacked along a new
 * leading axis, and so do the results.
 *
 *   body:     %y = MatMul(%x, @w)        x: f32[4,16]            %s = Softmax<axis=1>(%y)
 *   widened:  %Y = MatMul(%X, @w)        X: f32[n,4,16]          %S = Softmax<axis=-1>(%Y)
 *
 * Every element is computed as before, from the same operands in the same order: not a bit changes. What has no rule here stays in
 * the body. */
#ifndef TLBC_PASSES_RECUR_WIDEN_H
#define TLBC_PASSES_RECUR_WIDEN_H

#include "passes/recur.h"

typedef struct widening {
    pass_ctx *ctx;
    const loop_like
        *loop; /* NULL: everything that varies is given by widening_set or made by a rule */
    const ir_graph *graph;
    const ir_dim *trips;
    bool reverse;    /* position p along the new axis is round trips - 1 - p */
    tl_map values;   /* ir_value * of the body -> ir_value *: stacked */
    uint32_t varies; /* mark of the values that may differ from round to round */
} widening;

void widening_init(widening *w, pass_ctx *ctx, const loop_like *l);
/* For `rounds` of them only: what stands for the body's parameters is given by widening_set. */
void widening_init_part(widening *w, pass_ctx *ctx, const loop_like *l, const ir_dim *rounds);
/* Without a loop: of whole graphs, which are to be done for `count` sets of inputs at once (passes/batch_streams.c). */
void widening_init_graph(widening *w, pass_ctx *ctx, const ir_graph *g, const ir_dim *count);
void widening_set(widening *w, ir_value *v, ir_value *stacked);
/* Marks v as different in every round, and so what nodes make of it; widening_set does it for parameters. */
void widening_mark(widening *w, ir_value *v);
/* v has one value for all rounds. */
bool widening_is_fixed(const widening *w, const ir_value *v);
/* Types of v are known, its sizes computable before the loop, and there is room for one more axis. */
bool widening_is_shaped(const widening *w, const ir_value *v);
/* v for all rounds, also where it is the same in all: then it is stretched. */
ir_value *widening_get_all(widening *w, ir_builder *b, ir_value *v);
/* There is a rule, if all operands that vary come stacked. */
bool widening_has_rule(const widening *w, const ir_node *n);
/* Builds the widened node at b; its results are noted in `values`. */
void widening_apply(widening *w, ir_builder *b, ir_node *n);
/* The stacked form of v: a result of widening_apply, or a view of what is sliced, made at b, or the counters of all rounds; NULL
 * for others. */
ir_value *widening_get(widening *w, ir_builder *b, ir_value *v);
/* Whether widening_get will find or make one. */
bool widening_can_get(const widening *w, const ir_value *v);

#endif
