/* pair_states: an input and an output that carry a state from call to call become a state (--state h0=hn).
 *
 *   before:  graph g(f32[4] %x, f32[8] %h0) => (f32[4] y, f32[8] hn) { ... return %y, %h1 }
 *   after:   graph g(f32[4] %x, state f32[8] %h0 = @zero) => (f32[4] y, state f32[8] h0) { ... return %y, %h1 }
 *
 * The state has the input's name and begins with zeros, or with what `--first h0=h0.npy` gives. Both must have one type; or the output is longer along one axis, as a cache is to
 * which each call appends: then `--state past=present@1024` says how long it may become. One `*` stands for any text, the same in both
 * names (`past.*=present.*@1024`). Of several entry points
 * one at least has the pair; one that has only the input reads the state and leaves it as it is, one that has only the output gives it a new
 * value without looking. The manager runs this before all
 * other passes, where pairs are asked for. */
#include "ir/base/assert.h"
#include "passes/pass.h"

#include <stdlib.h>
#include <string.h>

typedef struct state_pair {
    tl_sv text, in, out; /* as asked for */
    int64_t most;        /* size along the axis that grows; -1 = not said */
    uint32_t input, output;
    bool kept; /* the graph has no such output */
} state_pair;

/* ---- reading the option --------------------------------------------------------------------------------------- */

/* Takes "@1024" off the output's name. */
static void read_limit(pass_ctx *ctx, state_pair *p) {
    p->most = -1;
    for (size_t at = p->out.len; at-- > 1;) {
        if (p->out.data[at] >= '0' && p->out.data[at] <= '9') continue;
        if (p->out.data[at] != '@' || p->out.len - at - 1 - 1 > 11) return;
        p->most = strtoll(tl_arena_strndup(ctx->scratch, p->out.data + at + 1, p->out.len - at - 1),
                          NULL, 10);
        p->out.len = at;
        return;
    }
}

/* "h0=hn" or "past=present@1024" up to the next comma; steps over it. */
static bool next_pair(pass_ctx *ctx, const char **text, state_pair *p) {
    size_t n = strcspn(*text, ",");
    const char *equal = memchr(*text, '=', n);
    if (!equal || equal == *text || equal + 1 == *text + n)
        return diag_error(&ctx->c->diag, NULL, "--state '%s': expected INPUT=OUTPUT[,...]", *text);
    *p = (state_pair){.text = {*text, n}, .in = {*text, (size_t)(equal - *text)}};
    p->out = (tl_sv){equal + 1, n - p->in.len - 1};
    read_limit(ctx, p);
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

/* The only axis along which the types differ; -1 where there is none, or several. */
static int32_t differing_axis(const ir_type *in, const ir_type *out) {
    int32_t axis = -1;
    if (!ir_type_is_known(in) || !ir_type_is_known(out) || in->dtype != out->dtype ||
        in->rank != out->rank)
        return -1;
    for (int32_t d = 0; d < in->rank; d++) {
        if (ir_dim_equal(in->dims[d], out->dims[d])) continue;
        if (axis >= 0) return -1;
        axis = d;
    }
    return axis;
}

/* A cache that each call appends to: its length is a symbol, which gets the limit asked for. */
static bool set_limit(pass_ctx *ctx, const state_pair *p, const ir_type *in, const ir_type *out) {
    int32_t axis = in->dtype == DT_str ? -1 : differing_axis(in, out);
    if (axis < 0 || !ir_dim_is_symbol(in->dims[axis]))
        return diag_error(&ctx->c->diag, NULL,
                          "--state %.*s: the input is %s, the output %s; a state is a tensor that "
                          "keeps its type from call to call, or grows along one axis",
                          (int)p->text.len, p->text.data, type_text(ctx, in), type_text(ctx, out));
    const char *symbol = ir_dim_symbol_name(in->dims[axis]);
    if (p->most < 0)
        return diag_error(&ctx->c->diag, NULL,
                          "--state %.*s: the state grows along axis %d, '%s': say how long it may "
                          "become: %.*s@1024",
                          (int)p->text.len, p->text.data, axis, symbol, (int)p->text.len,
                          p->text.data);
    ir_dim_bounded(ctx->c, symbol, p->most);
    return true;
}

static bool check_types(pass_ctx *ctx, const ir_graph *g, const state_pair *p) {
    const ir_type *in = g->body->params[p->input]->type,
                  *out = p->kept ? in : ir_region_result(g->body, p->output)->type;
    if (in == out && ir_type_is_known(in) && in->dtype != DT_str) return true;
    return set_limit(ctx, p, in, out);
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

/* A tensor whose dimensions are those of the type, or 1; fewer are the last ones. */
static bool stretches_to(const ir_type *t, const ir_type *to) {
    bool ok = t->dtype == to->dtype && t->rank <= to->rank;
    for (int32_t i = 0; ok && i < t->rank; i++) {
        const ir_dim *d = t->dims[t->rank - 1 - i];
        ok = ir_dim_is(d, 1) || ir_dim_equal(d, to->dims[to->rank - 1 - i]);
    }
    return ok;
}

/* NULL after reporting. */
static ir_value *first_value(pass_ctx *ctx, const char *name, const ir_type *type) {
    const pass_options *o = ctx->options;
    for (uint32_t i = 0; i < o->n_state_values; i++) {
        if (strcmp(o->state_values[i].name, name)) continue;
        const ir_tensor *t = o->state_values[i].value;
        if (stretches_to(t->type, type)) return ir_module_const(ctx->m, t, name);
        diag_error(&ctx->c->diag, NULL, "--first %s: the value is %s, the state %s", name,
                   type_text(ctx, t->type), type_text(ctx, type));
        return NULL;
    }
    return zero(ctx, type);
}

static bool make_state(pass_ctx *ctx, ir_graph *g, const state_pair *p) {
    ir_value *in = g->body->params[p->input],
             *next = p->kept ? in : ir_region_result(g->body, p->output);
    ir_value *first = first_value(ctx, in->name, in->type);
    if (!first) return false;
    if (!p->kept) drop_output(ctx, g, p->output);
    ir_value *state = ir_graph_add_state(g, in->type, in->name, first);
    ir_graph_set_next(g, g->n_states - 1, next == in ? state : next);
    ir_value_replace_uses(in, state);
    ir_region_remove_param(g->body, p->input);
    return true;
}

static const ir_value *find_state(const ir_graph *g, tl_sv name) {
    for (uint32_t i = 0; i < g->n_states; i++)
        if (tl_sv_is(name, ir_graph_state(g, i)->name)) return ir_graph_state(g, i);
    return NULL;
}

/* The type of the pair in another entry point: one before this, where it is a state by now, or one behind. NULL where none has it. */
static const ir_type *find_elsewhere(const pass_ctx *ctx, const ir_graph *g, const state_pair *p) {
    state_pair other = *p;
    for (const ir_graph *h = ctx->m->graphs; h; h = h->next) {
        const ir_value *state = h == g ? NULL : find_state(h, p->in);
        if (state) return state->type;
        if (h != g && has_input(h, &other) && has_output(h, &other))
            return h->body->params[other.input]->type;
    }
    return NULL;
}

/* A graph that has the output alone gives the state a value without having looked at it. */
static bool make_written(pass_ctx *ctx, ir_graph *g, const state_pair *p, const ir_type *type) {
    ir_value *next = ir_region_result(g->body, p->output);
    const char *name = ir_name(ctx->c, tl_arena_strndup(ctx->scratch, p->in.data, p->in.len));
    if (next->type != type)
        return diag_error(
            &ctx->c->diag, NULL,
            "--state %.*s: graph '%s' has the output alone, %s, of a state that is %s",
            (int)p->text.len, p->text.data, g->name, type_text(ctx, next->type),
            type_text(ctx, type));
    ir_value *first = first_value(ctx, name, type);
    if (!first) return false;
    drop_output(ctx, g, p->output);
    ir_graph_add_state(g, type, name, first);
    ir_graph_set_next(g, g->n_states - 1, next);
    return true;
}

static pass_result pair(pass_ctx *ctx, ir_graph *g, state_pair *p) {
    const ir_type *elsewhere = find_elsewhere(ctx, g, p);
    if (!has_input(g, p)) {
        if (!elsewhere || !has_output(g, p))
            return elsewhere || report_input(ctx, g, p) ? PASS_SAME : PASS_FAILED;
        return make_written(ctx, g, p, elsewhere) ? PASS_CHANGED : PASS_FAILED;
    }
    p->kept = !has_output(g, p);
    if (p->kept && !elsewhere && !report_output(ctx, g, p)) return PASS_FAILED;
    if (!check_types(ctx, g, p)) return PASS_FAILED;
    return make_state(ctx, g, p) ? PASS_CHANGED : PASS_FAILED;
}

/* ---- patterns ------------------------------------------------------------------------------------------------- */

/* What the star of the pattern stands for in the name. */
static bool match_star(tl_sv pattern, const char *name, tl_sv *star) {
    const char *at = memchr(pattern.data, '*', pattern.len);
    size_t before = (size_t)(at - pattern.data), behind = pattern.len - before - 1,
           n = strlen(name);
    if (n < before + behind || memcmp(name, pattern.data, before) ||
        memcmp(name + n - behind, at + 1, behind))
        return false;
    *star = (tl_sv){name + before, n - before - behind};
    return true;
}

static tl_sv fill_star(pass_ctx *ctx, tl_sv pattern, tl_sv star) {
    const char *at = memchr(pattern.data, '*', pattern.len);
    size_t before = (size_t)(at - pattern.data);
    return tl_sv_from(tl_arena_printf(ctx->scratch, "%.*s%.*s%.*s", (int)before, pattern.data,
                                      (int)star.len, star.data, (int)(pattern.len - before - 1),
                                      at + 1));
}

/* Each input that the pattern fits. Pairing takes inputs out of the list: names first. */
static pass_result pair_all(pass_ctx *ctx, ir_graph *g, const state_pair *pattern) {
    uint32_t n = ir_graph_n_inputs(g), fitting = 0;
    const char **names = TL_NEW_ARRAY(ctx->scratch, const char *, n + 1);
    tl_sv star;
    for (uint32_t i = 0; i < n; i++)
        if (match_star(pattern->in, g->body->params[i]->name, &star))
            names[fitting++] = g->body->params[i]->name;
    for (uint32_t i = 0; i < fitting; i++) {
        state_pair p = *pattern;
        match_star(pattern->in, names[i], &star);
        p.in = tl_sv_from(names[i]);
        p.out = fill_star(ctx, pattern->out, star);
        if (pair(ctx, g, &p) == PASS_FAILED) return PASS_FAILED;
    }
    if (fitting) return PASS_CHANGED;
    return ctx->m->graphs->next || report_input(ctx, g, pattern) ? PASS_SAME : PASS_FAILED;
}

static bool has_star(tl_sv text) {
    return memchr(text.data, '*', text.len) != NULL;
}

/* Each value that was given is some graph's state; asked behind the last graph. */
static bool check_values(pass_ctx *ctx, const ir_graph *last) {
    for (uint32_t i = 0; !last->next && i < ctx->options->n_state_values; i++) {
        const char *name = ctx->options->state_values[i].name;
        bool found = false;
        for (const ir_graph *g = ctx->m->graphs; g; g = g->next)
            found |= find_state(g, tl_sv_from(name)) != NULL;
        if (!found)
            return diag_error(&ctx->c->diag, NULL,
                              "--first %s: no --state makes a state of this name", name);
    }
    return true;
}

pass_result pass_pair_states(pass_ctx *ctx, ir_graph *g) {
    pass_result result = PASS_SAME;
    for (uint32_t i = 0; i < ctx->options->n_states; i++) {
        for (const char *text = ctx->options->states[i]; *text;) {
            state_pair p;
            if (!next_pair(ctx, &text, &p)) return PASS_FAILED;
            pass_result one = has_star(p.in) && has_star(p.out) ? pair_all(ctx, g, &p)
                                                                : pair(ctx, g, &p);
            if (one == PASS_FAILED) return one;
            if (one == PASS_CHANGED) result = one;
        }
    }
    return check_values(ctx, g) ? result : PASS_FAILED;
}
