/* A Recur against its rules; see verify_internal.h. All that is wrong is reported, not just the first of it.
 *
 *   f32[2,4] %h, f32[5,4] %ys = Recur<carries=1, output_axes=[2]>(%five, %h0, %x) {
 *     body(i64[] %i, f32[2,4] %p, f32[2] %xi) { ... yield %i, %y }
 *   }
 *   -> carried value 0 is f32[2,4] before a round and i64[] after it
 *      output_axes[0] is 2, expected -2 to 1
 *
 * What is not known yet (types before inference, symbolic sizes) is no mistake. */
#include "ir/verify_internal.h"

#include <string.h>

typedef struct recur_check {
    verifier *s;
    const ir_node *n;
    const ir_region *body;
    uint32_t n_carried, n_sliced, n_stacked;
} recur_check;

static const char *text_of(const recur_check *r, const ir_type *t) {
    tl_str text;
    tl_str_init(&text, r->s->arena);
    ir_type_print(t, &text);
    return text.data;
}

/* ---- attributes ------------------------------------------------------------------------------------------------- */

static void check_names(const recur_check *r) {
    static const char *const lists[] = {"input_axes", "input_reverse", "output_axes",
                                        "output_reverse"};
    for (uint32_t i = 0; i < r->n->n_attrs; i++) {
        const ir_attr *a = &r->n->attrs[i];
        bool list = false, count = strcmp(a->name, "carries") == 0 || strcmp(a->name, "span") == 0;
        for (uint32_t k = 0; k < 4; k++)
            list |= strcmp(a->name, lists[k]) == 0;
        if (!verify_that(r->s, r->n, list || count, "unknown attribute '%s'", a->name)) continue;
        verify_that(r->s, r->n, a->kind == (count ? ATTR_INT : ATTR_INTS),
                    "attribute '%s' is no %s", a->name, count ? "integer" : "list of integers");
    }
}

/* A list with an entry for each slice or stacked output, or with none. */
static const int64_t *find_list(const recur_check *r, const char *name, uint32_t expected) {
    uint32_t count;
    const int64_t *list = ir_attr_ints(r->n, name, &count);
    if (!list || !count) return NULL;
    return verify_that(r->s, r->n, count == expected, "'%s' has %u entries, expected %u", name,
                       count, expected)
               ? list
               : NULL;
}

static void check_flags(const recur_check *r, const char *name, uint32_t expected) {
    const int64_t *list = find_list(r, name, expected);
    for (uint32_t i = 0; list && i < expected; i++)
        verify_that(r->s, r->n, list[i] == 0 || list[i] == 1, "%s[%u] is %lld, expected 0 or 1",
                    name, i, (long long)list[i]);
}

/* ---- types ------------------------------------------------------------------------------------------------------ */

/* Equal but for what is not known, and for symbols, which only the run can compare. */
static bool may_be_same(const ir_type *a, const ir_type *b) {
    int64_t x, y;
    if (!a || !b || a == b) return true;
    if (a->kind != b->kind || a->dtype != b->dtype) return false;
    if (!ir_type_is_ranked(a) || !ir_type_is_ranked(b)) return true;
    if (a->rank != b->rank) return false;
    for (int32_t i = 0; i < a->rank; i++)
        if (ir_dim_is_const(a->dims[i], &x) && ir_dim_is_const(b->dims[i], &y) && x != y)
            return false;
    return true;
}

static void check_carried(const recur_check *r, uint32_t i) {
    const ir_value *initial = ir_in(r->n, 1 + i), *param = r->body->params[1 + i],
                   *next = ir_region_result(r->body, i);
    if (!verify_that(r->s, r->n, initial, "carried value %u has no initial value", i)) return;
    verify_that(r->s, r->n, may_be_same(initial->type, param->type),
                "carried value %u starts as %s, its parameter is %s", i, text_of(r, initial->type),
                text_of(r, param->type));
    verify_that(r->s, r->n, !next || may_be_same(param->type, next->type),
                "carried value %u is %s before a round and %s after it", i, text_of(r, param->type),
                text_of(r, next->type));
}

static bool check_axis(const recur_check *r, const char *name, uint32_t i, int64_t axis,
                       int32_t rank) {
    return verify_that(r->s, r->n, axis >= -rank && axis < rank,
                       "%s[%u] is %lld, expected %d to %d", name, i, (long long)axis, -rank,
                       rank - 1);
}

/* Extents along the axes that are sliced agree with each other and with the trip count. */
static void check_sliced(const recur_check *r, uint32_t i, const int64_t *axes, int64_t *trips) {
    const ir_value *v = ir_in(r->n, 1 + r->n_carried + i);
    int64_t axis = axes ? axes[i] : 0, extent;
    if (!verify_that(r->s, r->n, v, "sliced input %u is omitted", i) || !v->type) return;
    if (!verify_that(r->s, r->n, ir_type_is_tensor(v->type), "sliced input %u is %s", i,
                     text_of(r, v->type)) ||
        !ir_type_is_ranked(v->type) || !check_axis(r, "input_axes", i, axis, v->type->rank))
        return;
    axis += axis < 0 ? v->type->rank : 0;
    if (!ir_dim_is_const(v->type->dims[axis], &extent)) return;
    if (*trips < 0) *trips = extent;
    verify_that(r->s, r->n, extent == *trips, "sliced input %u has %lld slices for %lld rounds", i,
                (long long)extent, (long long)*trips);
}

static void check_stacked(const recur_check *r, uint32_t i, const int64_t *axes) {
    const ir_value *v = ir_region_result(r->body, r->n_carried + i);
    if (!v || !v->type) return;
    if (!verify_that(r->s, r->n, ir_type_is_tensor(v->type), "stacked output %u is made of %s", i,
                     text_of(r, v->type)) ||
        !ir_type_is_ranked(v->type))
        return;
    int32_t rank = v->type->rank + (ir_attr_int(r->n, "span", 0) == 0);
    check_axis(r, "output_axes", i, axes ? axes[i] : 0, rank);
}

/* The trip count where it is a constant, -1 where it is not. */
static int64_t check_trips(const recur_check *r) {
    const ir_value *v = ir_in(r->n, 0);
    int64_t trips;
    if (!verify_that(r->s, r->n, v, "the trip count is omitted")) return -1;
    const ir_type *t = v->type;
    bool fits = !t || (ir_type_is_tensor(t) && t->dtype == DT_i64 &&
                       (!ir_type_is_ranked(t) || t->rank == 0 ||
                        (t->rank == 1 &&
                         (!ir_dim_is_const(t->dims[0], NULL) || ir_dim_is(t->dims[0], 1)))));
    verify_that(r->s, r->n, fits, "the trip count is %s, expected one i64", text_of(r, t));
    if (!ir_value_const_i64(v, &trips)) return -1;
    return trips < 0 ? 0 : trips;
}

/* ---- the node --------------------------------------------------------------------------------------------------- */

/* Counts first: nothing else can be said of a node where they are wrong. */
static bool check_counts(verifier *s, const ir_node *n, const ir_region *body) {
    int64_t carries = ir_attr_int(n, "carries", 0);
    uint32_t before = s->n_errors, least = n->n_in > n->n_out + 1 ? n->n_out + 1 : n->n_in;
    verify_that(s, n, n->n_in >= 1, "has no operands, expected a trip count");
    if (n->n_in >= 1)
        verify_that(s, n, carries >= 0 && carries < least,
                    "carries is %lld, expected 0 to %u: it has %u operands and %u results",
                    (long long)carries, least - 1, n->n_in, n->n_out);
    verify_that(s, n, body->n_params == n->n_in, "region '%s' has %u parameters, expected %u",
                body->name, body->n_params, n->n_in);
    verify_that(s, n, ir_region_n_results(body) == n->n_out,
                "region '%s' yields %u values, expected %u", body->name, ir_region_n_results(body),
                n->n_out);
    return s->n_errors == before;
}

/* Rounds that are done several at once cannot hand anything from one to the next. */
static void check_span(const recur_check *r) {
    if (!ir_attr_has(r->n, "span")) return;
    int64_t span = ir_attr_int(r->n, "span", 0);
    verify_that(r->s, r->n, span > 0, "span is %lld, expected 1 or more", (long long)span);
    verify_that(r->s, r->n, r->n_carried == 0, "a span and %u carried values", r->n_carried);
    verify_that(r->s, r->n, r->n_sliced > 0, "a span and nothing that is sliced");
    verify_that(r->s, r->n,
                !ir_attr_has(r->n, "input_reverse") && !ir_attr_has(r->n, "output_reverse"),
                "a span and a reverse order");
}

void verify_recur(verifier *s, const ir_node *n, const ir_region *body) {
    recur_check r = {.s = s, .n = n, .body = body};
    check_names(&r);
    if (!check_counts(s, n, body)) return;
    r.n_carried = (uint32_t)ir_attr_int(n, "carries", 0);
    r.n_sliced = n->n_in - 1 - r.n_carried;
    r.n_stacked = n->n_out - r.n_carried;
    int64_t trips = check_trips(&r);
    const ir_type *counter = body->params[0]->type;
    verify_that(s, n, !counter || (ir_type_is_tensor(counter) && counter->dtype == DT_i64),
                "the counter is %s, expected i64[]", text_of(&r, counter));
    for (uint32_t i = 0; i < r.n_carried; i++)
        check_carried(&r, i);
    const int64_t *axes = find_list(&r, "input_axes", r.n_sliced);
    for (uint32_t i = 0; i < r.n_sliced; i++)
        check_sliced(&r, i, axes, &trips);
    axes = find_list(&r, "output_axes", r.n_stacked);
    for (uint32_t i = 0; i < r.n_stacked; i++)
        check_stacked(&r, i, axes);
    check_flags(&r, "input_reverse", r.n_sliced);
    check_flags(&r, "output_reverse", r.n_stacked);
    check_span(&r);
}
