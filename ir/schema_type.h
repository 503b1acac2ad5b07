/* Types of values against the sets of types that schemas allow: shared by the verifier, which knows the newest form of each operator, and the
 * importer, which asks the version a file means.
 *
 *     ir_schema_allows(ir_schema_slot_types(s, slot), v->type)       may this value be the operand?
 *     ir_type_same_variable(a, b)                                    f32[2] and f32[?,3]: yes, both make T f32 */
#ifndef TLBC_IR_SCHEMA_TYPE_H
#define TLBC_IR_SCHEMA_TYPE_H

#include "ir/schema.h"
#include "ir/type.h"

bool ir_schema_allows(const ir_schema_types *allowed, const ir_type *t);
/* Equal up to dimensions: what a type variable stands for. */
bool ir_type_same_variable(const ir_type *a, const ir_type *b);
/* The type without its dimensions: f32, seq(f32), map(str,f32). */
void ir_type_print_variable(const ir_type *t, tl_str *out);
/* "f32, i64 or seq(f32)": all that is allowed. */
void ir_schema_types_print(const ir_schema_types *allowed, tl_str *out);

#endif
