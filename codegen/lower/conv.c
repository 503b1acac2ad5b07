/* Convolution as a plain nest: the output's index space split among the threads, and for each element (or vector along the innermost
 * axis) loops over channels and taps that end in one chain of multiply-adds.
 *
 *   y[n,m,h,w] = bias[m] + sum over c, i, j of x[n, first(m) + c, h*s + i*d, w*s + j*d] * weight[m,c,i,j]
 *
 * A padded operand is copied between zeros first, so that no tap needs a test. Correct for all forms, fast for none: blocks of
 * channels in registers are for a kernel of its own. Convolutions whose windows do not overlap never get here: they are
 * matrix products (passes/decompose.c). */
#include "codegen/lower.h"

#include "ir/window.h"

enum { MAX_TAPS = IR_MAX_RANK };

typedef struct conv {
    const cg_view *x, *w, *bias; /* x: padded */
    ir_window window;
    int64_t groups;
    /* What is summed over: channels, then the kernel's axes. */
    int32_t n_sums;
    const ir_dim *count[MAX_TAPS], *x_step[MAX_TAPS], *w_step[MAX_TAPS];
    const ir_dim *lane; /* step in x between neighbours along the innermost axis */
    lp_value *px, *pw;
} conv;

/* ---- padding ----------------------------------------------------------------------------------------------------- */

static void zero_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in;
    out[0] = lp_const_f(&s->k->b, lp_vec(ir_dtype_compute(s->out[0]->dtype), lanes), 0);
}

static void fill_zero(cg *g, const cg_view *v) {
    cg_nest *s = TL_NEW(g->arena, cg_nest);
    *s = (cg_nest){
        .g = g, .node = g->node, .rank = v->rank, .n_out = 1, .fn = zero_point, .summary = "zeros"};
    for (int32_t i = 0; i < v->rank; i++)
        s->dims[i] = v->dims[i];
    s->out[0] = v;
    cg_nest_run(s);
}

static const cg_view *pad(cg *g, const cg_view *x, const ir_window *w) {
    const ir_dim *dims[IR_MAX_RANK];
    if (!ir_window_is_padded(w)) return x;
    for (int32_t i = 0; i < x->rank; i++)
        dims[i] = i < 2 ? x->dims[i]
                        : ir_dim_add(g->c, x->dims[i],
                                     ir_dim_add(g->c, w->before[i - 2], w->after[i - 2]));
    const ir_dim *bytes = ir_dim_mul(g->c, cg_dims_product(g, dims, x->rank),
                                     cg_dc(g, cg_elem_bytes(x->dtype)));
    const cg_view *all = cg_view_dense(g, cg_buffer_create(g, bytes),
                                       ir_type_tensor(g->c, x->dtype, x->rank, dims)),
                  *inner = all;
    for (int32_t i = 2; i < x->rank; i++)
        inner = cg_view_slice(g, inner, i, w->before[i - 2], cg_dc(g, 1), x->dims[i]);
    fill_zero(g, all);
    cg_barrier(g); /* the copy divides the elements otherwise */
    cg_copy(g, x, inner);
    return all;
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

static lp_value *advance(cg_nest *s, lp_value *at, lp_value *i, const ir_dim *step) {
    lp_builder *b = &s->k->b;
    return lp_bin(b, LP_add, at, lp_bin(b, LP_mul, i, cg_kernel_dim(s->k, step)));
}

/* acc + the sum over the axes from `level` on, starting at these places. */
static lp_value *add_products(cg_nest *s, unsigned lanes, int32_t level, lp_value *x_at,
                              lp_value *w_at, lp_value *acc) {
    const conv *d = s->data;
    lp_builder *b = &s->k->b;
    if (level == d->n_sums) {
        lp_value *lane = cg_kernel_dim(s->k, d->lane),
                 *x = cg_load(b, d->x->dtype, lanes, d->px, x_at, lane),
                 *w = cg_load(b, d->w->dtype, 1, d->pw, w_at, lp_index(b, 1));
        return lp_fma(b, x, lp_broadcast(b, w, lanes), acc);
    }
    lp_loop l = lp_for_begin(b, lp_index(b, 0), cg_kernel_dim(s->k, d->count[level]),
                             lp_index(b, 1), &acc, 1);
    lp_value *next = add_products(s, lanes, level + 1,
                                  advance(s, x_at, l.counter, d->x_step[level]),
                                  advance(s, w_at, l.counter, d->w_step[level]), l.carried[0]);
    lp_for_end(b, &l, &next);
    return l.results[0];
}

/* Where the first tap of this element reads. */
static lp_value *first_place(cg_nest *s) {
    const conv *d = s->data;
    lp_builder *b = &s->k->b;
    ir_ctx *c = s->g->c;
    lp_value *at = advance(s, lp_index(b, 0), s->index[0], d->x->strides[0]);
    for (int32_t i = 0; i < d->window.axes; i++)
        at = advance(s, at, s->index[2 + i],
                     ir_dim_mul(c, d->x->strides[2 + i], cg_dc(s->g, d->window.stride[i])));
    if (d->groups == 1) return at;
    const ir_dim *features = ir_dim_floordiv(c, s->dims[1], cg_dc(s->g, d->groups));
    lp_value *group = lp_bin(b, LP_div, s->index[1], cg_kernel_dim(s->k, features));
    return advance(s, at, group, ir_dim_mul(c, d->w->dims[1], d->x->strides[1]));
}

static void conv_point(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out) {
    (void)in;
    conv *d = s->data;
    lp_builder *b = &s->k->b;
    d->px = cg_kernel_in(s->k, d->x, false);
    d->pw = cg_kernel_in(s->k, d->w, false);
    lp_value *w_at = advance(s, lp_index(b, 0), s->index[1], d->w->strides[0]);
    lp_value *zero = lp_const_f(b, lp_vec(ir_dtype_compute(d->x->dtype), lanes), 0);
    lp_value *sum = add_products(s, lanes, 0, first_place(s), w_at, zero);
    if (d->bias) {
        lp_value *p = cg_kernel_in(s->k, d->bias, false),
                 *at = advance(s, lp_index(b, 0), s->index[1], d->bias->strides[0]);
        lp_value *v = cg_load(b, d->bias->dtype, 1, p, at, lp_index(b, 1));
        sum = lp_bin(b, LP_add, sum, lp_broadcast(b, v, lanes));
    }
    out[0] = sum;
}

/* ---- the node ---------------------------------------------------------------------------------------------------- */

static void add_sum(conv *d, const ir_dim *count, const ir_dim *x_step, const ir_dim *w_step) {
    d->count[d->n_sums] = count;
    d->x_step[d->n_sums] = x_step;
    d->w_step[d->n_sums++] = w_step;
}

static void set_sums(cg *g, conv *d) {
    const ir_window *w = &d->window;
    add_sum(d, d->w->dims[1], d->x->strides[1], d->w->strides[1]);
    for (int32_t i = 0; i < w->axes; i++)
        add_sum(d, w->kernel[i], ir_dim_mul(g->c, d->x->strides[2 + i], cg_dc(g, w->dilation[i])),
                d->w->strides[2 + i]);
    int32_t last = w->axes - 1;
    d->lane = ir_dim_mul(g->c, d->x->strides[2 + last], cg_dc(g, w->stride[last]));
}

/* Sizes that the operands must share: read out of bounds otherwise. Where only the run knows them, it compares. */
static void check_sizes(cg *g, const conv *d) {
    const ir_dim *groups = cg_dc(g, d->groups);
    cg_check_equal(g, d->x->dims[1], ir_dim_mul(g->c, d->w->dims[1], groups));
    cg_check_equal(g, ir_dim_mod(g->c, d->w->dims[0], groups), cg_dc(g, 0));
    if (d->bias) cg_check_equal(g, d->bias->dims[0], d->w->dims[0]);
    for (int32_t i = 0; i < d->window.axes; i++)
        cg_check_equal(g, d->window.kernel[i], d->w->dims[2 + i]);
}

bool lower_conv(cg *g, ir_node *n) {
    conv *d = TL_NEW(g->arena, conv);
    cg_nest *s = TL_NEW(g->arena, cg_nest);
    const cg_view *x = cg_read(g, ir_in(n, 0));
    *d = (conv){.x = x, .w = cg_read(g, ir_in(n, 1)), .groups = ir_attr_int(n, "group", 1)};
    if (ir_in(n, 2)) d->bias = cg_read(g, ir_in(n, 2));
    const char *problem = ir_window_init(&d->window, g->c, n, x->rank - 2, x->dims + 2,
                                         d->w->dims + 2);
    if (problem) return cg_unsupported(g, n, "%s", problem);
    check_sizes(g, d);
    d->x = pad(g, x, &d->window);
    set_sums(g, d);
    *s = (cg_nest){.g = g,
                   .node = n,
                   .rank = x->rank,
                   .fn = conv_point,
                   .data = d,
                   .summary = "Conv",
                   .needs_index = true};
    const ir_type *t = n->out[0].type;
    for (int32_t i = 0; i < s->rank; i++)
        s->dims[i] = t->dims[i];
    s->out[s->n_out++] = cg_write(g, &n->out[0]);
    cg_nest_run(s);
    return true;
}
