/* Hard limits on what a model may contain, so that hostile files end in a message within bounded time and memory. */
#ifndef TLBC_IR_LIMITS_H
#define TLBC_IR_LIMITS_H

enum {
    IR_MAX_RANK = 32,          /* dimensions of one tensor */
    IR_MAX_NESTING = 64,       /* regions in regions, functions in functions, types in types */
    IR_MAX_NAME = 4096,        /* bytes of one name */
    IR_MAX_NODES = 20000000,   /* nodes of one module, after inlining functions */
    IR_MAX_OPERANDS = 1 << 20, /* inputs or outputs of one node */
    IR_MAX_GRAPHS = 4096,      /* graphs of one module */
    IR_MAX_KNOWN = 256,     /* elements of an integer tensor whose symbolic contents are tracked */
    IR_MAX_DIM_TERMS = 64,  /* terms of one symbolic dimension; larger ones are unknown ("?") */
    IR_MAX_DIM_SIZE = 1024, /* nodes of its expression tree; likewise */
};

#define IR_MAX_TENSOR_BYTES    ((uint64_t)1 << 40)   /* one constant */
#define IR_MAX_FOLD_BYTES      ((uint64_t)256 << 20) /* one result of constant folding */
#define IR_MAX_GENERATED_BYTES ((uint64_t)1 << 30)   /* splat and rand constants of one text */

#endif
