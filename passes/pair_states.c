/* pair_states: an input and an output that carry a state from call to call become a state (--state h0=hn).
 *
 *   before:  graph g(f32[4] %x, f32[8] %h0) => (f32[4] y, f32[8] hn) { ... return %y, %h1 }
 *   after:   graph g(f32[4] %x, state f32[8] %h0 = @zero) => (f32[4] y, state f32[8] h0) { ... return %y, %h1 }
 *
 * The state has the input's name and begins with zeros. Both must have one type, as what is carried keeps its shape. Of several entry points
 * one at least has the pair; one that has only the input reads the state and leaves it as it is. The manager runs this before all
 * other passes, where pairs are asked for. */
#include "ir/base/assert.h"
#include "passes/pass.h"

#include <string.h>

typedef struct state_pair {
    tl_sv text, in, out; /* as asked for */
    uint32_t input, output;
    bool kept; /* the graph has no such output */
} state_pair;

/* ---- reading the option --------------------------------------------------------------------------------------- */

/* "h0=hn" up to the next comma; steps over it. */
static bool next_pair(pass_ctx *ctx, const char **text, state_pair *p) {
    size_t n = strcspn(*text, ",");
    const char *equal = memchr(*text, '=', n);
    if (!equal || equal == *text || equal + 1 == *text + n)
        return diag_error(&ctx->c->diag, NULL, "--state '%s': expected INPUT=OUTPUT[,...]", *text);
    *p = (state_pair){.text = {*text, n}, .in = {*text, (size_t)(equal - *text)}};
    p->out = (tl_sv){equal + 1, n - p->in.len - 1};
    *text += n + ((*text)[n] == ',');
    return true;
}

static void print_choices(tl_str *s, const char *what, bool first, const char *name) {
    tl_str_printf(s, "%s%s", first ? what : ", ", name ? name : "");
}

static bool has_input(const ir_graph *g, state_pair *p) {
    for (p->input = 0; p->input < ir_graph_n_inputs(g); p->input++) {
        const char *name = g->body->params[p->input]->name;
        if (name && tl_sv_is(p->in, name)) return true;
    }
    return false;
}

static bool report_input(pass_ctx *ctx, const ir_graph *g, const state_pair *p) {
    tl_str s;
    tl_str_init(&s, ctx->scratch);
    for (uint32_t i = 0; i < ir_graph_n_inputs(g); i++)
        print_choices(&s, "; its inputs: ", !i, g->body->params[i]->name);
    return diag_error(&ctx->c->diag, NULL, "--state %.*s: the model has no input '%.*s'%s",
                      (int)p->text.len, p->text.data, (int)p->in.len, p->in.data,
                      s.len ? s.data : "");
}

static bool has_output(const ir_graph *g, state_pair *p) {
    for (p->output = 0; p->output < ir_graph_n_outputs(g); p->output++)
        if (tl_sv_is(p->out, g->outputs[p->output])) return true;
    return false;
}

static bool report_output(pass_ctx *ctx, const ir_graph *g, const state_pair *p) {
    tl_str s;
    tl_str_init(&s, ctx->scratch);
    for (uint32_t i = 0; i < ir_graph_n_outputs(g); i++)
        print_choices(&s, "; its outputs: ", !i, g->outputs[i]);
    return diag_error(&ctx->c->diag, NULL, "--state %.*s: the model has no output '%.*s'%s",
                      (int)p->text.len, p->text.data, (int)p->out.len, p->out.data,
                      s.len ? s.data : "");
}

static const char *type_text(pass_ctx *ctx, const ir_type *t) {
    tl_str s;
    tl_str_init(&s, ctx->scratch);
    ir_type_print(t, &s);
    return s.data;
}

static bool check_types(pass_ctx *ctx, const ir_graph *g, const state_pair *p) {
    const ir_type *in = g->body->params[p->input]->type,
                  *out = p->kept ? in : ir_region_result(g->body, p->output)->type;
    if (in == out && ir_type_is_known(in) && in->dtype != DT_str) return true;
    return diag_error(&ctx->c->diag, NULL,
                      "--state %.*s: the input is %s, the output %s; a state is a tensor that "
                      "keeps its type from call to call",
                      (int)p->text.len, p->text.data, type_text(ctx, in), type_text(ctx, out));
}

/* ---- pairing -------------------------------------------------------------------------------------------------- */

static ir_value *zero(pass_ctx *ctx, const ir_type *like) {
    ir_tensor *t = ir_tensor_alloc(ctx->m->arena,
                                   ir_type_tensor_static(ctx->c, like->dtype, 0, NULL));
    ir_tensor_seal(t);
    return ir_module_const(ctx->m, t, "zero");
}

static void drop_output(pass_ctx *ctx, ir_graph *g, uint32_t at) {
    uint32_t n = ir_region_n_results(g->body), left = 0;
    ir_value **results = TL_NEW_ARRAY(ctx->scratch, ir_value *, n);
    for (uint32_t i = 0; i < n; i++) {
        if (i == at) continue;
        g->outputs[left] = g->outputs[i];
        results[left++] = ir_region_result(g->body, i);
    }
    ir_region_set_results(g->body, results, left);
}

static void make_state(pass_ctx *ctx, ir_graph *g, const state_pair *p) {
    ir_value *in = g->body->params[p->input],
             *next = p->kept ? in : ir_region_result(g->body, p->output);
    const char *name = in->name;
    if (!p->kept) drop_output(ctx, g, p->output);
    ir_value *state = ir_graph_add_state(g, in->type, name, zero(ctx, in->type));
    ir_graph_set_next(g, g->n_states - 1, next == in ? state : next);
    ir_value_replace_uses(in, state);
    ir_region_remove_param(g->body, p->input);
}

static bool is_state(const ir_graph *g, tl_sv name) {
    for (uint32_t i = 0; i < g->n_states; i++)
        if (tl_sv_is(name, ir_graph_state(g, i)->name)) return true;
    return false;
}

/* Another entry point has the pair: one before this, where it is a state by now, or one behind. */
static bool is_elsewhere(const pass_ctx *ctx, const ir_graph *g, const state_pair *p) {
    state_pair other = *p;
    for (const ir_graph *h = ctx->m->graphs; h; h = h->next)
        if (h != g && (is_state(h, p->in) || (has_input(h, &other) && has_output(h, &other))))
            return true;
    return false;
}

static pass_result pair(pass_ctx *ctx, ir_graph *g, state_pair *p) {
    bool elsewhere = is_elsewhere(ctx, g, p);
    if (!has_input(g, p)) return elsewhere || report_input(ctx, g, p) ? PASS_SAME : PASS_FAILED;
    p->kept = !has_output(g, p);
    if (p->kept && !elsewhere && !report_output(ctx, g, p)) return PASS_FAILED;
    if (!check_types(ctx, g, p)) return PASS_FAILED;
    make_state(ctx, g, p);
    return PASS_CHANGED;
}

pass_result pass_pair_states(pass_ctx *ctx, ir_graph *g) {
    pass_result result = PASS_SAME;
    for (uint32_t i = 0; i < ctx->options->n_states; i++) {
        for (const char *text = ctx->options->states[i]; *text;) {
            state_pair p;
            if (!next_pair(ctx, &text, &p)) return PASS_FAILED;
            pass_result one = pair(ctx, g, &p);
            if (one == PASS_FAILED) return one;
            if (one == PASS_CHANGED) result = one;
        }
    }
    return result;
}
