/* See best.h. */
#include "codegen/best.h"

static bool is_float(const lp_value *v) {
    return ir_dtype_is_float((ir_dtype)v->type.elem);
}

static lp_value *is_nan(lp_builder *b, lp_value *v) {
    return lp_bin(b, LP_ne, v, v);
}

lp_value *cg_best_improves(const cg_best *s, lp_value *v, lp_value *best, bool or_equal) {
    lp_op op = s->largest ? (or_equal ? LP_ge : LP_gt) : (or_equal ? LP_le : LP_lt);
    lp_value *better = lp_bin(s->b, op, v, best);
    if (!is_float(v)) return better;
    lp_value *nan = is_nan(s->b, v);
    if (!or_equal) nan = lp_bin(s->b, LP_and, nan, lp_bin(s->b, LP_eq, best, best));
    return lp_bin(s->b, LP_or, better, nan);
}

lp_value *cg_best_precedes(const cg_best *s, lp_value *const *v, lp_value *const *best) {
    lp_builder *b = s->b;
    lp_value *wanted = lp_bin(b, s->last ? LP_gt : LP_lt, v[1], best[1]),
             *equal = lp_bin(b, LP_eq, v[0], best[0]);
    if (is_float(v[0]))
        equal = lp_bin(b, LP_or, equal, lp_bin(b, LP_and, is_nan(b, v[0]), is_nan(b, best[0])));
    lp_value *better = cg_best_improves(s, v[0], best[0], false);
    return lp_bin(b, LP_or, better, lp_bin(b, LP_and, equal, wanted));
}

void cg_best_choose(const cg_best *s, lp_value *better, lp_value *const *v, lp_value **best) {
    for (int32_t i = 0; i < CG_CANDIDATE; i++)
        best[i] = lp_select(s->b, better, v[i], best[i]);
}
