/* See mask.h. A mask becomes a list of instructions over rows: one row holds the values for one query and all keys. */
#include "passes/mask.h"

#include "ir/limits.h"
#include "passes/util.h"

#include <math.h>

enum { MAX_DEPTH = 48, MAX_INSTRUCTIONS = 256, MAX_GRID = 4096, MAX_NUMBER = 1 << 30 };
static const int64_t any_size = INT64_MAX / 8; /* of r, where it does not matter */

/* Where along an axis: a multiple of the query's or key's number. */
typedef struct coord {
    int64_t i, j, base; /* i*query + j*key + base */
} coord;

typedef struct bounds {
    int64_t a, b, over, period, from, reach, slack; /* |r| <= slack */
    bool folded;                                    /* |...| of it: fit for comparison alone */
} bounds;

typedef struct instruction {
    op_id op; /* None: the coordinate, or what a table has there */
    const ir_node *node;
    uint32_t in[3], n_in;
    coord at;
    const ir_tensor *table;
    bounds bounds;
    double *row;
} instruction;

typedef struct reader {
    pass_ctx *ctx;
    instruction code[MAX_INSTRUCTIONS];
    uint32_t n;
    int64_t rows, columns; /* that a table has; INT64_MAX where there is none */
    bool whole;            /* the sizes are known: no bounds are needed */
    const char *why;
} reader;

static bool fail(reader *r, const char *why) {
    if (!r->why) r->why = why;
    return false;
}

static int64_t min(int64_t x, int64_t y) {
    return x < y ? x : y;
}
static int64_t max(int64_t x, int64_t y) {
    return x > y ? x : y;
}
static int64_t gcd(int64_t x, int64_t y) {
    return y ? gcd(y, x % y) : x;
}
static int64_t absolute(int64_t x) {
    return x < 0 ? -x : x;
}

/* ---- bounds ----------------------------------------------------------------------------------------------------- */

/* Both over one denominator, with one period. */
static bool join(reader *r, bounds *x, bounds *y) {
    int64_t over = x->over / gcd(x->over, y->over) * y->over;
    int64_t period = x->period / gcd(x->period, y->period) * y->period;
    if (over > MAX_GRID || period > MAX_GRID) return fail(r, "its periods are too long");
    bounds *both[] = {x, y};
    for (int k = 0; k < 2; k++) {
        both[k]->a *= over / both[k]->over;
        both[k]->b *= over / both[k]->over;
        both[k]->over = over;
        both[k]->period = period;
    }
    x->from = y->from = max(x->from, y->from);
    x->reach = y->reach = max(x->reach, y->reach);
    return true;
}

static bool is_bounded(const bounds *x) {
    return !x->a && !x->b;
}

static bool small(reader *r, const bounds *x) {
    if (absolute(x->a) < MAX_NUMBER && absolute(x->b) < MAX_NUMBER && x->slack < MAX_NUMBER)
        return true;
    return fail(r, "its numbers are too large");
}

static int64_t product(int64_t x, int64_t y) {
    return x && y > any_size / x ? any_size : min(x * y, any_size);
}

static bool bounds_sum(reader *r, bounds x, bounds y, int sign, bounds *out) {
    if ((x.folded && !is_bounded(&y)) || y.folded) return fail(r, "it adds absolute values");
    if (!join(r, &x, &y)) return false;
    *out = x;
    out->a += sign * y.a;
    out->b += sign * y.b;
    out->slack = min(out->slack + y.slack, any_size);
    return is_bounded(out) || small(r, out);
}

static bool bounds_scaled(reader *r, bounds x, double by, bounds *out) {
    if (is_bounded(&x)) {
        *out = x;
        out->slack = fabs(by) < MAX_NUMBER ? product(x.slack, (int64_t)ceil(fabs(by))) : any_size;
        return true;
    }
    if (by != floor(by) || fabs(by) >= MAX_GRID || x.folded)
        return fail(r, "it multiplies positions by what is no small integer");
    *out = x;
    out->a *= (int64_t)by;
    out->b *= (int64_t)by;
    out->slack *= absolute((int64_t)by);
    return small(r, out);
}

/* What is computed from x's sign, or from x where it has no slope. */
static bool bounds_sign(reader *r, bounds x, bounds *out) {
    int64_t slope = max(absolute(x.a), absolute(x.b));
    *out = (bounds){.over = 1, .period = x.period, .from = x.from, .reach = x.reach, .slack = 1};
    if (is_bounded(&x)) return true;
    if (x.a + x.b != 0 && ((x.a > 0 && x.b < 0) || (x.a < 0 && x.b > 0)))
        return fail(r, "it compares multiples of positions");
    int64_t least = x.a && x.b ? min(absolute(x.a), absolute(x.b)) : slope;
    int64_t decided = x.slack * x.over / least + 2;
    out->reach = max(out->reach, decided);
    if (x.a + x.b != 0) out->from = max(out->from, decided);
    return true;
}

/* Quotient by a constant, rounded to an integer or not. Toward 0: where its sign is not decided, it is not periodic either. */
static bool bounds_divided(reader *r, bounds x, double by, bounds *out) {
    bounds sign;
    if (by != floor(by) || by < 1 || by > MAX_GRID || x.folded)
        return fail(r, "it divides positions by what is no small integer");
    if (!bounds_sign(r, x, &sign)) return false;
    *out = x;
    out->over *= (int64_t)by;
    out->period *= out->over / gcd(out->over, out->period);
    out->slack = x.slack / (int64_t)by + 2;
    out->from = sign.from;
    out->reach = sign.reach;
    return out->period <= MAX_GRID ? small(r, out) : fail(r, "its periods are too long");
}

/* ---- instructions ----------------------------------------------------------------------------------------------- */

static bool emit(reader *r, instruction x, uint32_t *out) {
    if (r->n == MAX_INSTRUCTIONS) return fail(r, "it is too large");
    *out = r->n;
    r->code[r->n++] = x;
    return true;
}

static bool emit_coord(reader *r, coord at, uint32_t *out) {
    bounds b = {.a = at.i, .b = at.j, .over = 1, .period = 1, .slack = absolute(at.base)};
    return small(r, &b) && emit(r, (instruction){.op = OP_None, .at = at, .bounds = b}, out);
}

static bool emit_number(reader *r, double x, uint32_t *out) {
    int64_t size = fabs(x) < MAX_NUMBER ? (int64_t)ceil(fabs(x)) : any_size;
    instruction c = {.op = OP_Dims, .bounds = {.over = 1, .period = 1, .slack = size}};
    if (!emit(r, c, out)) return false;
    r->code[*out].row = TL_NEW(r->ctx->scratch, double);
    *r->code[*out].row = x;
    return true;
}

static bool is_number(const reader *r, uint32_t at, double *x) {
    if (r->code[at].op != OP_Dims) return false;
    *x = *r->code[at].row;
    return true;
}

static bool compare_bounds(reader *r, const bounds *x, const bounds *y, bounds *out) {
    bounds d;
    if (is_bounded(x) && is_bounded(y)) {
        bounds p = *x, q = *y;
        if (!join(r, &p, &q)) return false;
        return bounds_sign(r, p, out);
    }
    return bounds_sum(r, *x, *y, -1, &d) && bounds_sign(r, d, out);
}

/* Operators whose result depends only on bounded operands. */
static bool bounded_bounds(reader *r, const instruction *x, bounds *out) {
    bounds all = {.over = 1, .period = 1, .slack = 1};
    bool larger = x->op == OP_Mul || x->op == OP_Div;
    for (uint32_t i = 0; i < x->n_in; i++) {
        bounds one = r->code[x->in[i]].bounds;
        if (!is_bounded(&one)) return fail(r, "it depends on positions in no way that is known");
        if (!join(r, &all, &one)) return false;
        all.slack = larger ? any_size : max(all.slack, one.slack);
    }
    *out = all;
    return true;
}

static bool arithmetic_bounds(reader *r, const instruction *x, bounds *out) {
    const bounds *p = &r->code[x->in[0]].bounds, *q = &r->code[x->in[1]].bounds;
    double k;
    switch (x->op) {
    case OP_Add:
        return bounds_sum(r, p->folded ? *p : *q, p->folded ? *q : *p, 1, out);
    case OP_Sub:
        return bounds_sum(r, *p, *q, -1, out);
    case OP_Mul:
        if (is_number(r, x->in[0], &k)) return bounds_scaled(r, *q, k, out);
        if (is_number(r, x->in[1], &k)) return bounds_scaled(r, *p, k, out);
        return bounded_bounds(r, x, out);
    case OP_Div:
        if (is_number(r, x->in[1], &k) && !is_bounded(p)) return bounds_divided(r, *p, k, out);
        return bounded_bounds(r, x, out);
    default: /* Mod */
        if (!is_number(r, x->in[1], &k) || is_bounded(p)) return bounded_bounds(r, x, out);
        if (!bounds_divided(r, *p, fabs(k), out)) return false;
        out->a = out->b = 0;
        out->over = 1;
        out->slack = (int64_t)fabs(k);
        return true;
    }
}

static bool find_bounds(reader *r, const instruction *x, bounds *out) {
    const bounds *p = &r->code[x->in[0]].bounds;
    switch (x->op) {
    case OP_Add:
    case OP_Sub:
    case OP_Mul:
    case OP_Div:
    case OP_Mod:
        return arithmetic_bounds(r, x, out);
    case OP_Equal:
    case OP_Less:
    case OP_LessOrEqual:
    case OP_Greater:
    case OP_GreaterOrEqual:
        return compare_bounds(r, p, &r->code[x->in[1]].bounds, out);
    case OP_Sign:
        return bounds_sign(r, *p, out);
    case OP_Neg:
        return bounds_scaled(r, *p, -1, out);
    case OP_Abs:
        *out = *p;
        out->folded = !is_bounded(p);
        return !p->folded || fail(r, "it adds absolute values");
    case OP_Floor:
    case OP_Ceil:
        if (!is_bounded(p) && !bounds_divided(r, *p, 1, out)) return false;
        if (is_bounded(p)) *out = *p;
        return true;
    case OP_Cast:
        *out = *p;
        if (is_bounded(p)) return true;
        if (x->node->out[0].type->dtype == DT_bool) return bounds_sign(r, *p, out);
        return p->over == 1 || bounds_divided(r, *p, 1, out);
    default:
        return bounded_bounds(r, x, out);
    }
}

/* ---- from the graph --------------------------------------------------------------------------------------------- */

static bool compile(reader *r, const ir_value *v, const coord *at, uint32_t depth, uint32_t *out);

static bool is_fixed(const coord *c) {
    return !c->i && !c->j;
}

static bool is_one(const ir_dim *d) {
    return ir_dim_is(d, 1);
}

static bool compile_table(reader *r, const ir_value *v, const coord *at, uint32_t *out) {
    const ir_type *t = v->type;
    coord flat = {0};
    int64_t stride = 1;
    if (v->tensor->opaque || !ir_tensor_elements(v->tensor))
        return fail(r, "a constant is not known");
    if (ir_tensor_is_splat(v->tensor)) return emit_number(r, ir_tensor_get_f64(v->tensor, 0), out);
    for (int32_t k = t->rank; k-- > 0;) {
        int64_t n = 1;
        ir_dim_is_const(t->dims[k], &n);
        if (n == 1) continue;
        bool by_query = at[k].i && !at[k].j, by_key = at[k].j && !at[k].i;
        if (is_fixed(&at[k]) && (at[k].base < 0 || at[k].base >= n))
            return fail(r, "it reads behind the end of a constant");
        if (!is_fixed(&at[k]) && (at[k].i + at[k].j != 1 || at[k].base || by_query == by_key))
            return fail(r, "it reads a constant in another order");
        if (by_query) r->rows = min(r->rows, n);
        if (by_key) r->columns = min(r->columns, n);
        flat.i += at[k].i * stride;
        flat.j += at[k].j * stride;
        flat.base += at[k].base * stride;
        stride *= n;
    }
    instruction x = {.op = OP_None, .table = v->tensor, .at = flat};
    x.bounds = (bounds){.over = 1, .period = 1};
    return emit(r, x, out);
}

/* 0, 1, 2, ... along one axis: a position, not a table. */
static bool is_iota(const ir_value *v, int32_t *axis) {
    const ir_type *t = v->type;
    int32_t found = -1;
    for (int32_t k = 0; k < t->rank; k++) {
        if (is_one(t->dims[k])) continue;
        if (found >= 0) return false;
        found = k;
    }
    if (found < 0 || !ir_dtype_is_int(t->dtype) || v->tensor->opaque) return false;
    size_t n = ir_tensor_elements(v->tensor);
    for (size_t k = 0; k < n; k++)
        if (ir_tensor_get_i64(v->tensor, k) != (int64_t)k) return false;
    *axis = found;
    return n > 1;
}

/* Coordinates of an operand that is stretched to the result. */
static void broadcast(const ir_type *from, int32_t rank, const coord *at, coord *out) {
    for (int32_t k = 0; k < from->rank; k++)
        out[k] = is_one(from->dims[k]) ? (coord){0} : at[rank - from->rank + k];
}

/* Axes of extent 1 come and go; the others are the same in the same order. */
static bool compile_reshaped(reader *r, const ir_node *n, const coord *at, uint32_t depth,
                             uint32_t *out) {
    const ir_type *from = n->in[0].value->type, *to = n->out[0].type;
    coord inner[IR_MAX_RANK] = {{0}};
    int32_t k = 0;
    for (int32_t i = 0; i < from->rank; i++) {
        if (is_one(from->dims[i])) continue;
        while (k < to->rank && is_one(to->dims[k]))
            k++;
        if (k == to->rank || !ir_dim_equal(from->dims[i], to->dims[k]))
            return fail(r, "it is reshaped");
        inner[i] = at[k++];
    }
    while (k < to->rank && is_one(to->dims[k]))
        k++;
    return k == to->rank ? compile(r, n->in[0].value, inner, depth, out)
                         : fail(r, "it is reshaped");
}

static bool compile_slice(reader *r, const ir_node *n, const coord *at, uint32_t depth,
                          uint32_t *out) {
    const ir_type *t = n->in[0].value->type;
    int64_t starts[IR_MAX_RANK], axes[IR_MAX_RANK], steps[IR_MAX_RANK];
    coord inner[IR_MAX_RANK];
    int32_t count = ir_value_const_ints(ir_in(n, 1), starts, IR_MAX_RANK);
    for (int32_t k = 0; k < IR_MAX_RANK; k++)
        axes[k] = k, steps[k] = 1;
    if (count < 0 ||
        (ir_in(n, 3) && ir_value_const_ints(ir_in(n, 3), axes, IR_MAX_RANK) != count) ||
        (ir_in(n, 4) && ir_value_const_ints(ir_in(n, 4), steps, IR_MAX_RANK) != count))
        return fail(r, "where it is cut is not known");
    memcpy(inner, at, (size_t)t->rank * sizeof *at);
    for (int32_t k = 0; k < count; k++) {
        int32_t axis = normal_axis(axes[k], t->rank);
        if (axis < 0 || steps[k] < 1 || steps[k] > MAX_GRID || starts[k] < 0 ||
            starts[k] > MAX_NUMBER)
            return fail(r, "it is cut from its end");
        coord c = inner[axis];
        inner[axis] = (coord){c.i * steps[k], c.j * steps[k], c.base * steps[k] + starts[k]};
    }
    return compile(r, n->in[0].value, inner, depth, out);
}

/* Rows picked by number: by one that is fixed, or by positions. */
static bool compile_gather(reader *r, const ir_node *n, const coord *at, uint32_t depth,
                           uint32_t *out) {
    const ir_type *data = n->in[0].value->type, *index = n->in[1].value->type;
    int32_t axis = normal_axis(ir_attr_int(n, "axis", 0), data->rank);
    coord inner[IR_MAX_RANK];
    uint32_t which;
    if (axis < 0 || !compile(r, n->in[1].value, at + axis, depth, &which)) return false;
    const instruction *x = &r->code[which];
    double k;
    if (is_number(r, which, &k))
        inner[axis] = (coord){.base = (int64_t)k};
    else if (x->op == OP_None && !x->table)
        inner[axis] = x->at;
    else
        return fail(r, "it is picked by numbers that are not positions");
    for (int32_t i = 0; i < axis; i++)
        inner[i] = at[i];
    for (int32_t i = axis + 1; i < data->rank; i++)
        inner[i] = at[i + index->rank - 1];
    return compile(r, n->in[0].value, inner, depth, out);
}

static bool compile_transposed(reader *r, const ir_node *n, const coord *at, uint32_t depth,
                               uint32_t *out) {
    int64_t perm[IR_MAX_RANK];
    uint32_t rank;
    coord inner[IR_MAX_RANK];
    if (!get_perm(n, perm, &rank)) return fail(r, "its rank is not known");
    for (uint32_t k = 0; k < rank; k++)
        inner[perm[k]] = at[k];
    return compile(r, n->in[0].value, inner, depth, out);
}

/* An operator of rows, with its bounds. */
static bool emit_op(reader *r, op_id op, const ir_node *n, const uint32_t *in, uint32_t n_in,
                    uint32_t *out) {
    instruction x = {.op = op, .node = n, .n_in = n_in};
    memcpy(x.in, in, n_in * sizeof *in);
    if (!find_bounds(r, &x, &x.bounds)) {
        if (!r->whole) return false;
        x.bounds = (bounds){.over = 1, .period = 1};
        r->why = NULL;
    }
    return emit(r, x, out);
}

/* The last two coordinates differ by k at least (or at most). */
static bool compile_diagonal(reader *r, const coord *row, const coord *column, op_id op, int64_t k,
                             uint32_t *out) {
    coord d = {column->i - row->i, column->j - row->j, column->base - row->base};
    uint32_t in[2];
    return emit_coord(r, d, &in[0]) && emit_number(r, (double)k, &in[1]) &&
           emit_op(r, op, NULL, in, 2, out);
}

static bool compile_trilu(reader *r, const ir_node *n, const coord *at, uint32_t depth,
                          uint32_t *out) {
    int32_t rank = n->out[0].type->rank;
    int64_t k = 0;
    uint32_t in[3];
    bool upper = ir_attr_int(n, "upper", 1);
    if (ir_in(n, 1) && !ir_value_const_i64(ir_in(n, 1), &k))
        return fail(r, "its diagonal is not known");
    return compile_diagonal(r, &at[rank - 2], &at[rank - 1],
                            upper ? OP_GreaterOrEqual : OP_LessOrEqual, k, &in[0]) &&
           compile(r, n->in[0].value, at, depth, &in[1]) && emit_number(r, 0, &in[2]) &&
           emit_op(r, OP_Where, NULL, in, 3, out);
}

static bool compile_range(reader *r, const ir_node *n, const coord *at, uint32_t *out) {
    int64_t start, step;
    if (!ir_value_const_i64(ir_in(n, 0), &start) || !ir_value_const_i64(ir_in(n, 2), &step) ||
        absolute(step) > MAX_GRID || absolute(start) > MAX_NUMBER)
        return fail(r, "a Range does not begin with a constant");
    return emit_coord(r, (coord){at[0].i * step, at[0].j * step, at[0].base * step + start}, out);
}

static bool compile_filled(reader *r, const ir_node *n, uint32_t *out) {
    const ir_attr *value = ir_attr_find(n, "value");
    bool given = value && value->kind == ATTR_TENSOR;
    return emit_number(r, given ? ir_tensor_get_f64(value->v.t, 0) : 0, out);
}

static bool is_pointwise(op_id op) {
    switch (op) {
    case OP_Add:
    case OP_Sub:
    case OP_Mul:
    case OP_Div:
    case OP_Mod:
    case OP_Abs:
    case OP_Neg:
    case OP_Sign:
    case OP_Floor:
    case OP_Ceil:
    case OP_Cast:
    case OP_Equal:
    case OP_Less:
    case OP_LessOrEqual:
    case OP_Greater:
    case OP_GreaterOrEqual:
    case OP_And:
    case OP_Or:
    case OP_Xor:
    case OP_Not:
    case OP_Where:
    case OP_Min:
    case OP_Max:
    case OP_IsNaN:
        return true;
    default:
        return false;
    }
}

static bool compile_pointwise(reader *r, const ir_node *n, const coord *at, uint32_t depth,
                              uint32_t *out) {
    uint32_t in[3];
    if (n->n_in > 3) return fail(r, "it has too many operands");
    for (uint32_t i = 0; i < n->n_in; i++) {
        coord inner[IR_MAX_RANK];
        broadcast(n->in[i].value->type, n->out[0].type->rank, at, inner);
        if (!compile(r, n->in[i].value, inner, depth, &in[i])) return false;
    }
    return emit_op(r, n->op, n, in, n->n_in, out);
}

static bool compile_node(reader *r, const ir_node *n, const coord *at, uint32_t depth,
                         uint32_t *out) {
    coord inner[IR_MAX_RANK];
    if (is_reshape_like(n->op)) return compile_reshaped(r, n, at, depth, out);
    if (is_pointwise(n->op)) return compile_pointwise(r, n, at, depth, out);
    switch (n->op) {
    case OP_Identity:
        return compile(r, n->in[0].value, at, depth, out);
    case OP_Expand:
        broadcast(n->in[0].value->type, n->out[0].type->rank, at, inner);
        return compile(r, n->in[0].value, inner, depth, out);
    case OP_Transpose:
        return compile_transposed(r, n, at, depth, out);
    case OP_Slice:
        return compile_slice(r, n, at, depth, out);
    case OP_Gather:
        return compile_gather(r, n, at, depth, out);
    case OP_Trilu:
        return compile_trilu(r, n, at, depth, out);
    case OP_EyeLike:
        return compile_diagonal(r, &at[0], &at[1], OP_Equal, ir_attr_int(n, "k", 0), out);
    case OP_Range:
        return compile_range(r, n, at, out);
    case OP_ConstantOfShape:
        return compile_filled(r, n, out);
    default:
        return fail(r, tl_arena_printf(r->ctx->scratch, "%s in it is no function of positions",
                                       op_get(n->op)->name));
    }
}

static bool is_readable(const ir_value *v) {
    if (!ir_type_is_tensor(v->type) || !ir_type_is_ranked(v->type)) return false;
    ir_dtype t = v->type->dtype;
    return t == DT_bool || t == DT_i32 || t == DT_i64 || ir_dtype_is_float(t);
}

static bool compile(reader *r, const ir_value *v, const coord *at, uint32_t depth, uint32_t *out) {
    int64_t k;
    int32_t axis;
    if (!is_readable(v)) return fail(r, "it is computed in another type");
    if (depth == 0) return fail(r, "it is computed in too many steps");
    if (ir_value_is_const(v))
        return is_iota(v, &axis) ? emit_coord(r, at[axis], out) : compile_table(r, v, at, out);
    if (ir_dtype_is_int(v->type->dtype) && ir_value_const_i64(v, &k))
        return emit_number(r, (double)k, out);
    if (!v->def) return fail(r, "it is an input, or the value of a loop");
    for (uint32_t i = 0; i < v->def->n_in; i++)
        if (!v->def->in[i].value)
            continue;
        else if (!ir_type_is_ranked(v->def->in[i].value->type))
            return fail(r, "its rank is not known");
    return compile_node(r, v->def, at, depth - 1, out);
}

/* ---- running ---------------------------------------------------------------------------------------------------- */

static double read_table(const instruction *x, int64_t i, int64_t j) {
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

static double run_op(const instruction *c, double x, double y, double z) {
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

static void run_row(reader *r, int64_t i, int64_t keys) {
    for (uint32_t k = 0; k < r->n; k++) {
        instruction *c = &r->code[k];
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
static bool is_exact(reader *r) {
    for (uint32_t k = 0; k < r->n; k++) {
        const instruction *c = &r->code[k];
        if ((c->op == OP_Min || c->op == OP_Max) && c->n_in > 2)
            return fail(r, "Min or Max of several operands");
        if (c->op != OP_Add && c->op != OP_Sub && c->op != OP_Mul && c->op != OP_Div) continue;
        ir_dtype t = c->node->out[0].type->dtype;
        if (t == DT_f16 || t == DT_bf16) return fail(r, "it is computed in a narrow type");
    }
    return true;
}

/* So many rows and columns tell all of them. */
static bool set_size(reader *r, const bounds *b, const ir_dim *queries, const ir_dim *keys,
                     mask_grid *g) {
    g->queries = r->rows;
    g->keys = r->columns;
    ir_dim_is_const(queries, &g->queries);
    ir_dim_is_const(keys, &g->keys);
    g->all = g->queries <= MAX_GRID && g->keys <= MAX_GRID;
    g->period = b->period;
    g->from = b->from + b->period;
    g->reach = b->reach + 2 * b->period;
    if (g->all) return true;
    if (r->rows != INT64_MAX || r->columns != INT64_MAX)
        return fail(r, "it is a constant whose positions are too many to be read");
    int64_t enough = g->from + g->reach + 2 * g->period + 4;
    if (enough > MAX_GRID) return fail(r, "its chunks or bands are too long");
    g->queries = min(g->queries, enough);
    g->keys = min(g->keys, enough);
    return true;
}

static bool is_short(const ir_dim *d) {
    int64_t n;
    return ir_dim_is_const(d, &n) && n <= MAX_GRID;
}

/* Coordinates of the last two axes; those in front must be 1. */
static bool set_axes(reader *r, const ir_type *t, coord *at) {
    if (!ir_type_is_ranked(t) || t->rank < 1) return fail(r, "its rank is not known");
    for (int32_t k = 0; k < t->rank - 2; k++)
        if (!is_one(t->dims[k])) return fail(r, "it differs between heads or batch entries");
    if (!is_one(t->dims[t->rank - 1])) at[t->rank - 1].j = 1;
    if (t->rank > 1 && !is_one(t->dims[t->rank - 2])) at[t->rank - 2].i = 1;
    return true;
}

/* A mask that cannot be read leaves nothing behind. */
static bool compile_mask(reader *r, const ir_value *v, bounds *all, uint32_t *out) {
    coord at[IR_MAX_RANK] = {{0}};
    reader before = *r;
    bounds joined = *all;
    bool ok = set_axes(r, v->type, at) && compile(r, v, at, MAX_DEPTH, out) && is_exact(r) &&
              join(r, &joined, &r->code[*out].bounds);
    if (ok) {
        *all = joined;
        return true;
    }
    const char *why = r->why;
    *r = before;
    fail(r, why);
    return false;
}

static void allocate_rows(reader *r, const mask_grid *g) {
    for (uint32_t k = 0; k < r->n; k++)
        if (r->code[k].op != OP_Dims)
            r->code[k].row = TL_NEW_ARRAY(r->ctx->scratch, double, (size_t)g->keys + 1);
}

uint32_t mask_read(pass_ctx *ctx, ir_value *const *masks, uint32_t n, const ir_dim *queries,
                   const ir_dim *keys, mask_grid *g, const char **why) {
    reader *r = TL_NEW(ctx->scratch, reader);
    uint32_t result[MASK_PARTS], count = 0;
    double *rows[MASK_PARTS] = {0};
    bounds all = {.over = 1, .period = 1};
    *g = (mask_grid){0};
    *r = (reader){.ctx = ctx, .rows = INT64_MAX, .columns = INT64_MAX};
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
                const instruction *c = &r->code[result[k]];
                rows[k][i * g->keys + j] = c->row[c->op == OP_Dims ? 0 : j];
            }
    }
    return count;
}
