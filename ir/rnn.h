/* What the attributes of RNN, GRU and LSTM say, read once for inference, the evaluator and the pass recur_from_rnn.
 *
 *   LSTM<direction="bidirectional", activations=["Sigmoid","Tanh","Tanh","Sigmoid","HardSigmoid","Tanh"], activation_alpha=[0.3]>
 *     -> two directions of four gates, i o f c; functions f g h of each; 0.3 belongs to the HardSigmoid
 *
 * alpha and beta are consumed, in order, by the functions that have one. `clip` bounds what enters the functions of gates; h, the
 * function of an LSTM's cell, takes the cell as it is. */
#ifndef TLBC_IR_RNN_H
#define TLBC_IR_RNN_H

#include "ir/ir.h"

enum { RNN_MAX_GATES = 4, RNN_MAX_FUNCTIONS = 3 };

/* Operands, for all three; RNN and GRU end with INITIAL_H. */
enum { RNN_X, RNN_W, RNN_R, RNN_B, RNN_LENGTHS, RNN_INITIAL_H, RNN_INITIAL_C, RNN_P, RNN_OPERANDS };
/* Results; RNN and GRU end with LAST_H. */
enum { RNN_Y, RNN_LAST_H, RNN_LAST_C };

typedef enum ir_rnn_function {
    RNN_AFFINE,
    RNN_ELU,
    RNN_HARD_SIGMOID,
    RNN_LEAKY_RELU,
    RNN_RELU,
    RNN_SCALED_TANH,
    RNN_SIGMOID,
    RNN_SOFTPLUS,
    RNN_SOFTSIGN,
    RNN_TANH,
    RNN_THRESHOLDED_RELU,
    RNN_FUNCTION_COUNT
} ir_rnn_function;

typedef struct ir_rnn_activation {
    ir_rnn_function fn;
    float alpha, beta;
} ir_rnn_activation;

typedef struct ir_rnn {
    uint32_t gates;       /* RNN 1, GRU 3 (z r h), LSTM 4 (i o f c) */
    uint32_t n_functions; /* for each direction: 1, 2, 3 */
    uint32_t directions;  /* 1 or 2 */
    bool reverse[2];      /* by direction: from the last step to the first */
    bool batch_first;     /* layout 1: [batch, steps, ...] and [batch, directions, ...] */
    bool linear_before_reset, input_forget;
    float clip;     /* 0 = none */
    int64_t hidden; /* 0 = the operands tell */
    ir_rnn_activation functions[2][RNN_MAX_FUNCTIONS];
} ir_rnn;

/* NULL, or what is wrong with the attributes, in words. */
const char *ir_rnn_read(ir_rnn *r, ir_ctx *c, const ir_node *n);

#endif
