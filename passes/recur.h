/* Making and changing a Recur (docs/IR.md): what the passes recur_* share. */
#ifndef TLBC_PASSES_RECUR_H
#define TLBC_PASSES_RECUR_H

#include "passes/loop_like.h"

/* A parameter in front of the others. */
ir_value *region_prepend_param(ir_region *r, const ir_type *type, const char *name);
/* Entry i of a list of axes or flags; 0 where there is no list. */
int64_t recur_list_at(const ir_node *n, const char *list, uint32_t i);
/* Sets a list; one of zeros need not be there and is not. */
void recur_set_list(pass_ctx *ctx, ir_node *n, const char *list, const int64_t *v, uint32_t count);
/* Carried values keep their types from step to step, as a Recur's do. */
bool loop_types_are_fixed(const loop_like *l);

#endif
