/* Models with several entry points, as models/entries.py writes them: a sequence of calls whose states the sessions have in common, against what
 * PyTorch computes.
 *   calls_test FOLDER        PART.onnx of which one is main.onnx, states.txt, call_N_PART/{input_I,output_J}.pb */
#include "frontend/frontend.h"
#include "tests/support/check.h"
#include "tests/support/module.h"
#include "tlbc/tlbc.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>

enum { MOST = 64, MOST_TENSORS = 16, MOST_THREADS = 2 };

typedef struct calls {
    test_module m;
    const char *folder, *names[MOST],
        *entries[MOST]; /* call_00_main ...; "aggregate=FOLDER/aggregate.onnx" */
    uint32_t n_names, n_entries;
    const char *states;
    tlbc_loaded *library;
} calls;

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void list_folder(calls *t) {
    DIR *d = opendir(t->folder);
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        const char *name = tl_arena_printf(&t->m.arena, "%s", e->d_name);
        int stem = (int)strlen(name) - 5;
        if (!strncmp(name, "call_", 5) && CHECK(t->n_names < MOST)) t->names[t->n_names++] = name;
        if (!ends_with(name, ".onnx") || !strcmp(name, "main.onnx") || !CHECK(t->n_entries < MOST))
            continue;
        t->entries[t->n_entries++] = tl_arena_printf(&t->m.arena, "%.*s=%s/%s", stem, name,
                                                     t->folder, name);
    }
    if (d) closedir(d);
    qsort(t->names, t->n_names, sizeof *t->names, by_name);
}

static void read_states(calls *t) {
    char *text = TL_NEW_ARRAY(&t->m.arena, char, 1000);
    FILE *f = fopen(tl_arena_printf(&t->m.arena, "%s/states.txt", t->folder), "r");
    if (CHECK(f != NULL) && CHECK(fgets(text, 1000, f) != NULL)) text[strcspn(text, "\n")] = 0;
    if (f) fclose(f);
    t->states = text;
}

static void compile(calls *t) {
    char *message = NULL;
    tlbc_compile_options o = {.struct_size = sizeof o, .states = &t->states, .n_states = 1};
    o.entries = t->entries;
    o.n_entries = t->n_entries;
    const char *path = tl_arena_printf(&t->m.arena, "%s/main.onnx", t->folder);
    CHECK_EQ(tlbc_compile_memory(path, &o, &t->library, &message), TLBC_OK);
    if (message) fputs(message, stderr);
    tlbc_message_free(message);
}

/* ---- calls ---------------------------------------------------------------------------------------------------- */

/* KIND_0.pb, KIND_1.pb ... of a call. */
static uint32_t read_tensors(calls *t, const char *call, const char *kind,
                             const ir_tensor *out[MOST_TENSORS]) {
    for (uint32_t i = 0; i < MOST_TENSORS; i++) {
        const char *path = tl_arena_printf(&t->m.arena, "%s/%s/%s_%u.pb", t->folder, call, kind, i);
        FILE *f = fopen(path, "r");
        if (!f) return i;
        fclose(f);
        if (!CHECK(fe_read_tensor_pb(&t->m.c, &t->m.arena, path, &out[i]))) return i;
    }
    return MOST_TENSORS;
}

static tlbc_tensor as_argument(const ir_tensor *x) {
    tlbc_tensor t = {.data = (void *)(uintptr_t)x->data, .bytes = x->bytes};
    t.dtype = (tlbc_dtype)x->type->dtype;
    t.rank = (uint32_t)x->type->rank;
    for (int32_t d = 0; d < x->type->rank; d++)
        ir_dim_is_const(x->type->dims[d], &t.dims[d]);
    return t;
}

static bool is_close(const ir_tensor *want, const void *got) {
    if (want->type->dtype != DT_f32) return memcmp(want->data, got, want->bytes) == 0;
    const float *a = want->data, *b = got;
    for (size_t i = 0; i < want->bytes / sizeof *a; i++)
        if (!(fabsf(a[i] - b[i]) <= 1e-5f + 1e-4f * fabsf(a[i]))) return false;
    return true;
}

static void make_call(calls *t, const char *name, tlbc_session *s) {
    const ir_tensor *inputs[MOST_TENSORS], *wanted[MOST_TENSORS];
    tlbc_tensor in[MOST_TENSORS], out[MOST_TENSORS];
    uint32_t n_in = read_tensors(t, name, "input", inputs),
             n_out = read_tensors(t, name, "output", wanted);
    const tlbc_model *m = tlbc_session_model(s);
    if (!CHECK_EQ(n_in, m->n_inputs) || !CHECK_EQ(n_out, m->n_outputs)) return;
    for (uint32_t i = 0; i < n_in; i++)
        in[i] = as_argument(inputs[i]);
    for (uint32_t i = 0; i < n_out; i++) {
        out[i] = as_argument(wanted[i]);
        out[i].data = tl_arena_alloc(&t->m.arena, out[i].bytes + 1, 64);
    }
    if (!CHECK_EQ(tlbc_step(s, in, out), TLBC_OK)) fprintf(stderr, "%s\n", tlbc_session_message(s));
    for (uint32_t i = 0; i < n_out; i++)
        if (!CHECK(is_close(wanted[i], out[i].data)))
            fprintf(stderr, "%s: output %u '%s' differs\n", name, i, m->outputs[i].name);
}

/* The session of the entry that the call names: "call_03_aggregate". All have the states of the first one. */
static tlbc_session *session_of(calls *t, const char *call, tlbc_session **all, uint32_t threads) {
    const tlbc_model *first = tlbc_loaded_model(t->library);
    const char *entry = call + strlen("call_00_");
    uint32_t k = 0;
    while (k < first->n_entries && strcmp(first->entries[k].name, entry))
        k++;
    if (!strcmp(entry, "main")) k = 0;
    if (!CHECK(k < first->n_entries)) return NULL;
    tlbc_session_options o = {.struct_size = sizeof o, .threads = threads, .exact_threads = 1};
    o.states_of = k ? all[0] : NULL;
    if (!all[k])
        CHECK_EQ(tlbc_session_create(k ? first->entries[k].model : first, &o, &all[k]), TLBC_OK);
    return all[k];
}

/* All calls twice: a reset between them begins anew. */
static void test_calls(calls *t, uint32_t threads) {
    tlbc_session *all[MOST] = {NULL};
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < t->n_names; i++) {
            tlbc_session *s = session_of(t, t->names[i], all, threads);
            if (s) make_call(t, t->names[i], s);
        }
        if (all[0]) CHECK_EQ(tlbc_reset(all[0], TLBC_ALL_STREAMS), TLBC_OK);
    }
    for (uint32_t k = MOST; k-- > 0;)
        tlbc_session_free(all[k]);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    calls t = {.folder = argv[1]};
    test_module_init(&t.m);
    list_folder(&t);
    read_states(&t);
    compile(&t);
    CHECK(t.n_names > 0);
    for (uint32_t threads = 1; t.library && threads <= MOST_THREADS; threads++)
        test_calls(&t, threads);
    tlbc_loaded_free(t.library);
    test_module_release(&t.m);
    return check_done();
}
