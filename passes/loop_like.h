/* Loop, Scan and Recur seen alike: carried values, outputs collected per step, a body.
 *
 *            operands               body parameters         body results              results
 *   Loop     M, cond, carried       iter, cond, carried     cond, carried, stacked    carried, stacked
 *   Scan     carried, sliced        carried, sliced         carried, stacked          carried, stacked
 *   Recur    trips, carried, sliced iter, carried, sliced   carried, stacked          carried, stacked
 */
#ifndef TLBC_PASSES_LOOP_LIKE_H
#define TLBC_PASSES_LOOP_LIKE_H

#include "passes/pass.h"

typedef struct loop_like {
    ir_node *node;
    ir_region *body;
    uint32_t n_carried, n_sliced, n_stacked;
    uint32_t first_in, first_param,
        first_result; /* of the carried values; results of the node start with them */
} loop_like;

/* false where n is none of them, or is malformed. */
bool loop_like_get(ir_node *n, loop_like *l);

static inline ir_value *loop_initial(const loop_like *l, uint32_t i) {
    return l->node->in[l->first_in + i].value;
}
static inline ir_value *loop_param(const loop_like *l, uint32_t i) {
    return l->body->params[l->first_param + i];
}
/* What the body hands to the next step. */
static inline ir_value *loop_update(const loop_like *l, uint32_t i) {
    return ir_region_result(l->body, l->first_result + i);
}
/* What is sliced, and this step's slice. */
static inline ir_value *loop_sliced(const loop_like *l, uint32_t i) {
    return l->node->in[l->first_in + l->n_carried + i].value;
}
static inline ir_value *loop_slice(const loop_like *l, uint32_t i) {
    return l->body->params[l->first_param + l->n_carried + i];
}
static inline ir_value *loop_stacked(const loop_like *l, uint32_t i) {
    return ir_region_result(l->body, l->first_result + l->n_carried + i);
}

/* The condition of a Loop never ends it: true at the start, handed on or true in every step. */
bool loop_is_counted(const loop_like *l);
/* A Loop's counter in its body's known contents, NULL where inference made none. */
const ir_dim *loop_counter(const loop_like *l);
/* The insertion that makes the next state of carried value i, where that is a list that starts empty and is nothing but
 * appended to in the body; else NULL. */
ir_node *loop_list_insert(const loop_like *l, uint32_t i);
/* d with `symbol` (a dimension that is one) replaced by v. */
const ir_dim *dim_replace(ir_ctx *c, const ir_dim *d, const ir_dim *symbol, const ir_dim *v);

/* Replaces the node by one without the carried values and stacked outputs whose keep[] is false (n_carried + n_stacked of them).
 * Their results and parameters must be unused. Slices of a Recur that nobody reads go as well. Returns the new node. */
ir_node *loop_like_shrink(pass_ctx *ctx, const loop_like *l, const bool *keep);

void recur_set_carries(pass_ctx *ctx, ir_node *n, uint32_t count);

/* A copy of n with these operands, and with its regions moved there; results whose keep[] is false are left out. Takes n's place. */
ir_node *node_rebuild(pass_ctx *ctx, ir_node *n, ir_value *const *in, uint32_t n_in,
                      const bool *keep);
/* Another operator with these operands, n's regions and results, and no attributes. Takes n's place; n is out
 * of the graph, but can still be asked for its attributes. */
ir_node *node_become(pass_ctx *ctx, ir_node *n, op_id op, ir_value *const *in, uint32_t n_in);

#endif
