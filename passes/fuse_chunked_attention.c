/* fuse_chunked_attention: attention whose mask lets a query see only its neighbourhood looks at nothing else.
 *
 *   before:  %m = And(LessOrEqual(%j, %i), Equal(Div(%i, @4), Div(%j, @4)))     after:  %x4 = Reshape(%x, [B*T/4,4,...])  (q, k and v)
 *            %y = Attention(%q, %k, %v, %m)           f32[B,H,T,h]                      %a = Attention<is_causal=1>(%q4, %k4, %v4)
 *                                                                                       %y = Reshape(%a, [B,T,...])
 *
 *   before:  %m = Less(Sub(%i, %j), @16), and causal                            after:  %y = LocalAttention<before=15, is_causal=1>(%q, %k, %v)
 *            %y = Attention(%q, %k, %v, %m)
 *
 * so that T positions cost T*K, not T*T. What a mask shows is read as a function of the query's and the key's number (mask.h), whatever it was
 * computed from, and must be one of ir/band.h: a band, chunks (with chunks in front), a prefix, causal or not. Chunks that fill the sequence
 * become a batch; everything else is LocalAttention. A causal mask alone is the attribute is_causal, one that hides nothing goes. Of
 * several masks that are joined those that depend on the data stay a mask, beside the neighbourhood.
 *
 * Results keep their bits: what a mask hides adds an exact 0 to sums in the order of the keys (codegen/kernels/attention.h). For masks
 * that are added that holds of -inf, and of numbers of -10000 or less while the scores of a row differ by less than 9896 (exp of what is
 * below -104 is 0) and the row sees a key: not done with strict maths, or where another mask may hide all of those. Values that are added to
 * visible scores stay a mask. Linear, but for masks of a constant size, all of which is read. */
#include "ir/limits.h"
#include "passes/mask.h"
#include "passes/match.h"
#include "passes/recur.h"
#include "passes/util.h"

#include <math.h>

enum { Q, K, V, MASK };
static const double hiding = -10000;

typedef struct masks {
    ir_value *all[MASK_PARTS];
    uint32_t n;
    bool added;
} masks;

typedef struct reading {
    pass_ctx *ctx;
    ir_node *n;
    const ir_dim *queries, *keys;
    masks masks;
    ir_value *kept[MASK_PARTS]; /* masks that stay */
    uint32_t n_kept;
    ir_band band;
    const char *why;
} reading;

/* ---- what the mask shows ------------------------------------------------------------------------------------------ */

/* The condition c of Where(c, 0, -inf). */
static ir_value *match_condition(const ir_value *v) {
    double zero, low;
    const ir_node *n = match_def(v, OP_Where);
    bool is = n && ir_value_const_f64(ir_in(n, 1), &zero) && zero == 0 &&
              ir_value_const_f64(ir_in(n, 2), &low) && isinf(low) && low < 0;
    return is ? ir_in(n, 0) : NULL;
}

/* The parts of a conjunction, or of a sum. */
static bool add_mask(masks *m, ir_value *v) {
    const ir_node *n = v->def;
    if (n && n->op == (m->added ? OP_Add : OP_And) && m->n < MASK_PARTS)
        return add_mask(m, ir_in(n, 0)) && add_mask(m, ir_in(n, 1));
    if (m->n == MASK_PARTS) return false;
    m->all[m->n++] = v;
    return true;
}

static bool split_masks(reading *r) {
    masks *m = &r->masks;
    ir_value *v = ir_in(r->n, MASK), *condition = match_condition(v);
    *m = (masks){.added = v->type->dtype != DT_bool && !condition};
    return add_mask(m, condition ? condition : v);
}

typedef struct shown {
    uint8_t *seen;
    bool soft; /* something is hidden by numbers other than -inf */
} shown;

/* Takes away what a mask hides; *plain: it does nothing else. */
static bool hide(const reading *r, const mask_grid *g, const double *at, shown *s, bool *plain) {
    bool strict = pass_get_math(r->ctx->options) == PASS_MATH_STRICT, added = r->masks.added;
    double limit = strict ? -(double)INFINITY : hiding;
    *plain = true;
    for (int64_t k = 0; k < g->queries * g->keys; k++) {
        bool hidden = added ? at[k] <= limit : at[k] == 0;
        if (isnan(at[k])) return false;
        if (hidden) s->seen[k] = 0;
        s->soft |= hidden && added && !isinf(at[k]);
        *plain &= hidden || !added || at[k] == 0;
    }
    return true;
}

static void hide_behind(const mask_grid *g, shown *s) {
    for (int64_t i = 0; i < g->queries; i++)
        for (int64_t j = i + 1; j < g->keys; j++)
            s->seen[i * g->keys + j] = 0;
}

/* Queries up to themselves, or to all keys: Attention can say that. */
static bool is_simple(const ir_band *b) {
    return b->before == IR_BAND_ALL && b->after == IR_BAND_ALL && !b->chunk && !b->prefix;
}

static bool find_band(reading *r) {
    mask_grid g;
    shown s = {0};
    const masks *m = &r->masks;
    r->why = "its mask has too many parts";
    if (!split_masks(r) || !mask_read(r->ctx, m->all, m->n, r->queries, r->keys, &g, &r->why))
        return false;
    size_t size = (size_t)(g.queries * g.keys);
    s.seen = TL_NEW_ARRAY(r->ctx->scratch, uint8_t, size + 1);
    memset(s.seen, 1, size);
    for (uint32_t k = 0; k < m->n; k++) {
        bool plain = false, read = g.at[k] && hide(r, &g, g.at[k], &s, &plain);
        if (!read || !plain) r->kept[r->n_kept++] = m->all[k];
        if (!read && g.at[k]) return r->why = "its mask holds NaN", false;
    }
    if (ir_attr_int(r->n, "is_causal", 0)) hide_behind(&g, &s);
    if (s.soft && r->n_kept) {
        r->why = "it hides keys by finite numbers, and another mask may hide the others";
        return false;
    }
    if (!mask_fit(&g, s.seen, &r->band, &r->why)) return false;
    bool causal = ir_attr_int(r->n, "is_causal", 0) != 0;
    r->why = "its mask hides nothing";
    return r->n_kept < m->n || !is_simple(&r->band) || r->band.causal != causal;
}

/* ---- building ----------------------------------------------------------------------------------------------------- */

static ir_value *build_kept(ir_builder *b, const reading *r) {
    ir_value *all = NULL;
    for (uint32_t k = 0; k < r->n_kept; k++) {
        ir_value *v = r->kept[k];
        all = all ? build_op2(b, r->masks.added ? OP_Add : OP_And, all, v) : v;
    }
    return all;
}

/* The node's attributes, with those of the band in place of its own. */
static uint32_t new_attrs(const reading *r, const ir_band *band, ir_attr *out) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n->n_attrs; i++)
        if (strcmp(r->n->attrs[i].name, "is_causal")) out[n++] = r->n->attrs[i];
    return n + ir_band_attrs(band, out + n);
}

static ir_value *build_attention(ir_builder *b, const reading *r, op_id op, const ir_band *band,
                                 ir_value *const *qkv, ir_value *mask) {
    ir_attr *attrs = TL_NEW_ARRAY(r->ctx->scratch, ir_attr, r->n->n_attrs + IR_BAND_ATTRS);
    ir_value *in[] = {qkv[Q], qkv[K], qkv[V], mask};
    return build_node(b, op, in, mask ? 4 : 3, 1, attrs, new_attrs(r, band, attrs))->out;
}

/* Chunks that are apart from each other and fill the sequence: the number of them, else NULL. */
static const ir_dim *count_chunks(const reading *r) {
    const ir_band *b = &r->band;
    ir_ctx *c = r->ctx->c;
    if (!b->chunk || b->chunks_before || b->prefix || r->n_kept) return NULL;
    if (r->ctx->options->n_streams)
        return NULL; /* chunks of a step are as good, and the batch stays one of streams */
    if (!ir_dim_equal(r->queries, r->keys)) return NULL;
    for (uint32_t i = Q; i <= V; i++)
        if (!type_is_computable(r->n->parent->graph, ir_in(r->n, i)->type)) return NULL;
    return ir_dim_div_exact(c, r->queries, ir_dim_const(c, b->chunk));
}

/* Rows [B,T,...] as [B*C,K,...], or back, by the dims of the first two axes. */
static ir_value *regroup(ir_builder *b, ir_value *rows, const ir_dim *d0, const ir_dim *d1) {
    const ir_dim *dims[4];
    memcpy(dims, rows->type->dims, (size_t)rows->type->rank * sizeof *dims);
    dims[0] = d0;
    dims[1] = d1;
    return build_reshape(b, rows, dims, (uint32_t)rows->type->rank);
}

static ir_value *rows_of(ir_builder *b, ir_value *v) {
    if (v->type->rank == 3) return v;
    return is_head_swap(v->def) ? ir_in(v->def, 0) : build_head_swap(b, v);
}

static ir_value *build_chunks(ir_builder *b, const reading *r, const ir_dim *chunks) {
    ir_ctx *c = r->ctx->c;
    ir_value *qkv[3];
    const ir_dim *batch = ir_in(r->n, Q)->type->dims[0];
    const ir_dim *all = ir_dim_mul(c, batch, chunks), *length = ir_dim_const(c, r->band.chunk);
    bool heads = ir_in(r->n, Q)->type->rank == 4;
    for (uint32_t i = Q; i <= V; i++) {
        qkv[i] = regroup(b, rows_of(b, ir_in(r->n, i)), all, length);
        if (ir_in(r->n, i)->type->rank == 4) qkv[i] = build_head_swap(b, qkv[i]);
    }
    ir_band inner = r->band;
    inner.chunk = 0;
    if (inner.before >= r->band.chunk - 1) inner.before = IR_BAND_ALL;
    if (inner.after >= r->band.chunk - 1) inner.after = IR_BAND_ALL;
    op_id op = is_simple(&inner) ? OP_Attention : OP_LocalAttention;
    ir_value *y = build_attention(b, r, op, &inner, qkv, NULL);
    y = regroup(b, heads ? build_head_swap(b, y) : y, batch, r->queries);
    return heads ? build_head_swap(b, y) : y;
}

static ir_value *build_local(ir_builder *b, const reading *r) {
    ir_value *qkv[] = {ir_in(r->n, Q), ir_in(r->n, K), ir_in(r->n, V)};
    op_id op = is_simple(&r->band) ? OP_Attention : OP_LocalAttention;
    return build_attention(b, r, op, &r->band, qkv, build_kept(b, r));
}

/* ---- the pass ----------------------------------------------------------------------------------------------------- */

static const ir_dim *length_of(const ir_value *v) {
    return v->type->dims[v->type->rank == 3 ? 1 : 2];
}

static bool is_candidate(const ir_node *n) {
    if (n->op != OP_Attention || n->n_out != 1 || !n->out[0].uses || !ir_in(n, MASK)) return false;
    for (uint32_t i = MASK + 1; i < n->n_in; i++)
        if (ir_in(n, i)) return false;
    for (uint32_t i = Q; i <= V; i++)
        if (!ir_type_is_ranked(ir_in(n, i)->type)) return false;
    return ir_in(n, Q)->type->dtype == DT_f32 && ir_type_is_ranked(ir_in(n, MASK)->type);
}

/* "all positions before", "7 positions before" */
static void print_side(tl_str *s, const char **gap, int64_t n, const char *unit, const char *side) {
    if (n < 0)
        tl_str_printf(s, "%sall %s %s", *gap, unit, side);
    else
        tl_str_printf(s, "%s%lld %s %s", *gap, (long long)n, unit, side);
    *gap = ", ";
}

static const char *mask_text(const reading *r) {
    const ir_band *b = &r->band;
    const char *gap = b->causal ? ", " : "";
    tl_str s;
    tl_str_init(&s, r->ctx->scratch);
    tl_str_printf(&s, "%s", b->causal ? "causal" : "");
    if (b->before >= 0 || b->after >= 0) print_side(&s, &gap, b->before, "positions", "before");
    if (b->after >= 0) print_side(&s, &gap, b->after, "positions", "after");
    if (b->chunk) tl_str_printf(&s, "%schunks of %lld", gap, (long long)b->chunk), gap = ", ";
    if (b->chunk && b->chunks_before) print_side(&s, &gap, b->chunks_before, "chunks", "before");
    if (b->prefix) tl_str_printf(&s, "%sthe first %lld", gap, (long long)b->prefix);
    return s.len ? s.data : "all keys";
}

static pass_result visit(pass_ctx *ctx, ir_node *n) {
    if (!is_candidate(n)) return PASS_SAME;
    reading r = {.ctx = ctx, .n = n};
    r.queries = length_of(ir_in(n, Q));
    r.keys = length_of(ir_in(n, K));
    if (!find_band(&r)) {
        ctx_remark(ctx, "%s stays whole: %s", node_name(n), r.why);
        return PASS_SAME;
    }
    if (!ctx_take(ctx, "fused")) return PASS_SAME;
    const ir_dim *chunks = count_chunks(&r);
    ctx_remark(ctx, "%s: %s%s%s", node_name(n), mask_text(&r), chunks ? ", as a batch" : "",
               r.n_kept ? ", beside another mask" : "");
    ir_builder b = ir_build_before(n);
    pass_replace(ctx, &n->out[0], chunks ? build_chunks(&b, &r, chunks) : build_local(&b, &r));
    return PASS_CHANGED;
}

pass_result pass_fuse_chunked_attention(pass_ctx *ctx, ir_graph *g) {
    return pass_each_node(ctx, g, visit);
}
