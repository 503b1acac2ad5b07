/* Recurrent layers: x[steps,batch,input] by w[directions,gates*hidden,input] and r[directions,gates*hidden,hidden]. Layout 1 has the
 * batch in front. */
#include "ir/rnn.h"

#include "ir/infer/infer.h"

typedef struct sizes {
    const ir_dim *steps, *batch, *input, *hidden, *directions, *rows; /* rows: gates * hidden */
} sizes;

/* A dim of an operand, "?" where it is omitted or of unknown rank. */
static const ir_dim *dim_of(ir_ctx *c, const ir_node *n, uint32_t i, int32_t axis) {
    return infer_is_ranked(n, i) ? infer_in(n, i)->dims[axis] : ir_dim_unknown(c);
}

static bool read_sizes(ir_ctx *c, const ir_node *n, const ir_rnn *r, sizes *s) {
    for (uint32_t i = RNN_X; i <= RNN_R; i++)
        if (infer_is_ranked(n, i) && !infer_expect_rank(c, n, i, 3)) return false;
    s->steps = dim_of(c, n, RNN_X, r->batch_first ? 1 : 0);
    s->batch = dim_of(c, n, RNN_X, r->batch_first ? 0 : 1);
    s->input = dim_of(c, n, RNN_X, 2);
    s->directions = ir_dim_const(c, r->directions);
    s->hidden = r->hidden ? ir_dim_const(c, r->hidden) : dim_of(c, n, RNN_R, 2);
    s->rows = ir_dim_mul(c, ir_dim_const(c, r->gates), s->hidden);
    return true;
}

static bool check_operands(ir_ctx *c, const ir_node *n, const ir_rnn *r, const sizes *s) {
    const ir_dim *biases = ir_dim_mul(c, s->rows, ir_dim_const(c, 2)),
                 *peepholes = ir_dim_mul(c, s->hidden, ir_dim_const(c, 3));
    const ir_dim *w[] = {s->directions, s->rows, s->input},
                 *state_weight[] = {s->directions, s->rows, s->hidden},
                 *bias[] = {s->directions, biases}, *p[] = {s->directions, peepholes};
    const ir_dim *state[] = {r->batch_first ? s->batch : s->directions,
                             r->batch_first ? s->directions : s->batch, s->hidden};
    return infer_expect_dims(c, n, RNN_W, w, 3) &&
           infer_expect_dims(c, n, RNN_R, state_weight, 3) &&
           infer_expect_dims(c, n, RNN_B, bias, 2) &&
           infer_expect_dims(c, n, RNN_LENGTHS, &s->batch, 1) &&
           infer_expect_dims(c, n, RNN_INITIAL_H, state, 3) &&
           infer_expect_dims(c, n, RNN_INITIAL_C, state, 3) && infer_expect_dims(c, n, RNN_P, p, 2);
}

static bool set_results(ir_ctx *c, ir_node *n, const ir_rnn *r, const sizes *s) {
    ir_dtype t = infer_in(n, RNN_X)->dtype;
    ir_shape y = {4, {s->steps, s->directions, s->batch, s->hidden}},
             last = {3, {s->directions, s->batch, s->hidden}};
    if (r->batch_first) {
        y = (ir_shape){4, {s->batch, s->steps, s->directions, s->hidden}};
        last = (ir_shape){3, {s->batch, s->directions, s->hidden}};
    }
    return infer_set_shape(c, n, RNN_Y, t, &y) && infer_set_shape(c, n, RNN_LAST_H, t, &last) &&
           infer_set_shape(c, n, RNN_LAST_C, t, &last);
}

bool infer_rnn(ir_ctx *c, ir_node *n) {
    ir_rnn r;
    sizes s;
    const char *problem = ir_rnn_read(&r, c, n);
    if (problem) return diag_error(&c->diag, n->loc, "%s", problem);
    return read_sizes(c, n, &r, &s) && check_operands(c, n, &r, &s) && set_results(c, n, &r, &s);
}
