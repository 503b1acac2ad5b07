/* The front end: ONNX files in, graph IR out; and the .pb files of ONNX test data.
 *
 *   ir_module *m = fe_import_file(ctx, &arena, "model.onnx", NULL);
 *   if (!m) return report(&ctx->diag);
 *
 * Every operator of the module is in the one form that ir/ops.def names: older opsets are upgraded,
 * model-local functions inlined, Constant nodes and initializers are constants of the module, and
 * every value has the type inference gave it. Everything a file says is checked: a hostile one
 * ends in a message, within bounded time and memory.
 *
 * Files are mapped for as long as the context lives; large constants point into the mapping. */
#ifndef TLBC_FRONTEND_FRONTEND_H
#define TLBC_FRONTEND_FRONTEND_H

#include "ir/eval.h"
#include "ir/ir.h"

/* `--dim batch=1`: a symbol of the graph's inputs becomes this constant. */
typedef struct fe_pin {
    const char *symbol;
    int64_t value;
} fe_pin;

typedef struct fe_options {
    const fe_pin *pins;
    uint32_t n_pins;
    /* Names that are both a graph input and an initializer: by default (since IR 4 with a warning)
     * they become constants and leave the list of inputs. True: since IR 4 they stay inputs, and
     * the value in the file is ignored. */
    bool keep_initialized_inputs;
    /* Every dimension of every input becomes a symbol of its own, "<input>.d<axis>", whatever the file
     * says: for tests. */
    bool symbolic_inputs;
    bool loose_pins; /* a pin of a symbol that no input has is no error: there are other files */
    uint64_t
        max_nodes; /* after inlining functions; 0 = a multiple of what the file holds, up to IR_MAX_NODES */
} fe_options;

/* NULL after reporting to c->diag. `o` may be NULL. External data is looked for below the folder of
 * `path` and nowhere else. */
ir_module *fe_import_file(ir_ctx *c, tl_arena *a, const char *path, const fe_options *o);
/* Adds the graph of another file to the module, behind the graphs there are and under this name: another entry point. A pin need not be
 * a symbol of it. false after reporting. */
bool fe_import_another(ir_module *m, const char *path, const char *name, const fe_options *o);
/* `data` is borrowed and must live as long as the context. `name` stands for the file in messages.
 * External data is refused. */
ir_module *fe_import_buffer(ir_ctx *c, tl_arena *a, const char *name, const void *data, size_t size,
                            const fe_options *o);

/* An operator that is not in ir/ops.def, but that importing turns into ones that are. */
bool fe_replaces(const char *domain, const char *op);
/* The i-th of them; `becomes` is one of the operators it turns into, the one that is most like it. false behind the last. */
typedef struct fe_replaced {
    const char *domain, *op, *becomes;
} fe_replaced;

bool fe_replaced_get(size_t i, fe_replaced *out);

/* Calls found() for each operator that the file names, once, whether the compiler knows it or not. false after reporting. */
typedef void fe_op_fn(void *data, const char *domain, const char *op);
bool fe_each_op(ir_ctx *c, tl_arena *a, const char *path, fe_op_fn *found, void *data);

/* One value of test data. The file holds a TensorProto, SequenceProto or OptionalProto, whichever
 * `expected` is (the declared type of the graph's input or output). Element types must agree,
 * shapes are not compared. false after reporting. */
bool fe_read_value_pb(ir_ctx *c, tl_arena *a, const char *path, const ir_type *expected,
                      ir_datum *out);
bool fe_read_tensor_pb(ir_ctx *c, tl_arena *a, const char *path, const ir_tensor **out);
/* Writes t as a TensorProto; `name` may be NULL. false after reporting. */
bool fe_write_tensor_pb(ir_ctx *c, const char *path, const char *name, const ir_tensor *t);

#endif
