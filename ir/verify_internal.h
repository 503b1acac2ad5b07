/* What the halves of the verifier share: verify.c (links, visibility, graphs), verify_node.c (one node against the schema). */
#ifndef TLBC_IR_VERIFY_INTERNAL_H
#define TLBC_IR_VERIFY_INTERNAL_H

#include "ir/base/vec.h"
#include "ir/ir.h"
#include "ir/text.h"

enum { VERIFY_MAX_NOTES = 200 }; /* kept for the annotated print; all are counted */

typedef struct verifier {
    ir_ctx *c;
    const ir_module *m;
    tl_arena *arena; /* scratch */
    uint32_t n_errors;
    TL_VEC(ir_note) notes;
    tl_map defined; /* values whose definition was passed, and the module's constants */
    tl_map reads;   /* ir_value * -> operands that read it, counted by walking */
} verifier;

/* Records against node n (NULL: the module) and goes on. Returns false. */
bool verify_error(verifier *s, const ir_node *n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same where the condition does not hold. */
#define verify_that(s, n, cond, ...) ((cond) ? true : verify_error((s), (n), __VA_ARGS__))

/* verify_node.c: operands, results, attributes and regions against the schema. */
void verify_node_schema(verifier *s, const ir_node *n);
/* verify_recur.c: what is particular to Recur. */
void verify_recur(verifier *s, const ir_node *n, const ir_region *body);

#endif
