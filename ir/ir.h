/* The graph IR: module, graph, region, node, value, use. The only header a pass must include.
 *
 *   module    one compilation unit: constants and graphs, an arena that owns them all
 *   graph     named, with a body region; its parameters are the model's inputs, its results the outputs; behind them the
 *             states of a step function: parameters that hold what the same results were in the call before
 *   region    a list of nodes in execution order, parameters, and results (its `yield`); may read values of outer regions
 *   node      one operation: operands (uses), results (values), attributes, regions
 *   value     result of a node, parameter of a region, or a constant of the module; knows all its uses
 *
 * Text (docs/IR.md):
 *   graph main(f32[N,4] %x) => (f32[N,4] y) {
 *     f32[N,4] %t = Add(%x, @one)   // "layer0/add"
 *     return %t
 *   }
 *
 * A NULL operand is an omitted optional ONNX input; that is its only meaning. */
#ifndef TLBC_IR_IR_H
#define TLBC_IR_IR_H

#include "ir/op.h"
#include "ir/tensor.h"
#include "ir/type.h"

typedef struct ir_module ir_module;
typedef struct ir_graph ir_graph;
typedef struct ir_region ir_region;
typedef struct ir_value ir_value;
typedef struct ir_use ir_use;
typedef struct ir_attr ir_attr;

/* One operand. Lives in the user's operand array; linked into the value's list of uses. */
struct ir_use {
    ir_value *value; /* NULL = omitted */
    ir_node *user;
    ir_use *prev, *next;
};

/* What is known about the elements of a small integer tensor (or of a float one that holds integers, as exporters compute
 * sizes): one dimension expression each, in row-major order. "?" for an element of which nothing is known. */
typedef struct ir_known {
    uint32_t n;
    const ir_dim *const *dims;
} ir_known;

struct ir_value {
    const ir_type *type;     /* NULL until inferred */
    const char *name;        /* interned; NULL = unnamed, printed by number */
    ir_node *def;            /* the node it is a result of, or NULL */
    ir_region *region;       /* the region it is a parameter of, or NULL */
    const ir_tensor *tensor; /* constants: the payload */
    const ir_known *known;   /* symbolic contents (shape arithmetic), or NULL; set by inference */
    ir_use *uses;
    uint32_t index;   /* among the node's results or the region's parameters */
    uint32_t mark;    /* scratch: ir_new_mark */
    uint64_t scratch; /* scratch of the running pass; not preserved between passes */
};

typedef enum ir_attr_kind {
    ATTR_INT,
    ATTR_FLOAT,
    ATTR_STRING,
    ATTR_TENSOR,
    ATTR_TYPE,
    ATTR_INTS,
    ATTR_FLOATS,
    ATTR_STRINGS,
    ATTR_TENSORS,
    ATTR_DIMS, /* dimension expressions (internal ops) */
    ATTR_KIND_COUNT
} ir_attr_kind;

struct ir_attr {
    const char *name; /* interned */
    ir_attr_kind kind;
    uint32_t n; /* elements of the list kinds */
    union {
        int64_t i;
        float f;
        tl_sv s;
        const ir_tensor *t;
        const ir_type *type;
        const int64_t *ints;
        const float *floats;
        const tl_sv *strings;
        const ir_tensor *const *tensors;
        const ir_dim *const *dims;
    } v;
};

struct ir_node {
    ir_node *prev, *next;
    ir_region *parent;
    op_id op;
    uint32_t n_in, n_out, n_attrs, n_regions;
    uint32_t in_cap, attrs_cap; /* room in in and attrs: they grow by doubling */
    ir_use *in;
    ir_value *out;
    ir_attr *attrs; /* sorted by name; only what differs from the schema's default need be there */
    ir_region **regions;
    const ir_loc *loc;
    uint32_t mark;
    uint64_t scratch;
};

struct ir_region {
    const char
        *name;      /* "then_branch", "else_branch", "body", "epilogue"; NULL for a graph's body */
    ir_node *owner; /* NULL for a graph's body */
    ir_graph *graph;
    ir_node *first, *last;
    ir_value **params;
    uint32_t n_params, params_cap;
    ir_node *yield; /* op OP_Yield; not in the list; its operands are the region's results */
};

/* An input or output of a step function that is the next part of a sequence, along an axis. */
typedef struct ir_along {
    const char *name; /* interned */
    bool output;
    int32_t axis;
    int64_t
        delay; /* output: so many positions of the input must have come behind an element's own */
} ir_along;

struct ir_graph {
    ir_module *module;
    const char *name;
    ir_region *body;
    const char **outputs; /* names of the results: API, never renamed. body->yield->n_in of them */
    uint32_t outputs_cap;
    /* States: the last n_states parameters and, in the same order and of the same names and types, the last n_states results. */
    uint32_t n_states;
    ir_node *
        initial; /* op OP_Yield, in no list: a constant for each state, which broadcasts to its shape; NULL without states */
    ir_along *along;
    uint32_t n_along, along_cap;
    const char *
        steps; /* symbol: how many steps the sequence is, while a stream is being made; not in text */
    bool
        tail; /* takes the last, shorter part of the sequence of which the graph in front takes whole ones; reads its states */
    const char *
        no_tail; /* why there is no such graph behind this step function; NULL = none is needed; not in text */
    ir_graph *next;
};

typedef struct ir_const {
    ir_value value;
    struct ir_const *next;
} ir_const;

struct ir_module {
    ir_ctx *ctx;
    tl_arena *arena;  /* owns everything below */
    ir_graph *graphs; /* in order; the first one is the entry */
    ir_const *consts, *last_const;
    tl_map const_by_hash;
    int opset;            /* of ai.onnx the ops are canonical at */
    const char *producer; /* from the ONNX file, for inspect; may be NULL */
    uint8_t sha256[32];   /* of the model file; zero when there was none */
};

/* ---- modules, graphs, regions ------------------------------------------------------------------------------- */
ir_module *ir_module_create(ir_ctx *c, tl_arena *a);
ir_graph *ir_graph_create(ir_module *m, const char *name);
/* A copy of g behind it. */
ir_graph *ir_graph_clone(ir_graph *g, const char *name); /* clone.c */
/* Takes a graph, not the first one, out of its module. */
void ir_graph_remove(ir_graph *g);
/* The graph for the last, shorter part of g's sequence; NULL where there is none. */
static inline ir_graph *ir_graph_tail(const ir_graph *g) {
    return g->next && g->next->tail ? g->next : NULL;
}
/* A new parameter at the end. On a graph this is an input; name required there. */
ir_value *ir_region_add_param(ir_region *r, const ir_type *type, const char *name);
void ir_region_remove_param(ir_region *r, uint32_t index); /* must have no uses */
void ir_region_add_result(ir_region *r, ir_value *v);
void ir_region_set_results(ir_region *r, ir_value *const *v, uint32_t n);
void ir_graph_add_output(ir_graph *g, const char *name, ir_value *v); /* in front of the states */
/* A new state at the end: its parameter. It stays as it is in every call until ir_graph_set_next says otherwise. */
ir_value *ir_graph_add_state(ir_graph *g, const ir_type *type, const char *name, ir_value *initial);
/* The symbol with a limit in state i's shape; NULL where there is none. */
const ir_dim *ir_graph_state_limit(const ir_graph *g, uint32_t i);
/* State i grows from call to call: its new value differs in the size along one axis, where the parameter's is a symbol with a limit. That
 * axis; -1 where it keeps its shape. */
int32_t ir_graph_growing_axis(const ir_graph *g, uint32_t i);
void ir_graph_remove_state(ir_graph *g,
                           uint32_t i); /* its parameter is read by its own result at most */
static inline uint32_t ir_graph_n_inputs(const ir_graph *g) {
    return g->body->n_params - g->n_states;
}
static inline uint32_t ir_graph_n_outputs(const ir_graph *g) {
    return g->body->yield->n_in - g->n_states;
}
/* State i in this call, in the next one, in the first one. */
static inline ir_value *ir_graph_state(const ir_graph *g, uint32_t i) {
    return g->body->params[ir_graph_n_inputs(g) + i];
}
static inline ir_value *ir_graph_next(const ir_graph *g, uint32_t i) {
    return g->body->yield->in[ir_graph_n_outputs(g) + i].value;
}
static inline ir_value *ir_graph_initial(const ir_graph *g, uint32_t i) {
    return g->initial->in[i].value;
}
void ir_graph_set_next(ir_graph *g, uint32_t i, ir_value *v);
/* The axis along which this input or output is part of a sequence; -1 = it is none. */
int32_t ir_graph_along(const ir_graph *g, const char *name, bool output);
void ir_graph_set_along(ir_graph *g, const char *name, bool output, int32_t axis);
/* The place of an output's delay; NULL where it is no part of a sequence. */
int64_t *ir_graph_delay(const ir_graph *g, const char *name);
static inline uint32_t ir_region_n_results(const ir_region *r) {
    return r->yield->n_in;
}
static inline ir_value *ir_region_result(const ir_region *r, uint32_t i) {
    return r->yield->in[i].value;
}
bool ir_region_is_inside(const ir_region *r,
                         const ir_region *outer); /* r == outer or nested in it */

/* The module's constant with this content; made where absent. The first name given wins. */
ir_value *ir_module_const(ir_module *m, const ir_tensor *t, const char *name);
/* Drops the constants nobody uses; returns their number. */
uint32_t ir_module_sweep_consts(ir_module *m);

/* ---- nodes -------------------------------------------------------------------------------------------------- */
/* Unlinked; results untyped; operands may be NULL. Give it a place with ir_node_insert_*. */
ir_node *ir_node_create(ir_module *m, op_id op, ir_value *const *in, uint32_t n_in, uint32_t n_out);
void ir_node_append(ir_region *r, ir_node *n);
void ir_node_insert_before(ir_node *at, ir_node *n);
void ir_node_insert_after(ir_node *at, ir_node *n);
/* Takes it out of its region and drops its operands (and those of all nodes in its regions). Results must be unused. */
void ir_node_remove(ir_node *n);
void ir_node_move_before(ir_node *at, ir_node *n);
ir_region *ir_node_add_region(ir_module *m, ir_node *n, const char *name);
ir_region *ir_node_find_region(const ir_node *n, const char *name); /* NULL where absent */
void ir_node_set_operand(ir_node *n, uint32_t i, ir_value *v);
void ir_node_add_operand(ir_module *m, ir_node *n, ir_value *v); /* relinks all uses of n */
void ir_node_drop_operands_from(ir_node *n, uint32_t first);     /* keeps the first `first` */
/* Grows or shrinks the results; a dropped result must be unused. Values keep their identity only below min(old, new)
 * when shrinking; growing moves all results (uses are relinked). */
void ir_node_set_n_out(ir_module *m, ir_node *n, uint32_t n_out);
/* A fresh node with other results count/op that takes over n's place is preferred over mutation in passes. */

static inline ir_value *ir_in(const ir_node *n, uint32_t i) {
    return i < n->n_in ? n->in[i].value : NULL;
}
static inline ir_value *ir_out(const ir_node *n, uint32_t i) {
    return i < n->n_out ? &n->out[i] : NULL;
}

/* ---- values ------------------------------------------------------------------------------------------------- */
void ir_value_replace_uses(ir_value *old, ir_value *new_value); /* all uses; O(uses) */
uint32_t ir_value_count_uses(const ir_value *v);
static inline bool ir_value_has_one_use(const ir_value *v) {
    return v->uses && !v->uses->next;
}
static inline bool ir_value_is_const(const ir_value *v) {
    return v && v->tensor;
}
/* Region where it is defined; NULL for constants. */
ir_region *ir_value_region(const ir_value *v);
/* A scalar or one-element constant's value; false where it is not one. */
bool ir_value_const_f64(const ir_value *v, double *x);
bool ir_value_const_i64(const ir_value *v, int64_t *x);
/* Every element of the constant v equals x. */
bool ir_value_is_splat(const ir_value *v, double x);
/* Elements of an integer value as constants (from the payload or from `known`); -1 where not all are known constants. */
int32_t ir_value_const_ints(const ir_value *v, int64_t *out, uint32_t max);
/* The same as dimension expressions; -1 where nothing is known; single elements may be "?". */
int32_t ir_value_known_dims(ir_ctx *c, const ir_value *v, const ir_dim **out, uint32_t max);
/* "base.suffix" made unique by a number where taken; interned. Names come from ONNX and never renumber. */
const char *ir_name_derive(ir_module *m, const ir_value *base, const char *suffix);

/* ---- attributes --------------------------------------------------------------------------------------------- */
const ir_attr *ir_attr_find(const ir_node *n, const char *name); /* only what is set on the node */
bool ir_attr_has(const ir_node *n, const char *name);
/* Value, or the schema's default, or (ops without schema / attributes without default) the given fallback. */
int64_t ir_attr_int(const ir_node *n, const char *name, int64_t fallback);
float ir_attr_float(const ir_node *n, const char *name, float fallback);
const char *ir_attr_string(const ir_node *n, const char *name,
                           const char *fallback); /* NUL-terminated copy semantics */
/* Why a run that meets a Guard whose condition is false has failed. */
static inline const char *ir_guard_message(const ir_node *n) {
    return ir_attr_string(n, "message",
                          "the condition takes a branch that cannot run with these shapes");
}
const int64_t *ir_attr_ints(const ir_node *n, const char *name,
                            uint32_t *count);                    /* NULL, 0 where absent */
void ir_attr_set(ir_module *m, ir_node *n, const ir_attr *attr); /* replaces one of the same name */
void ir_attr_set_int(ir_module *m, ir_node *n, const char *name, int64_t v);
void ir_attr_set_float(ir_module *m, ir_node *n, const char *name, float v);
void ir_attr_set_string(ir_module *m, ir_node *n, const char *name, const char *v);
void ir_attr_set_ints(ir_module *m, ir_node *n, const char *name, const int64_t *v, uint32_t count);
void ir_attr_set_dims(ir_module *m, ir_node *n, const char *name, const ir_dim *const *v,
                      uint32_t count);
void ir_attr_set_type(ir_module *m, ir_node *n, const char *name, const ir_type *t);
void ir_attr_remove(ir_node *n, const char *name);
bool ir_attr_equal(const ir_attr *a, const ir_attr *b);

/* ---- walking ------------------------------------------------------------------------------------------------ */
#define ir_for_each_node(n, r) for (ir_node *n = (r)->first; n; n = n->next)
#define ir_for_each_node_safe(n, r)                                  \
    for (ir_node *n = (r)->first, *n##_next = n ? n->next : NULL; n; \
         n = n##_next, n##_next = n ? n->next : NULL)
#define ir_for_each_use(u, v) for (ir_use *u = (v)->uses; u; u = u->next)

uint32_t
ir_new_mark(ir_ctx *c); /* a number no node or value carries: `n->mark = m` needs no clearing */
uint32_t ir_region_count_nodes(const ir_region *r); /* nested ones included */

/* ---- whole-module services (each in a file of its own) ------------------------------------------------------- */
/* print.c */
typedef struct ir_print_options {
    enum { IR_CONSTANTS_HASH, IR_CONSTANTS_FULL, IR_CONSTANTS_NONE } constants;
    bool locations; /* append // "node name" */
    tl_map *lines;  /* where not NULL: filled with node -> number of its line, from 1 */
} ir_print_options;
void ir_module_print(const ir_module *m, const ir_print_options *o,
                     tl_str *out);                 /* o may be NULL */
void ir_node_print(const ir_node *n, tl_str *out); /* one line, for messages */
/* parse.c: NULL after reporting to c->diag. `file` names it in messages. Side file: bytes of constants printed by hash, or NULL. */
ir_module *ir_module_parse(ir_ctx *c, tl_arena *a, const char *file, const char *text, size_t len);
/* verify.c: all rules, reports everything it finds to c->diag; true when clean. */
bool ir_module_verify(const ir_module *m);
/* clone.c */
ir_module *ir_module_clone(const ir_module *m, tl_arena *a);
/* Copies the nodes of `from` in front of `at` (or at the end of `to` when at is NULL); parameters map to args; the results come
 * back in results[]. `from` may belong to the same module. Names of copies get `suffix` where not NULL. */
void ir_region_inline(ir_module *m, const ir_region *from, ir_value *const *args, ir_region *to,
                      ir_node *at, const char *suffix, ir_value **results);
/* Copy of one node with other operands, unlinked. */
ir_node *ir_node_clone(ir_module *m, const ir_node *n, ir_value *const *in);
/* hash.c: equal for graphs that print the same, up to names of inner values. */
uint64_t ir_module_hash(const ir_module *m);
/* infer/infer.c: types and known contents of n's results (and of its regions). false after reporting to c->diag. */
bool ir_infer_node(ir_ctx *c, ir_node *n);
/* The same of a node that may never run: what does not fit together is not reported, and gets types of unknown rank. */
void ir_infer_node_quietly(ir_ctx *c, ir_node *n);
/* infer/slice.c: elements of start : end : step on an axis, by ONNX's rules; may mention loop counters, which types do not.
 * "?" where the bounds' signs are not known. */
const ir_dim *infer_slice_length(ir_ctx *c, const ir_dim *size, const ir_dim *start,
                                 const ir_dim *end, int64_t step);

#endif
