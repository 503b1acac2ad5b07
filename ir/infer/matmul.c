/* Matrix products and attention. */
#include "ir/band.h"
#include "ir/infer/infer.h"

/* The dims in front of the last two. */
static ir_shape batch_dims(const ir_shape *s) {
    ir_shape r = *s;
    r.rank = s->rank > 2 ? s->rank - 2 : 0;
    return r;
}

bool infer_product_shape(ir_ctx *c, const ir_node *n, ir_shape *out) {
    for (uint32_t i = 0; i < 2; i++)
        if (infer_in(n, i)->rank == 0)
            return infer_error(c, n, i, "rank is 0, expected 1 at least");
    ir_shape a = infer_in_shape(n, 0), b = infer_in_shape(n, 1), batch = batch_dims(&b);
    *out = batch_dims(&a);
    if (!infer_expect_dim(c, n, 1, b.rank == 1 ? 0 : b.rank - 2, a.dims[a.rank - 1])) return false;
    if (!infer_broadcast_with(c, n, 1, out, &batch)) return false;
    if (a.rank > 1 && !infer_push(c, n, out, a.dims[a.rank - 2])) return false;
    return b.rank == 1 || infer_push(c, n, out, b.dims[b.rank - 1]);
}

bool infer_matmul(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_result_dtype(n, 0);
    ir_shape out;
    for (uint32_t i = 0; i < 2; i++)
        if (!infer_is_ranked(n, i)) return infer_set_unranked(c, n, 0, dtype);
    return infer_product_shape(c, n, &out) && infer_set_shape(c, n, 0, dtype, &out);
}

/* Row and column dims of a matrix operand, exchanged where transposed; "?" where nothing is known. */
static void matrix_dims(ir_ctx *c, const ir_node *n, uint32_t i, bool transposed,
                        const ir_dim *out[2]) {
    const ir_type *t = infer_in(n, i);
    bool ranked = ir_type_is_ranked(t);
    out[transposed] = ranked ? t->dims[0] : ir_dim_unknown(c);
    out[!transposed] = ranked ? t->dims[1] : ir_dim_unknown(c);
}

bool infer_gemm(ir_ctx *c, ir_node *n) {
    const ir_dim *a[2], *b[2];
    bool trans_a = ir_attr_int(n, "transA", 0) != 0, trans_b = ir_attr_int(n, "transB", 0) != 0;
    if (!infer_expect_rank(c, n, 0, 2) || !infer_expect_rank(c, n, 1, 2)) return false;
    matrix_dims(c, n, 0, trans_a, a);
    matrix_dims(c, n, 1, trans_b, b);
    if (infer_is_ranked(n, 1) && !infer_expect_dim(c, n, 1, trans_b ? 1 : 0, a[1])) return false;
    ir_shape s = {2, {a[0], b[1]}};
    if (infer_is_ranked(n, 2)) {
        ir_shape sum = s, bias = infer_in_shape(n, 2);
        if (bias.rank > 2) return infer_error(c, n, 2, "rank is %d, expected 2 at most", bias.rank);
        if (!infer_broadcast_with(c, n, 2, &sum, &bias)) return false;
    }
    return infer_set_shape(c, n, 0, infer_in(n, 0)->dtype, &s);
}

/* The last two dims are square matrices. */
static bool expect_square(ir_ctx *c, const ir_node *n, const ir_shape *s) {
    if (s->rank < 2) return infer_error(c, n, 0, "rank is %d, expected 2 or more", s->rank);
    return infer_expect_dim(c, n, 0, s->rank - 1, s->dims[s->rank - 2]);
}

bool infer_inverse(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    if (!ir_dtype_is_float(dtype))
        return infer_error(c, n, 0, "element type is %s, expected a float", ir_dtype_name(dtype));
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, dtype);
    ir_shape s = infer_in_shape(n, 0);
    return expect_square(c, n, &s) && infer_set_shape(c, n, 0, dtype, &s);
}

bool infer_det(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, 0)->dtype;
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, dtype);
    ir_shape s = infer_in_shape(n, 0);
    if (!expect_square(c, n, &s)) return false;
    s.rank -= 2;
    return infer_set_shape(c, n, 0, dtype, &s);
}

/* ---- Attention --------------------------------------------------------------------------------------------------- */

enum { Q, K, V, MASK, PAST_K, PAST_V };

/* [batch, heads, length, size of a head] of an operand: given so, or packed as [batch, length, heads * size]. */
static bool head_dims(ir_ctx *c, const ir_node *n, uint32_t i, const char *heads_attr,
                      const ir_dim *out[4]) {
    const ir_type *t = infer_in(n, i);
    if (t->rank == 4) {
        memcpy(out, t->dims, 4 * sizeof *out);
        return true;
    }
    if (t->rank != 3) return infer_error(c, n, i, "rank is %d, expected 3 or 4", t->rank);
    int64_t heads = ir_attr_int(n, heads_attr, 0), width;
    if (heads <= 0)
        return infer_error(c, n, i, "rank is 3, so attribute '%s' must be above 0", heads_attr);
    if (ir_dim_is_const(t->dims[2], &width) && width % heads)
        return infer_error(c, n, i, "dimension 2 is %lld, expected a multiple of %lld heads",
                           (long long)width, (long long)heads);
    out[0] = t->dims[0], out[1] = ir_dim_const(c, heads), out[2] = t->dims[1];
    out[3] = ir_dim_floordiv(c, t->dims[2], out[1]);
    return true;
}

static const ir_dim *past_length(ir_ctx *c, const ir_node *n, uint32_t i) {
    if (!ir_in(n, i)) return ir_dim_const(c, 0);
    return infer_is_ranked(n, i) ? infer_in(n, i)->dims[2] : ir_dim_unknown(c);
}

static bool set_dims(ir_ctx *c, ir_node *n, uint32_t i, ir_dtype dtype, const ir_dim *a,
                     const ir_dim *b, const ir_dim *d, const ir_dim *e) {
    return infer_set_shape(c, n, i, dtype, &(ir_shape){4, {a, b, d, e}});
}

static bool check_attention(ir_ctx *c, const ir_node *n, const ir_dim *const q[4],
                            const ir_dim *const k[4], const ir_dim *const v[4]) {
    int64_t heads, kv_heads, x, y;
    if (ir_dim_is_const(q[1], &heads) && ir_dim_is_const(k[1], &kv_heads) &&
        (kv_heads == 0 || heads % kv_heads))
        return infer_error(c, n, K, "%lld heads, expected a divisor of the %lld of input 0",
                           (long long)kv_heads, (long long)heads);
    if (ir_dim_is_const(q[3], &x) && ir_dim_is_const(k[3], &y) && x != y)
        return infer_error(c, n, K, "size of a head is %lld, expected %lld", (long long)y,
                           (long long)x);
    if (ir_dim_is_const(k[2], &x) && ir_dim_is_const(v[2], &y) && x != y)
        return infer_error(c, n, V, "length is %lld, expected %lld", (long long)y, (long long)x);
    return true;
}

/* What was there before: both or none, of the same heads. */
static bool check_past(ir_ctx *c, const ir_node *n, const ir_dim *const k[4],
                       const ir_dim *const v[4]) {
    if (!ir_in(n, PAST_K) && !ir_in(n, PAST_V)) return true;
    if (!ir_in(n, PAST_K) || !ir_in(n, PAST_V))
        return diag_error(&c->diag, n->loc, "inputs %d and %d go together", PAST_K, PAST_V);
    for (int32_t i = 0; i < 4; i++) {
        if (infer_is_ranked(n, PAST_K) && i != 2 && !infer_expect_dim(c, n, PAST_K, i, k[i]))
            return false;
        if (infer_is_ranked(n, PAST_V) && i != 2 && !infer_expect_dim(c, n, PAST_V, i, v[i]))
            return false;
    }
    return !infer_is_ranked(n, PAST_K) || !infer_is_ranked(n, PAST_V) ||
           infer_expect_dim(c, n, PAST_V, 2, infer_in(n, PAST_K)->dims[2]);
}

static bool check_settings(ir_ctx *c, const ir_node *n) {
    int64_t mode = ir_attr_int(n, "qk_matmul_output_mode", 0),
            precision = ir_attr_int(n, "softmax_precision", DT_f32);
    if (mode < 0 || mode > 3)
        return diag_error(&c->diag, n->loc,
                          "attribute 'qk_matmul_output_mode' is %lld, expected 0 to 3",
                          (long long)mode);
    if (precision <= 0 || precision >= DT_COUNT || !ir_dtype_is_float((ir_dtype)precision))
        return diag_error(&c->diag, n->loc,
                          "attribute 'softmax_precision' is %lld, which is no float type",
                          (long long)precision);
    return true;
}

static bool attention_unranked(ir_ctx *c, ir_node *n) {
    ir_dtype dtype = infer_in(n, Q)->dtype;
    bool packed = infer_is_ranked(n, Q) && infer_in(n, Q)->rank == 3;
    return infer_set_rank(c, n, 0, dtype, packed ? 3 : 4) && infer_set_rank(c, n, 1, dtype, 4) &&
           infer_set_rank(c, n, 2, infer_in(n, V)->dtype, 4) && infer_set_rank(c, n, 3, dtype, 4);
}

bool infer_attention(ir_ctx *c, ir_node *n) {
    const ir_dim *q[4], *k[4], *v[4];
    if (!check_settings(c, n)) return false;
    if (!infer_is_ranked(n, Q)) return infer_set_unranked(c, n, 0, infer_in(n, Q)->dtype);
    if (!infer_is_ranked(n, K) || !infer_is_ranked(n, V)) return attention_unranked(c, n);
    if (!infer_expect_rank(c, n, PAST_K, 4) || !infer_expect_rank(c, n, PAST_V, 4)) return false;
    if (!head_dims(c, n, Q, "q_num_heads", q) || !head_dims(c, n, K, "kv_num_heads", k) ||
        !head_dims(c, n, V, "kv_num_heads", v) || !check_attention(c, n, q, k, v) ||
        !check_past(c, n, k, v))
        return false;
    ir_dtype dtype = infer_in(n, Q)->dtype;
    const ir_dim *total = ir_dim_add(c, past_length(c, n, PAST_K), k[2]);
    ir_shape packed = {3, {q[0], q[2], ir_dim_mul(c, q[1], v[3])}};
    bool y = infer_in(n, Q)->rank == 3 ? infer_set_shape(c, n, 0, dtype, &packed)
                                       : set_dims(c, n, 0, dtype, q[0], q[1], q[2], v[3]);
    return y && set_dims(c, n, 1, dtype, k[0], k[1], total, k[3]) &&
           set_dims(c, n, 2, infer_in(n, V)->dtype, v[0], v[1],
                    ir_dim_add(c, past_length(c, n, PAST_V), v[2]), v[3]) &&
           set_dims(c, n, 3, dtype, q[0], q[1], q[2], total);
}

/* ---- LocalAttention ---------------------------------------------------------------------------------------------- */

enum { FIRST = 4, BEGIN, LOCAL_OPERANDS };

static bool check_local(ir_ctx *c, const ir_node *n) {
    ir_band band = ir_band_of(n);
    const char *problem = ir_band_problem(&band);
    if (problem) return diag_error(&c->diag, n->loc, "%s", problem);
    if (n->n_in <= V || n->n_in > LOCAL_OPERANDS || n->n_out != 1)
        return diag_error(&c->diag, n->loc, "%u inputs and %u outputs, expected 3 to 6 and 1",
                          n->n_in, n->n_out);
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_type *t = ir_in(n, i) ? infer_in(n, i) : NULL;
        if (i <= V && (!t || !ir_type_is_tensor(t) || !ir_dtype_is_float(t->dtype)))
            return infer_error(c, n, i, "expected a tensor of floats");
        if (i < FIRST || !t) continue;
        if (!ir_type_is_tensor(t) || t->dtype != DT_i64)
            return infer_error(c, n, i, "expected an i64 scalar");
        if (!infer_expect_rank(c, n, i, 0)) return false;
    }
    return true;
}

/* LocalAttention(Q, K, V, mask, first, begin): operands and result 0 as Attention's. */
bool infer_local_attention(ir_ctx *c, ir_node *n) {
    const ir_dim *q[4], *k[4], *v[4];
    if (!check_local(c, n)) return false;
    ir_dtype dtype = infer_in(n, Q)->dtype;
    for (uint32_t i = Q; i <= V; i++)
        if (!infer_is_ranked(n, i)) return infer_set_unranked(c, n, 0, dtype);
    if (!head_dims(c, n, Q, "q_num_heads", q) || !head_dims(c, n, K, "kv_num_heads", k) ||
        !head_dims(c, n, V, "kv_num_heads", v) || !check_attention(c, n, q, k, v))
        return false;
    ir_shape packed = {3, {q[0], q[2], ir_dim_mul(c, q[1], v[3])}};
    return infer_in(n, Q)->rank == 3 ? infer_set_shape(c, n, 0, dtype, &packed)
                                     : set_dims(c, n, 0, dtype, q[0], q[1], q[2], v[3]);
}
