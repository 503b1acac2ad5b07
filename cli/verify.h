/* tlbc verify, in parts: comparison of tensors (verify_compare.c), node by node (verify_nodes.c), the search for a wrong pass and the
 * command (verify.c). */
#ifndef TLBC_CLI_VERIFY_H
#define TLBC_CLI_VERIFY_H

#include "cli/data.h"
#include "cli/model.h"
#include "ir/call.h"
#include "passes/pass.h"

/* A float is fine within `ulp` units in the last place, or within the tolerances; all else must be equal. */
typedef struct verify_tolerance {
    double ulp, rtol, atol;
} verify_tolerance;

/* How one tensor differs from what it should be. */
typedef struct verify_result {
    double ulp; /* the largest distance, of fine elements too */
    size_t wrong, elements;
    const char *
        text; /* where wrong: the first such element, its values, the worst distance; or how the types differ */
} verify_result;

/* Both are tensors of any type; text lands in the arena. */
verify_result verify_compare(tl_arena *a, const verify_tolerance *tol, const ir_tensor *got,
                             const ir_tensor *want);

typedef struct verify_job {
    cli *c;
    verify_tolerance tolerance;
    cli_list dims;
    int64_t threads;
    const char *cpu;
    const ir_module *imported, *optimised;
    const tlbc_model *model; /* compiled from `optimised` */
    tlbc_session *session;
    struct verify_nodes *nodes;
} verify_job;

/* verify_stream.c: the whole sequence against the step function that --stream makes, bit by bit. */
typedef struct verify_stream_options {
    cli_list states, streams, dims;
    const char *passes, *skip;
    int simplify; /* pass_simplify_engine */
    int64_t runs, seed, n_streams;
    bool batch_streams;
} verify_stream_options;
bool verify_stream(const verify_job *j, const char *path, const verify_stream_options *o);
/* verify_state.c: a model with its states as inputs and outputs against the step function that --state makes, bit by bit. */
bool verify_state(const verify_job *j, const char *path, const verify_stream_options *o);
/* verify_many.c: streams in one session against sessions of one stream each, bit by bit. */
bool verify_many(const verify_job *j, const char *path, const verify_stream_options *o);
/* What all need: an .onnx or .tl file; it compiled with these states and streams, j->model; names and types of a model's states. */
const ir_module *verify_read_module(cli *c, const char *path, cli_list dims);
bool verify_compile(verify_job *j, const ir_module *imported, const verify_stream_options *v,
                    cli_list states, cli_list streams, const char *name);
const char *verify_list_states(cli *c, const tlbc_model *m);

/* Compiles a module, which it may mark; NULL after reporting. It lives as long as the command. */
const tlbc_model *verify_build(verify_job *j, ir_module *m, const char *name);
/* Evaluates the entry graph of m on these inputs; false after reporting. on_node may be NULL. */
bool verify_evaluate(verify_job *j, const ir_module *m, const model_tensors *t, ir_datum *out,
                     void (*on_node)(void *data, const ir_node *n, ir_datum *out), void *data);

/* The graph after all passes with every inner value as an output, compiled. false after reporting. */
bool verify_nodes_prepare(verify_job *j);
/* Runs it on these inputs, and each node in the evaluator on the operands that compiled code had. Reports the first node, in the order
 * of execution, whose result differs by more than the tolerance. */
bool verify_nodes_run(verify_job *j, int64_t run, const model_tensors *inputs);
void verify_nodes_release(verify_job *j);

#endif
