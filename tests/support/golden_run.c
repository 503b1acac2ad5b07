/* What the RUN line of a golden case does; see golden.h. */
#include "tests/support/golden.h"

/* What stands behind the pipeline of a RUN line. */
typedef struct run_options {
    ir_print_options print;
    const char *states[4], *streams[4];
    uint32_t n_states, n_streams;
    bool batch_streams;
    int math; /* 1 + pass_math; 0 = default */
} run_options;

#ifdef TLBC_HAVE_PASSES
#include "passes/pass.h"

static bool run_passes(ir_module *m, const char *passes, const run_options *r) {
    pass_options o = {.verify = true, .roundtrip = true, .eval = true};
    o.states = r->states;
    o.n_states = r->n_states;
    o.math_plus_one = (pass_math)r->math;
    o.streams = r->streams;
    o.n_streams = r->n_streams;
    o.batch_streams = r->batch_streams;
    return pass_run(m, passes, &o);
}
#else
static bool run_passes(ir_module *m, const char *passes, const run_options *r) {
    (void)r;
    return diag_error(&m->ctx->diag, NULL, "this build has no passes, cannot run '%s'", passes);
}
#endif

static bool infer_all(ir_module *m) {
    for (ir_graph *g = m->graphs; g; g = g->next)
        ir_for_each_node (n, g->body)
            if (!ir_node_verify(m->ctx, n) || !ir_infer_node(m->ctx, n)) return false;
    return true;
}

/* What a printed module must keep whatever the case is about: it reads back, to the same hash, and prints the same again. */
static bool check_round_trip(const golden_case *k, ir_module *m, tl_arena *a) {
    ir_print_options full = {.constants = IR_CONSTANTS_FULL};
    tl_str first, second;
    tl_str_init(&first, a);
    tl_str_init(&second, a);
    ir_module_print(m, &full, &first);
    ir_module *again = ir_module_parse(m->ctx, a, k->file, first.data, first.len);
    if (!again)
        return diag_error(&m->ctx->diag, NULL, "the printed module does not parse:\n%s",
                          first.data);
    ir_module_print(again, &full, &second);
    if (strcmp(first.data, second.data) != 0)
        return diag_error(&m->ctx->diag, NULL, "printing is not stable");
    if (ir_module_hash(m) == ir_module_hash(again)) return true;
    return diag_error(&m->ctx->diag, NULL, "the printed module reads back to another hash");
}

/* Cases that leave the header out get it left out. */
static void print_result(const golden_case *k, const ir_module *m, const ir_print_options *o,
                         bool annotated, golden_result *r) {
    if (annotated)
        r->ok = ir_module_print_annotated(m, &r->out);
    else
        ir_module_print(m, o, &r->out);
    if (golden_has(k->input, "tlbc 1")) return;
    char *header = strstr(r->out.data, "tlbc 1\n");
    char *body = header ? strstr(header, "\n\n") : NULL;
    if (!body) return;
    tl_str rest;
    tl_str_init(&rest, r->out.arena);
    tl_str_append(&rest, r->out.data, (size_t)(header - r->out.data));
    tl_str_puts(&rest, body + 2);
    r->out = rest;
}

/* The next word of a RUN line; false at its end. */
static bool next_word(tl_sv *s, tl_sv *word) {
    *s = golden_trim(*s);
    size_t n = 0;
    while (n < s->len && s->data[n] != ' ')
        n++;
    *word = (tl_sv){s->data, n};
    *s = (tl_sv){s->data + n, s->len - n};
    return n > 0;
}

/* The text behind "--name=", or NULL. */
static const char *option_value(tl_arena *a, tl_sv word, const char *name) {
    size_t n = strlen(name);
    if (word.len <= n || memcmp(word.data, name, n)) return NULL;
    return tl_arena_strndup(a, word.data + n, word.len - n);
}

static bool read_option(tl_arena *a, tl_sv word, run_options *o) {
    const char *state = option_value(a, word, "--state=");
    const char *stream = option_value(a, word, "--stream=");
    if (tl_sv_is(word, "--constants=full"))
        o->print.constants = IR_CONSTANTS_FULL;
    else if (tl_sv_is(word, "--constants=hash"))
        o->print.constants = IR_CONSTANTS_HASH;
    else if (tl_sv_is(word, "--constants=none"))
        o->print.constants = IR_CONSTANTS_NONE;
    else if (tl_sv_is(word, "--locations"))
        o->print.locations = true;
    else if (tl_sv_is(word, "--math=strict"))
        o->math = PASS_MATH_STRICT + 1;
    else if (tl_sv_is(word, "--math=fast"))
        o->math = PASS_MATH_FAST + 1;
    else if (tl_sv_is(word, "--batch-streams"))
        o->batch_streams = true;
    else if (state && o->n_states < 4)
        o->states[o->n_states++] = state;
    else if (stream && o->n_streams < 4)
        o->streams[o->n_streams++] = stream;
    else
        return false;
    return true;
}

static bool read_options(tl_arena *a, tl_sv run, run_options *o, tl_sv *pipeline) {
    tl_sv word;
    if (!next_word(&run, pipeline)) return false;
    while (next_word(&run, &word))
        if (!read_option(a, word, o)) return false;
    return true;
}

void golden_run(const golden_case *k, ir_ctx *c, tl_arena *a, golden_result *r) {
    run_options o = {0};
    tl_sv pipeline;
    *r = (golden_result){0};
    tl_str_init(&r->out, a);
    if (golden_run_loop(k, c, a, r)) return;
    if (!read_options(a, k->run, &o, &pipeline)) {
        diag_error(&c->diag, NULL, "bad RUN line '%.*s'", (int)k->run.len, k->run.data);
        return;
    }
    ir_module *m = ir_module_parse(c, a, k->file, k->text, k->text_len);
    if (!m) return;
    bool verify = tl_sv_is(pipeline, "verify");
    if (tl_sv_is(pipeline, "parse") || verify)
        r->ok = true;
    else if (tl_sv_is(pipeline, "infer"))
        r->ok = infer_all(m);
    else
        r->ok = run_passes(m, tl_arena_strndup(a, pipeline.data, pipeline.len), &o);
    if (!r->ok) return;
    print_result(k, m, &o.print, verify, r);
    r->ok = r->ok && check_round_trip(k, m, a);
}
