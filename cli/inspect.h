/* What tlbc inspect knows of a model: gathered from an .onnx (inspect_onnx.c) or a compiled one (inspect.c), shown as text or as JSON
 * (inspect_print.c). */
#ifndef TLBC_CLI_INSPECT_H
#define TLBC_CLI_INSPECT_H

#include "cli/model.h"
#include "ir/op.h"

typedef struct inspect_args {
    cli_list dims;
    const char *svg;
    int64_t threads;
    int simplify;
    bool json, quick, schedule;
} inspect_args;

typedef struct inspect_value {
    const char *name, *type;
    int64_t delay; /* of an output that is a part of a sequence; 0 for all others */
} inspect_value;

typedef struct inspect_op {
    op_id op;
    uint32_t n;
    bool supported;
} inspect_op;

/* A piece of the workspace whose size depends on the inputs. */
typedef struct inspect_slot {
    const char *bytes; /* "64*ceildiv(4*batch,16)" */
    bool per_thread;
} inspect_slot;

/* -1, NULL or 0 elements: not known, not there. */
typedef struct inspect_facts {
    const char *path, *name;
    bool compiled;
    const char *made_by, *target, *options;
    const uint8_t *sha256;
    const tlbc_entry_info *entries; /* of a library that has several */
    uint32_t n_entries;
    inspect_value *inputs, *outputs, *states;
    uint32_t n_inputs, n_outputs, n_states;
    int64_t state_bytes;   /* of one stream */
    const char *last_step; /* of a sequence: whether it may have fewer positions */
    int64_t chunk, delay;  /* positions of a step; by which an output is behind */
    inspect_op *ops;       /* most frequent first */
    uint32_t n_ops, n_nodes,
        n_nodes_after; /* after: in the graph that is lowered, nested ones included */
    int64_t parameters, parameter_bytes, weight_bytes;
    const char *flops; /* an expression where it depends on sizes */
    double flops_number;
    const char *serial;  /* of them inside of recurrences, one round after the other; NULL: none */
    double serial_share; /* below 0: depends on sizes */
    double flops_after;  /* of what is compiled; 0: depends on sizes, or not known */
    int64_t static_bytes, alive_bytes, unshared_bytes,
        n_buffers; /* memory plan: the block, the most alive in it at once, the sum of what is in it */
    inspect_slot *slots;
    uint32_t n_slots;
    int64_t workspace_bytes;  /* of one thread, all sizes given */
    const char *open_symbols; /* what the workspace depends on */
    int64_t n_kernels, code_bytes, file_bytes;
    const char *cpu; /* that kernels and code were counted for */
} inspect_facts;

void inspect_facts_init(inspect_facts *f, const char *path);
/* --dim NAME=SIZE: sizes of symbols, for the import. */
struct fe_options;
bool inspect_pins(cli *c, cli_list dims, struct fe_options *o);
bool inspect_onnx(cli *c, const inspect_args *args, inspect_facts *f);
/* Measures its schedule and prints it; false after reporting. */
bool inspect_onnx_schedule(cli *c, const inspect_args *args, const char *path);
/* Bytes of machine code in an object file or shared object. */
int64_t inspect_code_bytes(tl_sv elf);
void inspect_print_text(const inspect_facts *f);
void inspect_print_json(cli *c, const inspect_facts *f);

#endif
