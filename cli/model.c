#include "cli/model.h"

#include "cli/data.h"
#include "cli/file.h"
#include "ir/tensor.h"

#include <time.h>

double cli_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

static void show_stage(void *data, const char *stage) {
    char text[256];
    snprintf(text, sizeof text, "%s: %s", (const char *)data, stage);
    cli_progress(text);
}

static bool compile_in_memory(cli *c, const model_source *s, model_handle *out) {
    char *message;
    tlbc_compile_options o = {.struct_size = sizeof o,
                              .cpu = s->cpu,
                              .dims = s->dims.items,
                              .n_dims = s->dims.n,
                              .passes = s->passes,
                              .skip = s->skip,
                              .simplify = (tlbc_simplify)s->simplify,
                              .progress = show_stage,
                              .progress_data = (void *)(uintptr_t)s->path,
                              .states = s->states.items,
                              .n_states = s->states.n,
                              .streams = s->streams.items,
                              .n_streams = s->streams.n,
                              .batch_streams = s->batch_streams};
    tlbc_status status = tlbc_compile_memory(s->path, &o, &out->loaded, &message);
    cli_progress(NULL);
    cli_take_message(c, status, s->path, message);
    if (status) return false;
    out->model = tlbc_loaded_model(out->loaded);
    return true;
}

static bool open_library(cli *c, const char *path, model_handle *out) {
    char message[1024];
    if (tlbc_open(path, &out->model, message, sizeof message) == TLBC_OK) return true;
    return diag_error(c->diag, NULL, "%s", message);
}

static bool choose_entry(cli *c, const char *entry, model_handle *h) {
    const tlbc_model *m = entry ? tlbc_entry(h->model, entry) : h->model;
    if (m) {
        h->model = m;
        return true;
    }
    diag_error(c->diag, NULL, "the library has no entry point '%s'", entry);
    for (uint32_t i = 0; i < h->model->n_entries; i++)
        diag_note(c->diag, NULL, "it has '%s'", h->model->entries[i].name);
    model_close(h);
    return false;
}

bool model_open(cli *c, const model_source *s, model_handle *out) {
    double start = cli_seconds();
    *out = (model_handle){0};
    bool onnx = !strcmp(file_extension(s->path), ".onnx");
    bool ok = onnx ? compile_in_memory(c, s, out) : open_library(c, s->path, out);
    out->open_seconds = cli_seconds() - start;
    return ok && choose_entry(c, s->entry, out);
}

void model_close(model_handle *h) {
    if (h->loaded)
        tlbc_loaded_free(h->loaded);
    else
        tlbc_close(h->model);
    *h = (model_handle){0};
}

bool model_is_step(const tlbc_model *m) {
    bool step = m->n_states;
    for (uint32_t i = 0; i < m->n_inputs; i++)
        step |= m->inputs[i].sequence;
    return step;
}

bool cli_check_streams(cli *c, int64_t n) {
    enum { MOST = 65536 };
    return (n >= 1 && n <= MOST) ||
           diag_error(c->diag, NULL, "--streams: expected a number from 1 to %d", MOST);
}

static bool create_session(cli *c, const tlbc_model *m, tlbc_session_options o,
                           tlbc_session **out) {
    o.struct_size = sizeof o;
    tlbc_status status = tlbc_session_create(m, &o, out);
    if (!status) return true;
    return diag_error(c->diag, NULL, "cannot create a session: %s", tlbc_status_text(status));
}

bool model_session_of(cli *c, const tlbc_model *m, int64_t threads, uint32_t streams, bool exact,
                      tlbc_session **out) {
    tlbc_session_options o = {
        .threads = (uint32_t)threads, .streams = streams, .exact_threads = exact};
    return create_session(c, m, o, out);
}

bool model_session(cli *c, const tlbc_model *m, int64_t threads, tlbc_session **out) {
    return model_session_of(c, m, threads, 1, true, out);
}

const char *model_stream_symbol(const tlbc_model *m) {
    for (uint32_t i = 0; i < m->n_states; i++)
        if (m->states[i].stream_axis >= 0)
            return m->states[i].tensor.dims[m->states[i].stream_axis].symbol;
    return NULL;
}

/* How many streams the inputs hold. */
static int64_t count_streams(const model_tensors *t) {
    const char *symbol = model_stream_symbol(t->model);
    int64_t streams = 1;
    for (uint32_t i = 0; symbol && i < t->model->n_inputs; i++) {
        const tlbc_tensor_info *info = &t->model->inputs[i];
        uint32_t stacked = t->in[i].rank == info->rank + 1; /* an axis in front counts steps */
        for (uint32_t d = 0; d < info->rank && d + stacked < t->in[i].rank; d++)
            if (info->dims[d].symbol && !strcmp(info->dims[d].symbol, symbol))
                streams = t->in[i].dims[d + stacked];
    }
    return streams;
}

uint32_t model_streams(const model_tensors *t) {
    return (uint32_t)count_streams(t);
}

bool model_session_for(cli *c, const model_tensors *t, int64_t threads, bool exact,
                       tlbc_session **out) {
    int64_t streams = count_streams(t);
    if (streams < 1 || streams > INT32_MAX)
        return diag_error(c->diag, NULL, "the inputs hold %lld streams", (long long)streams);
    tlbc_session_options o = {.threads = (uint32_t)threads,
                              .streams = (uint32_t)streams,
                              .exact_threads = exact,
                              .seed = t->seed};
    return create_session(c, t->model, o, out);
}

void model_report(cli *c, const tlbc_session *s, tlbc_status status, const char *what) {
    const char *text = tlbc_session_message(s);
    diag_error(c->diag, NULL, "%s: %s", what, text[0] ? text : tlbc_status_text(status));
}

/* ---- inputs --------------------------------------------------------------------------------------------------- */

void model_tensors_init(cli *c, const tlbc_model *m, model_tensors *t) {
    *t = (model_tensors){.model = m,
                         .in = TL_NEW_ARRAY(c->arena, tlbc_tensor, m->n_inputs),
                         .out = TL_NEW_ARRAY(c->arena, tlbc_tensor, m->n_outputs),
                         .given = TL_NEW_ARRAY(c->arena, bool, m->n_inputs)};
}

static bool bind(cli *c, model_tensors *t, const char *name, const tlbc_tensor *value) {
    for (uint32_t i = 0; i < t->model->n_inputs; i++) {
        if (strcmp(t->model->inputs[i].name, name)) continue;
        t->in[i] = *value;
        t->given[i] = true;
        return true;
    }
    diag_error(c->diag, NULL, "the model has no input '%s'", name);
    for (uint32_t i = 0; i < t->model->n_inputs; i++)
        diag_note(c->diag, NULL, "input %u is '%s' %s", i, t->model->inputs[i].name,
                  model_type_text(c->arena, &t->model->inputs[i]));
    return false;
}

static bool bind_archive(cli *c, model_tensors *t, const char *path) {
    npz_entry *entries;
    uint32_t n;
    if (!npz_read(c->diag, c->arena, path, &entries, &n)) return false;
    for (uint32_t i = 0; i < n; i++)
        if (!bind(c, t, entries[i].name, &entries[i].tensor)) return false;
    return true;
}

/* What .npy has no name for is read as plain bytes of the width that the input has. */
static void retype(const tlbc_tensor_info *info, tlbc_tensor *t) {
    unsigned bits = ir_dtype_bits((ir_dtype)info->dtype);
    bool raw16 = t->dtype == TLBC_BF16 && bits == 16, raw8 = t->dtype == TLBC_F8E4M3FN && bits == 8;
    if (raw16 || raw8) t->dtype = info->dtype;
}

bool model_bind_input(cli *c, model_tensors *t, const char *spec) {
    const char *path;
    size_t n;
    tlbc_tensor value;
    if (!cli_split(spec, &path, &n)) {
        if (!strcmp(file_extension(spec), ".npz")) return bind_archive(c, t, spec);
        return diag_error(c->diag, NULL, "--input '%s': expected NAME=FILE or FILE.npz", spec);
    }
    const char *name = tl_arena_strndup(c->arena, spec, n);
    if (!data_read(c, path, name, &value)) return false;
    for (uint32_t i = 0; i < t->model->n_inputs; i++)
        if (!strcmp(t->model->inputs[i].name, name)) retype(&t->model->inputs[i], &value);
    return bind(c, t, name, &value);
}

bool model_bind_inputs(cli *c, model_tensors *t, cli_list specs) {
    for (uint32_t i = 0; i < specs.n; i++)
        if (!model_bind_input(c, t, specs.items[i])) return false;
    return true;
}

bool model_require_inputs(cli *c, const model_tensors *t) {
    bool ok = true;
    for (uint32_t i = 0; i < t->model->n_inputs; i++)
        if (!t->given[i])
            ok = diag_error(c->diag, NULL, "input %u '%s' %s is missing: --input %s=FILE", i,
                            t->model->inputs[i].name,
                            model_type_text(c->arena, &t->model->inputs[i]),
                            t->model->inputs[i].name);
    return ok;
}

/* ---- random inputs -------------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Floats in [-1, 1); integers 0 or 1, which are indices into nearly everything; booleans. */
static void fill_random(tlbc_tensor *t, size_t n, uint64_t *state) {
    ir_dtype d = (ir_dtype)t->dtype;
    if (ir_dtype_get_class(d) == DTYPE_COMPLEX) n *= 2, d = d == DT_c64 ? DT_f32 : DT_f64;
    for (size_t i = 0; i < n; i++) {
        uint64_t r = next_random(state);
        if (ir_dtype_get_class(d) == DTYPE_FLOAT)
            ir_element_set_f64(d, t->data, i, (double)(r >> 11) * 0x1p-52 - 1);
        else
            ir_element_set_i64(d, t->data, i, (int64_t)(r & 1));
    }
}

/* Value of a symbol: asked for by --dim, else what a given input has there, else 1. */
static bool symbol_value(cli *c, const model_tensors *t, cli_list dims, int32_t symbol,
                         int64_t *out) {
    const char *name = t->model->symbols[symbol], *value;
    size_t n;
    *out = 1;
    for (uint32_t i = 0; i < t->model->n_inputs; i++)
        for (uint32_t d = 0; t->given[i] && d < t->model->inputs[i].rank && d < t->in[i].rank; d++)
            if (t->model->inputs[i].dims[d].bind == symbol) *out = t->in[i].dims[d];
    for (uint32_t i = 0; i < dims.n; i++) {
        if (!cli_split(dims.items[i], &value, &n))
            return diag_error(c->diag, NULL, "--dim '%s': expected NAME=SIZE", dims.items[i]);
        if (strlen(name) != n || memcmp(name, dims.items[i], n)) continue;
        if (!cli_parse_int(value, out))
            return diag_error(c->diag, NULL, "--dim '%s': the size is not a number", dims.items[i]);
    }
    return true;
}

/* Sizes of one input. An expression of symbols ("2*time") cannot be evaluated here: only plain symbols. */
static bool choose_dims(cli *c, const model_tensors *t, cli_list dims, uint32_t input,
                        tlbc_tensor *out) {
    const tlbc_tensor_info *info = &t->model->inputs[input];
    out->dtype = info->dtype;
    out->rank = info->rank;
    for (uint32_t d = 0; d < info->rank; d++) {
        const tlbc_dim *dim = &info->dims[d];
        out->dims[d] = dim->value;
        if (dim->value >= 0) continue;
        int32_t symbol = dim->bind;
        for (uint32_t k = 0; symbol < 0 && dim->symbol && k < t->model->n_symbols; k++)
            if (!strcmp(t->model->symbols[k], dim->symbol)) symbol = (int32_t)k;
        if (symbol < 0)
            return diag_error(
                c->diag, NULL,
                "input %u '%s' %s: dimension %u depends on others; give it by --input", input,
                info->name, model_type_text(c->arena, info), d);
        if (!symbol_value(c, t, dims, symbol, &out->dims[d])) return false;
    }
    return true;
}

bool model_random_inputs(cli *c, model_tensors *t, cli_list dims, uint64_t seed) {
    for (uint32_t i = 0; i < t->model->n_inputs; i++) {
        size_t n = 1, bytes;
        tlbc_tensor *in = &t->in[i];
        if (t->given[i]) continue;
        if (!choose_dims(c, t, dims, i, in)) return false;
        for (uint32_t d = 0; d < in->rank; d++)
            if (!tl_mul_size(n, (size_t)in->dims[d], &n))
                return diag_error(c->diag, NULL, "input %u: its size overflows", i);
        if (in->dtype == TLBC_STRING || in->dtype >= TLBC_SEQUENCE)
            return diag_error(c->diag, NULL, "input %u '%s' is %s; give it by --input", i,
                              t->model->inputs[i].name,
                              model_type_text(c->arena, &t->model->inputs[i]));
        if (!ir_dtype_bytes((ir_dtype)in->dtype, n, &bytes))
            return diag_error(c->diag, NULL, "input %u: its size overflows", i);
        in->data = tl_arena_alloc(c->arena, bytes ? bytes : 1, 64);
        in->bytes = bytes;
        fill_random(in, n, &seed);
    }
    return true;
}

/* ---- outputs, text -------------------------------------------------------------------------------------------- */

static bool is_open(const tlbc_tensor_info *info, const tlbc_tensor *t) {
    bool open = info->element || info->rank == TLBC_ANY_RANK || info->dtype == TLBC_STRING;
    for (uint32_t d = 0; !open && d < t->rank; d++)
        open = t->dims[d] < 0;
    return open;
}

bool model_alloc_outputs(cli *c, tlbc_session *s, model_tensors *t) {
    tlbc_status status = tlbc_shapes(s, t->in, t->out, NULL);
    if (status) {
        model_report(c, s, status, t->model->name);
        return false;
    }
    for (uint32_t i = 0; i < t->model->n_outputs; i++) {
        tlbc_tensor *out = &t->out[i];
        out->data = NULL; /* the run's own memory, where it alone tells the size */
        if (!is_open(&t->model->outputs[i], out))
            out->data = tl_arena_alloc(c->arena, out->bytes ? out->bytes : 1, 64);
    }
    return true;
}

static const char *const list_names[] = {"seq(", "opt(", "map("};

static void put_type(const tlbc_tensor_info *info, tl_str *s) {
    if (info->element) {
        tl_str_puts(s, list_names[info->dtype - TLBC_SEQUENCE]);
        put_type(info->element, s);
        if (info->dtype == TLBC_MAP) tl_str_putc(s, ','), put_type(&info->element[1], s);
        tl_str_putc(s, ')');
        return;
    }
    tl_str_printf(s, "%s[", ir_dtype_name((ir_dtype)info->dtype));
    if (info->rank == TLBC_ANY_RANK) tl_str_putc(s, '*');
    for (uint32_t i = 0; info->dims && i < info->rank; i++) {
        const tlbc_dim *d = &info->dims[i];
        if (i) tl_str_putc(s, ',');
        if (d->value >= 0)
            tl_str_printf(s, "%lld", (long long)d->value);
        else
            tl_str_puts(s, d->symbol ? d->symbol : "?");
    }
    tl_str_putc(s, ']');
}

const char *model_type_text(tl_arena *a, const tlbc_tensor_info *info) {
    tl_str s;
    tl_str_init(&s, a);
    put_type(info, &s);
    return s.data;
}

const char *tensor_type_text(tl_arena *a, const tlbc_tensor *t) {
    tl_str s;
    tl_str_init(&s, a);
    if (t->dtype >= TLBC_SEQUENCE)
        tl_str_printf(&s, "%.3s[", list_names[t->dtype - TLBC_SEQUENCE]);
    else
        tl_str_printf(&s, "%s[", ir_dtype_name((ir_dtype)t->dtype));
    for (uint32_t i = 0; i < t->rank; i++)
        tl_str_printf(&s, "%s%lld", i ? "," : "", (long long)t->dims[i]);
    tl_str_putc(&s, ']');
    return s.data;
}
