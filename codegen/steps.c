/* Recording the steps of a program, and marking them; see steps.h. */
#include "codegen/steps.h"

static void emit_mark(cg *g, uint32_t step) {
    lp_value *args[3] = {lp_index(&g->b, g->mark_data), g->tid, lp_index(&g->b, step)};
    lp_call(&g->b, "tlbc_mark", lp_scalar(LP_VOID), args, 3);
}

void cg_step_add(cg *g, cg_step_kind kind, const char *kernel, const ir_node *node) {
    if (kind == CG_STEP_END) g->step_depth--;
    cg_step s = {kind, kernel, node, g->alone, g->step_depth};
    tl_vec_push(g->arena, &g->steps, s);
    if (kind == CG_STEP_LOOP) g->step_depth++;
    if (g->marked) emit_mark(g, g->steps.len - 1);
}
