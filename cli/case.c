#define _GNU_SOURCE /* strverscmp */
#include "cli/case.h"

#include "cli/file.h"
#include "frontend/frontend.h"
#include "ir/base/vec.h"

#include <dirent.h>
#include <stdlib.h>

/* ---- folders -------------------------------------------------------------------------------------------------- */

/* test_data_set_2 before test_data_set_10. */
static int compare_names(const void *a, const void *b) {
    return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

bool case_list(tl_arena *a, const char *folder, const char *prefix, cli_list *out) {
    TL_VEC(const char *) names = {0};
    DIR *dir = opendir(folder);
    if (!dir) return false;
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.' && !strncmp(e->d_name, prefix, strlen(prefix)))
            tl_vec_push(a, &names, tl_arena_strdup(a, e->d_name));
    closedir(dir);
    if (names.len) qsort(names.data, names.len, sizeof *names.data, compare_names);
    *out = (cli_list){names.data, names.len};
    return true;
}

static void report_line(cli *c, const char *verdict, const char *label, const char *text) {
    cli_report(c);
    printf("%s %s%s%s\n", verdict, label, text ? ": " : "", text ? text : "");
}

/* ---- compiled models ------------------------------------------------------------------------------------------ */

static bool read_inputs(cli *c, const char *set, model_tensors *t) {
    for (uint32_t i = 0; i < t->model->n_inputs; i++)
        if (!data_read_value(c, tl_arena_printf(c->arena, "%s/input_%u.pb", set, i),
                             &t->model->inputs[i], &t->in[i]))
            return false;
    return true;
}

static bool compare_outputs(cli *c, const char *set, const model_tensors *t,
                            data_tolerance tolerance) {
    bool ok = true;
    for (uint32_t i = 0; i < t->model->n_outputs; i++) {
        tlbc_tensor want;
        const char *text, *path = tl_arena_printf(c->arena, "%s/output_%u.pb", set, i);
        if (!data_read_value(c, path, &t->model->outputs[i], &want)) return false;
        if (!data_compare(c->arena, &t->out[i], &want, tolerance, &text))
            ok = diag_error(c->diag, NULL, "output %u '%s': %s", i, t->model->outputs[i].name,
                            text);
    }
    return ok;
}

static bool run_once(cli *c, tlbc_session *s, model_tensors *t) {
    if (!model_alloc_outputs(c, s, t)) return false;
    tlbc_status status = tlbc_run(s, t->in, t->out);
    if (status) model_report(c, s, status, t->model->name);
    return !status;
}

/* With this many threads: all bits are those of `t`. */
static bool repeat_set(cli *c, const model_tensors *t, int64_t threads) {
    tlbc_session *s;
    model_tensors again;
    const char *text;
    model_tensors_init(c, t->model, &again);
    for (uint32_t i = 0; i < t->model->n_inputs; i++)
        again.in[i] = t->in[i];
    if (!model_session(c, t->model, threads, &s)) return false;
    bool ok = run_once(c, s, &again);
    for (uint32_t i = 0; ok && i < t->model->n_outputs; i++)
        if (!data_same_bits(c->arena, &again.out[i], &t->out[i], &text))
            ok = diag_error(c->diag, NULL, "output %u '%s' of %lld threads: %s", i,
                            t->model->outputs[i].name, (long long)threads, text);
    tlbc_session_free(s);
    return ok;
}

static bool run_set(cli *c, const char *set, tlbc_session *s, const tlbc_model *m,
                    const case_options *o) {
    model_tensors t;
    model_tensors_init(c, m, &t);
    bool ok = read_inputs(c, set, &t) && run_once(c, s, &t) &&
              compare_outputs(c, set, &t, o->tolerance);
    for (int64_t threads = 2; ok && threads <= o->threads; threads++)
        ok = repeat_set(c, &t, threads);
    return ok;
}

/* ---- the reference evaluator ---------------------------------------------------------------------------------- */

static bool compare_datum(cli *c, const ir_datum *got, const ir_datum *want, data_tolerance tol,
                          const char **text) {
    if (want->tensor && got->tensor) {
        tlbc_tensor g = data_from_ir(got->tensor), w = data_from_ir(want->tensor);
        return data_compare(c->arena, &g, &w, tol, text);
    }
    if (!want->tensor != !got->tensor || want->is_sequence != got->is_sequence ||
        want->is_optional != got->is_optional || want->n != got->n) {
        *text = "is of another kind or length than expected";
        return false;
    }
    for (uint32_t i = 0; i < want->n; i++)
        if (!compare_datum(c, &got->items[i], &want->items[i], tol, text)) return false;
    return true;
}

static bool evaluate_set(cli *c, const char *set, const ir_graph *g, const case_options *o) {
    uint32_t n_in = g->body->n_params, n_out = ir_region_n_results(g->body);
    ir_datum *in = TL_NEW_ARRAY(c->arena, ir_datum, n_in),
             *out = TL_NEW_ARRAY(c->arena, ir_datum, n_out);
    const ir_datum **operands = TL_NEW_ARRAY(c->arena, const ir_datum *, n_in);
    ir_eval e;
    for (uint32_t i = 0; i < n_in; i++) {
        const char *path = tl_arena_printf(c->arena, "%s/input_%u.pb", set, i);
        if (!fe_read_value_pb(&c->ctx, c->arena, path, g->body->params[i]->type, &in[i]))
            return false;
        operands[i] = &in[i];
    }
    ir_eval_init(&e, &c->ctx, c->arena);
    if (!ir_eval_graph(&e, g, operands, out)) return false;
    bool ok = true;
    for (uint32_t i = 0; i < n_out; i++) {
        ir_datum want = {0};
        const char *text, *path = tl_arena_printf(c->arena, "%s/output_%u.pb", set, i);
        const ir_type *type = ir_region_result(g->body, i)->type;
        if (!fe_read_value_pb(&c->ctx, c->arena, path, type, &want)) return false;
        if (!compare_datum(c, &out[i], &want, o->tolerance, &text))
            ok = diag_error(c->diag, NULL, "output %u '%s': %s", i, g->outputs[i], text);
    }
    return ok;
}

/* ---- a case --------------------------------------------------------------------------------------------------- */

/* What the sets run on: one of the two. */
typedef struct subject {
    model_handle model;
    tlbc_session *session;
    const ir_graph *graph;
} subject;

static bool open_subject(cli *c, const test_case *t, const case_options *o, subject *s) {
    if (o->evaluator) {
        ir_module *m = fe_import_file(&c->ctx, c->arena, t->model, NULL);
        if (!m) return false;
        s->graph = m->graphs;
        return true;
    }
    model_source source = o->source;
    source.path = t->model;
    return model_open(c, &source, &s->model) && model_session(c, s->model.model, 1, &s->session);
}

static void close_subject(subject *s) {
    tlbc_session_free(s->session);
    if (s->model.model) model_close(&s->model);
}

void case_run(cli *c, const test_case *t, const case_options *o) {
    cli_list sets;
    subject s = {0};
    if (!case_list(c->arena, t->folder, "test_data_set_", &sets) || sets.n == 0) {
        report_line(c, "SKIP", t->folder, "no test_data_set_* in it");
        return;
    }
    bool opened = open_subject(c, t, o, &s);
    const char *why = opened ? NULL : cli_take_report(c);
    for (uint32_t i = 0; i < sets.n; i++) {
        if (why && i > 0) why = "as the first";
        const char *label = tl_arena_printf(c->arena, "%s/%s", t->folder, sets.items[i]);
        bool ok = opened && (s.graph ? evaluate_set(c, label, s.graph, o)
                                     : run_set(c, label, s.session, s.model.model, o));
        report_line(c, ok ? "PASS" : "FAIL", label, ok ? NULL : opened ? cli_take_report(c) : why);
    }
    close_subject(&s);
}
