/* What the two halves of the parser share: parse.c (module, graphs, nodes), parse_value.c (types, payloads, attributes). */
#ifndef TLBC_IR_PARSE_INTERNAL_H
#define TLBC_IR_PARSE_INTERNAL_H

#include "ir/ir.h"
#include "ir/lex.h"
#include "ir/limits.h"
#include "ir/text.h"

/* An open region: whose values are visible, and which outer ones its text says it reads. */
typedef struct parse_scope {
    ir_region *region;
    bool has_uses;
    tl_map uses; /* const ir_value * -> 1 */
} parse_scope;

typedef struct parser {
    lexer lx;
    ir_ctx *c;
    tl_arena *arena; /* of the module */
    ir_module *m;
    const ir_parse_options *options;
    tl_map values;       /* of the current graph: interned name -> ir_value * */
    tl_map numbered;     /* of the current graph: %0 -> ir_value * */
    tl_map consts;       /* the module's: interned name -> ir_value * */
    tl_map const_number; /* @0 -> ir_value * */
    parse_scope scopes[IR_MAX_NESTING + 1];
    uint32_t depth; /* open scopes */
    uint32_t n_nodes, n_graphs;
    uint64_t generated; /* bytes of splat and rand payloads so far */
} parser;

/* ---- parse_value.c: each reports and gives NULL or false on a mistake ------------------------------------------ */
bool parse_type_starts(const parser *p);
/* Sets *out to NULL for "?", the type that is not known. */
bool parse_type(parser *p, const ir_type **out);
bool parse_payload_starts(const parser *p);
/* Behind the type: { ... }, splat x, #hash, rand seed, opaque. */
const ir_tensor *parse_payload(parser *p, const ir_type *type, const char *name);
/* <a=1, b="x"> where it is there; sorted into n->attrs. */
bool parse_attrs(parser *p, ir_node *n);
/* The current identifier or string, interned, stepped over; NULL after reporting "expected <what>". */
const char *parse_name(parser *p, const char *what);

#endif
