/* Inside the importer: what its files share.
 *
 *   import.c     the model: versions, functions, the entry graph
 *   symbols.c    TypeProto -> ir_type; dimension symbols, pins
 *   check_ops.c  all operators nobody knows, in one report, before anything is built
 *   used_ops.c   the operators a file names, without importing it
 *   graph.c      one graph or subgraph: scope, initializers, nodes, results
 *   order.c      topological order
 *   attribute.c  AttributeProto -> ir_attr
 *   node.c       one node of the file: operands, attributes, and who takes it from there
 *   check_node.c number of operands, attributes, against the schema
 *   emit.c       a draft in canonical form becomes a node, its subgraphs regions
 *   constant.c   Constant nodes
 *   functions.c  model-local functions, inlined
 *   upgrade*.c   old forms -> the form ir/ops.def names
 *   flex_attention.c, training.c, gradient*.c   operators that are short for others: FlexAttention, Adam, Gradient */
#ifndef TLBC_FRONTEND_FE_H
#define TLBC_FRONTEND_FE_H

#include "frontend/frontend.h"
#include "frontend/initializer.h"
#include "frontend/onnx_proto.h"

#include "ir/base/vec.h"
#include "ir/limits.h"

typedef struct fe_scope fe_scope;
typedef struct fe_frame fe_frame;
typedef struct fe_node fe_node;

/* One model-local function. */
typedef struct fe_function {
    const pb_function *proto;
    bool active;  /* being inlined: a call of it now is a recursion */
    bool checked; /* check_ops.c has seen it */
} fe_function;

typedef struct fe_import {
    ir_ctx *c;
    ir_module *m;
    const fe_options *o;
    fe_source *s;
    const pb_model *model;
    int64_t ir_version;
    tl_arena *scratch; /* reset after every node: for what lives no longer than one */
    uint64_t n_nodes, max_nodes;
    uint64_t n_file_nodes; /* as written: each function once (check_ops.c) */
    tl_map functions;      /* interned "domain:name:overload" -> fe_function * */
    tl_map hints;          /* entry graph: interned value name -> pb_value_info * */
    tl_map bound; /* symbols that are, alone, a dimension of a graph input: interned name -> 1 */
    tl_map names; /* value names taken: interned name -> next number to try behind it */
    tl_map const_names; /* the same for constants, which print with another sigil */
    tl_map op_ids;      /* interned operator name -> op_id, filled at first use */
    bool *pin_used;
} fe_import;

/* Where nodes stand: the model's main program, or one call of a function. */
struct fe_frame {
    const fe_frame *caller; /* NULL: the model itself */
    const fe_function *function;
    const pb_opset *const *opsets;
    size_t n_opsets;
    const fe_node *call; /* its attributes are what references mean */
    const char *prefix;  /* of names inside; NULL for the model */
};

/* The names of one graph or function body. */
struct fe_scope {
    const fe_scope *outer; /* NULL: the entry graph, or a function's body */
    const fe_frame *frame;
    tl_map values;    /* interned name -> ir_value *, or fe_omitted */
    tl_map renames;   /* function bodies: results take the names the caller gives them */
    const char *path; /* for messages: "graph 'main' > Loop 'decoder' > body" */
    unsigned depth;   /* nesting of regions, calls included */
};

/* One attribute of a node. A graph is imported where it is used, in the scope it was written in. */
typedef struct fe_attr {
    ir_attr a; /* name always; kind and value unless graph */
    const pb_graph *graph;
    const fe_scope *scope;
} fe_attr;

/* One node on its way into the module. Upgrade rules change it until it has the canonical form, or
 * emit nodes themselves and fill `out`. */
struct fe_node {
    fe_import *im;
    const fe_scope *scope;
    ir_region *region; /* new nodes go to its end */
    const ir_loc *loc;
    const char *op, *domain; /* interned; "" for ai.onnx */
    int opset;               /* of the domain, where the node stands */
    TL_VEC(ir_value *) in;
    TL_VEC(fe_attr) attrs;
    uint32_t n_out;
    const char **out_names; /* interned; "" = nobody wants it */
    ir_value **out;         /* filled when done */
    bool done;
};

/* ---- import.c --------------------------------------------------------------------------------- */
/* The opset of `domain` where `f` stands; 0 = not imported. */
int fe_opset(const fe_import *im, const fe_frame *f, const char *domain);
const char *fe_domain(ir_ctx *c, const char *domain); /* interned, "ai.onnx" -> "" */
/* `name`, made unique among the values (or constants) of the module; NULL for "". */
const char *fe_unique_name(fe_import *im, const fe_scope *scope, const char *name);
/* "name.suffix", the same way: for values between those the file knows. */
const char *fe_derived_name(fe_import *im, const fe_scope *scope, const char *name,
                            const char *suffix);
const char *fe_unique_const_name(fe_import *im, const char *name);

/* ---- symbols.c -------------------------------------------------------------------------------- */
typedef enum fe_type_use {
    FE_TYPE_INPUT, /* unknown dimensions become symbols named after the input */
    FE_TYPE_HINT,  /* they, and symbols no input binds, are "?" */
} fe_type_use;

/* Collects the symbols graph inputs bind, then checks the pins against them. */
bool fe_bind_symbols(fe_import *im, const pb_graph *g);
/* NULL after reporting. `name` for messages and fresh symbols. */
const ir_type *fe_type(fe_import *im, const ir_loc *loc, const pb_type *t, const char *name,
                       fe_type_use use);

/* ---- check_ops.c ------------------------------------------------------------------------------ */
bool fe_check_ops(fe_import *im);

/* ---- graph.c ---------------------------------------------------------------------------------- */
bool fe_import_entry(fe_import *im, const fe_frame *frame,
                     const char *name); /* NULL: as the file says */
/* Fills region r of the node being built from graph g: parameters of the given types, nodes, results.
 * A parameter whose type is NULL takes the declared one. */
bool fe_import_subgraph(fe_import *im, const fe_scope *outer, const ir_loc *loc, const pb_graph *g,
                        ir_region *r, const ir_type *const *params, size_t n_params);
/* The nodes of a graph that surely runs once, straight into n->region; its inputs are args. As many results as n has. */
bool fe_inline_graph(fe_node *n, const fe_scope *outer, const pb_graph *g, const char *name,
                     ir_value *const *args, uint32_t n_args, ir_value **results);
/* Marks a formal input that the call leaves out: known, but no value. */
extern ir_value fe_omitted;
/* False after reporting where the name is not visible; *v is NULL for "" and fe_omitted. */
bool fe_find_value(fe_import *im, const fe_scope *scope, const ir_loc *loc, const char *name,
                   ir_value **v);
bool fe_define_value(fe_import *im, fe_scope *scope, const ir_loc *loc, const char *name,
                     ir_value *v);
void fe_scope_init(fe_scope *scope, fe_import *im, const fe_scope *outer, const fe_frame *frame,
                   const char *path);
bool fe_import_nodes(fe_import *im, fe_scope *scope, ir_region *r, pb_node *const *nodes, size_t n);

/* ---- order.c ---------------------------------------------------------------------------------- */
/* Order in which the nodes can run, in im->scratch; false after reporting a cycle. *order is NULL
 * where the file's own order will do. */
bool fe_find_order(fe_import *im, const fe_scope *scope, pb_node *const *nodes, size_t n,
                   const uint32_t **order);

/* ---- attribute.c ------------------------------------------------------------------------------ */
/* *present is false for a reference to an attribute the call does not give. */
bool fe_attribute(fe_import *im, const fe_scope *scope, const ir_loc *loc, const pb_attr *p,
                  fe_attr *out, bool *present);
ir_schema_attr_type fe_attribute_type(const pb_attr *p);
const fe_attr *fe_find_attr(const fe_node *n, const char *name);

/* ---- node.c ----------------------------------------------------------------------------------- */
bool fe_import_node(fe_import *im, fe_scope *scope, ir_region *r, const pb_node *p, uint32_t index);

/* ---- emit.c ----------------------------------------------------------------------------------- */
/* The operator of ops.def with this name, or OP_None. */
op_id fe_op_id(fe_import *im, const char *domain, const char *op);
/* A draft in canonical form becomes a node of the module; fills n->out. */
bool fe_emit(fe_node *n);
/* Loop- and Scan-like body parameters: what is known of them before the body is inferred. */
const ir_type *fe_general_type(fe_import *im, const ir_type *t);
const ir_type *fe_slice_type(fe_import *im, const ir_type *t, int64_t axis);

/* ---- check_node.c ----------------------------------------------------------------------------- */
/* Number of inputs and outputs and the attributes, against the operator's version in the file. */
bool fe_check_draft(fe_node *n, const ir_schema *s);

/* ---- check_types.c ---------------------------------------------------------------------------- */
/* What the type variables of one node's schema are bound to; the first operand that names one decides. */
typedef struct fe_types {
    const ir_schema *schema; /* the operator's version in the file */
    const ir_type *bound[UINT8_MAX + 1];
} fe_types;

/* Before the draft is upgraded, and behind that. */
bool fe_check_operand_types(fe_node *n, fe_types *k);
bool fe_check_result_types(fe_node *n, fe_types *k);

/* ---- functions.c ------------------------------------------------------------------------------ */
bool fe_collect_functions(fe_import *im);
fe_function *fe_find_function(fe_import *im, const char *domain, const char *name,
                              const char *overload);
bool fe_inline_function(fe_node *n, fe_function *f);

/* ---- constant.c ------------------------------------------------------------------------------- */
/* The value of a Constant node, as a constant of the module. */
bool fe_constant_node(fe_node *n);

/* ---- upgrade.c -------------------------------------------------------------------------------- */
/* Brings a draft to canonical form, or emits nodes and sets n->done. */
bool fe_upgrade(fe_node *n);

#endif
