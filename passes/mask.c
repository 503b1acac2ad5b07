/* See mask.h: instructions are run, a row at a time, as far as their bounds say is enough. */
#include "ir/limits.h"
#include "passes/mask_internal.h"
#include "passes/util.h"

#include <math.h>

/* ---- running ---------------------------------------------------------------------------------------------------- */

static double read_table(const mask_instruction *x, int64_t i, int64_t j) {
    return ir_tensor_get_f64(x->table, (size_t)(x->at.i * i + x->at.j * j + x->at.base));
}

static double cast_to(const ir_node *n, double x) {
    ir_dtype t = n->out[0].type->dtype;
    if (t == DT_bool) return x != 0;
    if (ir_dtype_is_int(t)) return trunc(x);
    return t == DT_f64 ? x : (double)(float)x;
}

static double divide(const ir_node *n, double x, double y) {
    if (!ir_dtype_is_int(n->out[0].type->dtype)) return x / y;
    return y != 0 ? trunc(x / y) : 0;
}

/* Mod of integers has the divisor's sign, fmod the dividend's. */
static double modulo(const ir_node *n, double x, double y) {
    if (y == 0) return NAN;
    return ir_attr_int(n, "fmod", 0) ? fmod(x, y) : x - floor(x / y) * y;
}

static double run_op(const mask_instruction *c, double x, double y, double z) {
    switch (c->op) {
    case OP_Add:
        return x + y;
    case OP_Sub:
        return x - y;
    case OP_Mul:
        return x * y;
    case OP_Div:
        return divide(c->node, x, y);
    case OP_Mod:
        return modulo(c->node, x, y);
    case OP_Abs:
        return fabs(x);
    case OP_Neg:
        return -x;
    case OP_Sign:
        return (x > 0) - (x < 0);
    case OP_Floor:
        return floor(x);
    case OP_Ceil:
        return ceil(x);
    case OP_Cast:
        return cast_to(c->node, x);
    case OP_Equal:
        return x == y;
    case OP_Less:
        return x < y;
    case OP_LessOrEqual:
        return x <= y;
    case OP_Greater:
        return x > y;
    case OP_GreaterOrEqual:
        return x >= y;
    case OP_And:
        return x != 0 && y != 0;
    case OP_Or:
        return x != 0 || y != 0;
    case OP_Xor:
        return (x != 0) != (y != 0);
    case OP_Not:
        return x == 0;
    case OP_Where:
        return x != 0 ? y : z;
    case OP_Min:
        return c->n_in == 1 || x < y ? x : y;
    case OP_Max:
        return c->n_in == 1 || x > y ? x : y;
    default: /* IsNaN */
        return isnan(x);
    }
}

static void run_row(mask_reader *r, int64_t i, int64_t keys) {
    for (uint32_t k = 0; k < r->n; k++) {
        mask_instruction *c = &r->code[k];
        if (c->op == OP_Dims) continue;
        const double *in[3] = {0};
        size_t step[3] = {0};
        for (uint32_t p = 0; p < c->n_in; p++) {
            in[p] = r->code[c->in[p]].row;
            step[p] = r->code[c->in[p]].op != OP_Dims;
        }
        for (int64_t j = 0; j < keys; j++) {
            size_t at = (size_t)j;
            if (c->table)
                c->row[j] = read_table(c, i, j);
            else if (c->op == OP_None)
                c->row[j] = (double)(c->at.i * i + c->at.j * j + c->at.base);
            else
                c->row[j] = run_op(c, in[0][at * step[0]], in[1] ? in[1][at * step[1]] : 0,
                                   in[2] ? in[2][at * step[2]] : 0);
        }
    }
}

/* Min and Max of three operands, floats narrower than f32 in arithmetic: not worth it. */
static bool is_exact(mask_reader *r) {
    for (uint32_t k = 0; k < r->n; k++) {
        const mask_instruction *c = &r->code[k];
        if ((c->op == OP_Min || c->op == OP_Max) && c->n_in > 2)
            return mask_fail(r, "Min or Max of several operands");
        if (c->op != OP_Add && c->op != OP_Sub && c->op != OP_Mul && c->op != OP_Div) continue;
        ir_dtype t = c->node->out[0].type->dtype;
        if (t == DT_f16 || t == DT_bf16) return mask_fail(r, "it is computed in a narrow type");
    }
    return true;
}

/* So many rows and columns tell all of them. */
static bool set_size(mask_reader *r, const mask_bounds *b, const ir_dim *queries,
                     const ir_dim *keys, mask_grid *g) {
    g->queries = r->rows;
    g->keys = r->columns;
    ir_dim_is_const(queries, &g->queries);
    ir_dim_is_const(keys, &g->keys);
    g->all = g->queries <= MASK_GRID && g->keys <= MASK_GRID;
    g->period = b->period;
    g->from = b->from + b->period;
    g->reach = b->reach + 2 * b->period;
    if (g->all) return true;
    if (r->rows != INT64_MAX || r->columns != INT64_MAX)
        return mask_fail(r, "it is a constant whose positions are too many to be read");
    int64_t enough = g->from + g->reach + 2 * g->period + 4;
    if (enough > MASK_GRID) return mask_fail(r, "its chunks or bands are too long");
    g->queries = mask_min(g->queries, enough);
    g->keys = mask_min(g->keys, enough);
    return true;
}

static bool is_short(const ir_dim *d) {
    int64_t n;
    return ir_dim_is_const(d, &n) && n <= MASK_GRID;
}

/* Coordinates of the last two axes; those in front must be 1. */
static bool set_axes(mask_reader *r, const ir_type *t, mask_coord *at) {
    if (!ir_type_is_ranked(t) || t->rank < 1) return mask_fail(r, "its rank is not known");
    for (int32_t k = 0; k < t->rank - 2; k++)
        if (!ir_dim_is(t->dims[k], 1))
            return mask_fail(r, "it differs between heads or batch entries");
    if (!ir_dim_is(t->dims[t->rank - 1], 1)) at[t->rank - 1].j = 1;
    if (t->rank > 1 && !ir_dim_is(t->dims[t->rank - 2], 1)) at[t->rank - 2].i = 1;
    return true;
}

/* A mask that cannot be read leaves nothing behind. */
static bool compile_mask(mask_reader *r, const ir_value *v, mask_bounds *all, uint32_t *out) {
    mask_coord at[IR_MAX_RANK] = {{0}};
    mask_reader before = *r;
    mask_bounds joined = *all;
    bool ok = set_axes(r, v->type, at) && mask_compile(r, v, at, out) && is_exact(r) &&
              mask_bounds_join(r, &joined, &r->code[*out].bounds);
    if (ok) {
        *all = joined;
        return true;
    }
    const char *why = r->why;
    *r = before;
    mask_fail(r, why);
    return false;
}

static void allocate_rows(mask_reader *r, const mask_grid *g) {
    for (uint32_t k = 0; k < r->n; k++)
        if (r->code[k].op != OP_Dims)
            r->code[k].row = TL_NEW_ARRAY(r->ctx->scratch, double, (size_t)g->keys + 1);
}

uint32_t mask_read(pass_ctx *ctx, ir_value *const *masks, uint32_t n, const ir_dim *queries,
                   const ir_dim *keys, mask_grid *g, const char **why) {
    mask_reader *r = TL_NEW(ctx->scratch, mask_reader);
    uint32_t result[MASK_PARTS], count = 0;
    double *rows[MASK_PARTS] = {0};
    mask_bounds all = {.over = 1, .period = 1};
    *g = (mask_grid){0};
    *r = (mask_reader){.ctx = ctx, .rows = INT64_MAX, .columns = INT64_MAX};
    r->whole = is_short(queries) && is_short(keys);
    bool read[MASK_PARTS] = {0};
    for (uint32_t k = 0; k < n && k < MASK_PARTS; k++)
        count += read[k] = compile_mask(r, masks[k], &all, &result[k]);
    bool ok = count && set_size(r, &all, queries, keys, g);
    *why = r->why;
    if (!ok) return 0;
    allocate_rows(r, g);
    size_t size = (size_t)(g->queries * g->keys) + 1;
    for (uint32_t k = 0; k < n; k++)
        if (read[k]) g->at[k] = rows[k] = TL_NEW_ARRAY(ctx->scratch, double, size);
    for (int64_t i = 0; i < g->queries; i++) {
        run_row(r, i, g->keys);
        for (uint32_t k = 0; k < n; k++)
            for (int64_t j = 0; read[k] && j < g->keys; j++) {
                const mask_instruction *c = &r->code[result[k]];
                rows[k][i * g->keys + j] = c->row[c->op == OP_Dims ? 0 : j];
            }
    }
    return count;
}
