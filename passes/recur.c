/* See recur.h. */
#include "passes/recur.h"

#include "passes/util.h"

ir_value *region_prepend_param(ir_region *r, const ir_type *type, const char *name) {
    ir_value *v = ir_region_add_param(r, type, name);
    for (uint32_t i = r->n_params; i-- > 1;) {
        r->params[i] = r->params[i - 1];
        r->params[i]->index = i;
    }
    r->params[0] = v;
    v->index = 0;
    return v;
}

int64_t recur_list_at(const ir_node *n, const char *list, uint32_t i) {
    uint32_t count;
    const int64_t *v = ir_attr_ints(n, list, &count);
    return v && i < count ? v[i] : 0;
}

void recur_set_list(pass_ctx *ctx, ir_node *n, const char *list, const int64_t *v, uint32_t count) {
    bool zeros = true;
    for (uint32_t i = 0; i < count; i++)
        zeros &= v[i] == 0;
    ir_attr_remove(n, list);
    if (!zeros) ir_attr_set_ints(ctx->m, n, list, v, count);
}

bool loop_types_are_fixed(const loop_like *l) {
    for (uint32_t i = 0; i < l->n_carried; i++) {
        const ir_value *initial = loop_initial(l, i), *param = loop_param(l, i);
        if (!same_type(initial, param) || !same_type(param, loop_update(l, i))) return false;
    }
    return true;
}
