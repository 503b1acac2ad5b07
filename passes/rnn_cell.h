/* One step of a recurrent layer as elementwise operators and products with the state: the body of the Recur that recur_from_rnn makes. */
#ifndef TLBC_PASSES_RNN_CELL_H
#define TLBC_PASSES_RNN_CELL_H

#include "ir/rnn.h"
#include "passes/recur_build.h"

/* One direction's weights, all made outside of the loop. */
typedef struct rnn_cell {
    op_id op;
    const ir_rnn *spec;
    const ir_rnn_activation *functions;
    ir_value *r; /* [hidden, gates * hidden] */
    ir_value *
        r_candidate; /* GRU whose reset gate comes before the product: r has two gates then, this the third */
    ir_value *state_bias;   /* GRU whose reset gate scales it: [3 * hidden]; NULL = none */
    ir_value *peepholes[3]; /* i o f: [hidden]; NULL = none */
} rnn_cell;

/* x: what the input gave to the gates. Returns the new h; c, *next_c: of an LSTM. */
ir_value *rnn_cell_step(const rnn_cell *k, ir_builder *b, ir_value *x, ir_value *h, ir_value *c,
                        ir_value **next_c);

#endif
