/* Reference evaluation: every operator as a plain loop, simple and slow on purpose. Used for constant folding, for
 * `tlbc verify`, and as the oracle of differential tests. Transcendental functions come from the C library in double
 * precision and are rounded once, so that the oracle is better than what it judges. */
#ifndef TLBC_IR_EVAL_H
#define TLBC_IR_EVAL_H

#include "ir/ir.h"

/* A run-time value: a tensor, a sequence, an optional (with or without content), a map. */
typedef struct ir_datum ir_datum;
struct ir_datum {
    const ir_tensor *tensor; /* tensors */
    bool is_sequence, is_optional, is_map, has_value;
    uint32_t n; /* sequence: items; optional: 0 or 1; map: 2, a tensor of keys and one of values */
    ir_datum *items;
};

struct ir_eval {
    ir_ctx *ctx;        /* types, diagnostics */
    tl_arena *arena;    /* results live here */
    uint64_t seed;      /* as tlbc_session_options have it */
    uint64_t max_bytes; /* of one result; 0 = no limit. Constant folding sets IR_MAX_FOLD_BYTES */
    struct ir_eval_frame *frame; /* values of the regions being run */
    /* Values of dimension symbols, bound from the inputs' shapes. */
    tl_map symbols; /* interned name -> int64 */
    tl_map
        binders; /* interned name -> the node whose result gave it its value; absent: the inputs */
    /* Called after each node, those of regions too, where not NULL. It may replace results: what follows is computed from those. So
     * `tlbc verify` judges each node on the operands that compiled code had, and rounding does not add up along the graph. */
    void (*on_node)(void *data, const ir_node *n, ir_datum *out);
    void *on_node_data;
};

void ir_eval_init(ir_eval *e, ir_ctx *c, tl_arena *a);
/* Runs a graph: n_inputs data in parameter order, results in output order; states are like inputs and outputs. false after reporting
 * to ctx->diag. Input shapes bind the dimension symbols and are checked against the declared types. */
bool ir_eval_graph(ir_eval *e, const ir_graph *g, const ir_datum *const *inputs, ir_datum *outputs);
/* The same for a step function, without the states among inputs and outputs: states[] holds what they are before the step, and is
 * replaced by what they are behind it. An empty datum stands for the initial value. eval/step.c */
bool ir_eval_step(ir_eval *e, const ir_graph *g, const ir_datum *const *inputs, ir_datum *states,
                  ir_datum *outputs);
/* Runs one node on given operands (NULL = omitted). */
bool ir_eval_node(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out);
/* Runs a region (If branch, Loop body, epilogue) with these parameters. */
bool ir_eval_region(ir_eval *e, const ir_region *r, const ir_datum *const *params,
                    ir_datum *results);
/* True where every operand is a constant and the operator may be evaluated now; the results are then in out[]. */
bool ir_eval_can_fold(const ir_node *n);
bool ir_eval_knows(op_id op); /* has a function of its own here */

/* For eval functions: a fresh tensor of this shape (checked against max_bytes; NULL after reporting). */
ir_tensor *ir_eval_tensor(ir_eval *e, const ir_node *n, ir_dtype t, int32_t rank,
                          const int64_t *dims);

#endif
