/* How what a mask is computed from repeats; see mask.h. */
#include "passes/mask_internal.h"

#include <math.h>

static const int64_t any_size = INT64_MAX / 8; /* of r, where it does not matter */

static int64_t gcd(int64_t x, int64_t y) {
    return y ? gcd(y, x % y) : x;
}
static int64_t absolute(int64_t x) {
    return x < 0 ? -x : x;
}

/* ---- bounds ----------------------------------------------------------------------------------------------------- */

/* Both over one denominator, with one period. */
bool mask_bounds_join(mask_reader *r, mask_bounds *x, mask_bounds *y) {
    int64_t over = x->over / gcd(x->over, y->over) * y->over;
    int64_t period = x->period / gcd(x->period, y->period) * y->period;
    if (over > MASK_GRID || period > MASK_GRID) return mask_fail(r, "its periods are too long");
    mask_bounds *both[] = {x, y};
    for (int k = 0; k < 2; k++) {
        both[k]->a *= over / both[k]->over;
        both[k]->b *= over / both[k]->over;
        both[k]->over = over;
        both[k]->period = period;
    }
    x->from = y->from = mask_max(x->from, y->from);
    x->reach = y->reach = mask_max(x->reach, y->reach);
    return true;
}

static bool is_bounded(const mask_bounds *x) {
    return !x->a && !x->b;
}

bool mask_bounds_are_small(mask_reader *r, const mask_bounds *x) {
    if (absolute(x->a) < MASK_NUMBER && absolute(x->b) < MASK_NUMBER && x->slack < MASK_NUMBER)
        return true;
    return mask_fail(r, "its numbers are too large");
}

static int64_t product(int64_t x, int64_t y) {
    return x && y > any_size / x ? any_size : mask_min(x * y, any_size);
}

static bool bounds_sum(mask_reader *r, mask_bounds x, mask_bounds y, int sign, mask_bounds *out) {
    if ((x.folded && !is_bounded(&y)) || y.folded) return mask_fail(r, "it adds absolute values");
    if (!mask_bounds_join(r, &x, &y)) return false;
    *out = x;
    out->a += sign * y.a;
    out->b += sign * y.b;
    out->slack = mask_min(out->slack + y.slack, any_size);
    return is_bounded(out) || mask_bounds_are_small(r, out);
}

static bool bounds_scaled(mask_reader *r, mask_bounds x, double by, mask_bounds *out) {
    if (is_bounded(&x)) {
        *out = x;
        out->slack = fabs(by) < MASK_NUMBER ? product(x.slack, (int64_t)ceil(fabs(by))) : any_size;
        return true;
    }
    if (by != floor(by) || fabs(by) >= MASK_GRID || x.folded)
        return mask_fail(r, "it multiplies positions by what is no small integer");
    *out = x;
    out->a *= (int64_t)by;
    out->b *= (int64_t)by;
    out->slack *= absolute((int64_t)by);
    return mask_bounds_are_small(r, out);
}

/* What is computed from x's sign, or from x where it has no slope. */
static bool bounds_sign(mask_reader *r, mask_bounds x, mask_bounds *out) {
    int64_t slope = mask_max(absolute(x.a), absolute(x.b));
    *out = (mask_bounds){
        .over = 1, .period = x.period, .from = x.from, .reach = x.reach, .slack = 1};
    if (is_bounded(&x)) return true;
    if (x.a + x.b != 0 && ((x.a > 0 && x.b < 0) || (x.a < 0 && x.b > 0)))
        return mask_fail(r, "it compares multiples of positions");
    int64_t least = x.a && x.b ? mask_min(absolute(x.a), absolute(x.b)) : slope;
    int64_t decided = x.slack * x.over / least + 2;
    out->reach = mask_max(out->reach, decided);
    if (x.a + x.b != 0) out->from = mask_max(out->from, decided);
    return true;
}

/* Quotient by a constant, rounded to an integer or not. Toward 0: where its sign is not decided, it is not periodic either. */
static bool bounds_divided(mask_reader *r, mask_bounds x, double by, mask_bounds *out) {
    mask_bounds sign;
    if (by != floor(by) || by < 1 || by > MASK_GRID || x.folded)
        return mask_fail(r, "it divides positions by what is no small integer");
    if (!bounds_sign(r, x, &sign)) return false;
    *out = x;
    out->over *= (int64_t)by;
    out->period *= out->over / gcd(out->over, out->period);
    out->slack = x.slack / (int64_t)by + 2;
    out->from = sign.from;
    out->reach = sign.reach;
    return out->period <= MASK_GRID ? mask_bounds_are_small(r, out)
                                    : mask_fail(r, "its periods are too long");
}

/* ---- instructions ----------------------------------------------------------------------------------------------- */

mask_bounds mask_bounds_of_number(double x) {
    int64_t size = fabs(x) < MASK_NUMBER ? (int64_t)ceil(fabs(x)) : any_size;
    return (mask_bounds){.over = 1, .period = 1, .slack = size};
}

bool mask_is_number(const mask_reader *r, uint32_t at, double *x) {
    if (r->code[at].op != OP_Dims) return false;
    *x = *r->code[at].row;
    return true;
}

static bool compare_bounds(mask_reader *r, const mask_bounds *x, const mask_bounds *y,
                           mask_bounds *out) {
    mask_bounds d;
    if (is_bounded(x) && is_bounded(y)) {
        mask_bounds p = *x, q = *y;
        if (!mask_bounds_join(r, &p, &q)) return false;
        return bounds_sign(r, p, out);
    }
    return bounds_sum(r, *x, *y, -1, &d) && bounds_sign(r, d, out);
}

/* Operators whose result depends only on bounded operands. */
static bool bounded_bounds(mask_reader *r, const mask_instruction *x, mask_bounds *out) {
    mask_bounds all = {.over = 1, .period = 1, .slack = 1};
    bool larger = x->op == OP_Mul || x->op == OP_Div;
    for (uint32_t i = 0; i < x->n_in; i++) {
        mask_bounds one = r->code[x->in[i]].bounds;
        if (!is_bounded(&one))
            return mask_fail(r, "it depends on positions in no way that is known");
        if (!mask_bounds_join(r, &all, &one)) return false;
        all.slack = larger ? any_size : mask_max(all.slack, one.slack);
    }
    *out = all;
    return true;
}

static bool arithmetic_bounds(mask_reader *r, const mask_instruction *x, mask_bounds *out) {
    const mask_bounds *p = &r->code[x->in[0]].bounds, *q = &r->code[x->in[1]].bounds;
    double k;
    switch (x->op) {
    case OP_Add:
        return bounds_sum(r, p->folded ? *p : *q, p->folded ? *q : *p, 1, out);
    case OP_Sub:
        return bounds_sum(r, *p, *q, -1, out);
    case OP_Mul:
        if (mask_is_number(r, x->in[0], &k)) return bounds_scaled(r, *q, k, out);
        if (mask_is_number(r, x->in[1], &k)) return bounds_scaled(r, *p, k, out);
        return bounded_bounds(r, x, out);
    case OP_Div:
        if (mask_is_number(r, x->in[1], &k) && !is_bounded(p)) return bounds_divided(r, *p, k, out);
        return bounded_bounds(r, x, out);
    default: /* Mod */
        if (!mask_is_number(r, x->in[1], &k) || is_bounded(p)) return bounded_bounds(r, x, out);
        if (!bounds_divided(r, *p, fabs(k), out)) return false;
        out->a = out->b = 0;
        out->over = 1;
        out->slack = (int64_t)fabs(k);
        return true;
    }
}

bool mask_bounds_of(mask_reader *r, const mask_instruction *x, mask_bounds *out) {
    const mask_bounds *p = &r->code[x->in[0]].bounds;
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
        return !p->folded || mask_fail(r, "it adds absolute values");
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
