/* Facts about a model as text and as JSON. */
#include "cli/inspect.h"
#include "cli/json.h"

static const char *hash_text(const uint8_t *sha256, char *out) {
    bool any = false;
    for (int i = 0; i < 32; i++) {
        any |= sha256 && sha256[i];
        snprintf(out + 2 * i, 3, "%02x", sha256 ? sha256[i] : 0);
    }
    return any ? out : NULL;
}

/* ---- text ----------------------------------------------------------------------------------------------------- */

static void print_line(const char *name, const char *value) {
    if (value && value[0]) printf("  %-11s %s\n", name, value);
}

static void print_number(const char *name, int64_t value, const char *unit) {
    if (value >= 0) printf("  %-11s %lld %s\n", name, (long long)value, unit);
}

static void print_values(const char *what, const inspect_value *v, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        printf("  %-6s %-4u %s %s", what, i, v[i].name, v[i].type);
        if (v[i].delay) printf(", %lld positions late", (long long)v[i].delay);
        putchar('\n');
    }
}

static void print_flops(const inspect_facts *f) {
    if (f->flops_number > 0)
        printf("  products    %.6g MFLOP\n", f->flops_number * 1e-6);
    else if (!f->compiled)
        printf("  products    %s FLOP\n", f->flops ? f->flops : "unknown");
    if (f->flops_after > 0 && f->flops_after != f->flops_number)
        printf("  compiled    %.6g MFLOP after all passes\n", f->flops_after * 1e-6);
    if (f->serial && f->serial_share >= 0)
        printf("  serial      %.1f %% of them, one round after the other\n", 100 * f->serial_share);
    else if (f->serial)
        printf("  serial      %s of them, one round after the other\n", f->serial);
}

static void print_plan(const inspect_facts *f) {
    if (f->n_buffers >= 0)
        printf(
            "  workspace   %lld bytes for %lld buffers, %lld alive at once, %lld without sharing\n",
            (long long)f->static_bytes, (long long)f->n_buffers, (long long)f->alive_bytes,
            (long long)f->unshared_bytes);
    for (uint32_t i = 0; i < f->n_slots; i++)
        printf("    slot %-4u %s bytes%s\n", i, f->slots[i].bytes,
               f->slots[i].per_thread ? " for each thread" : "");
    print_number("workspace", f->workspace_bytes, "bytes");
    if (f->open_symbols)
        printf("  workspace   depends on %s; give them by --dim\n", f->open_symbols);
}

static void print_code(const inspect_facts *f) {
    print_number("kernels", f->n_kernels, "different");
    if (f->code_bytes >= 0)
        printf("  code        %lld bytes%s%s\n", (long long)f->code_bytes, f->cpu ? " for " : "",
               f->cpu ? f->cpu : "");
    print_number("file", f->file_bytes, "bytes");
}

static void print_ops(const inspect_facts *f) {
    if (!f->n_ops) return;
    printf("  nodes       %u", f->n_nodes);
    printf(f->n_buffers >= 0 ? ", %u after all passes\n" : "\n", f->n_nodes_after);
    for (uint32_t i = 0; i < f->n_ops; i++)
        printf("    %6u %s%s\n", f->ops[i].n, op_get(f->ops[i].op)->name,
               f->ops[i].supported ? "" : " (not supported)");
}

void inspect_print_text(const inspect_facts *f) {
    char hash[65];
    printf("%s: %s model '%s'", f->path, f->compiled ? "compiled" : "ONNX", f->name);
    if (f->made_by) printf(" %s %s", f->compiled ? "by" : "from", f->made_by);
    putchar('\n');
    print_line("for", f->target);
    print_line("options", f->options);
    print_line("sha256", hash_text(f->sha256, hash));
    for (uint32_t i = 0; i < f->n_entries; i++)
        printf("  entry  %-4u %s\n", i, f->entries[i].name);
    print_values("input", f->inputs, f->n_inputs);
    print_values("output", f->outputs, f->n_outputs);
    print_values("state", f->states, f->n_states);
    print_number("states", f->state_bytes, "bytes for each stream");
    print_number("step", f->chunk, "positions of the sequence");
    print_line("last step", f->last_step);
    print_number("delay", f->delay, "positions at most between an input and its output");
    if (f->parameters >= 0)
        printf("  parameters  %lld in %lld bytes\n", (long long)f->parameters,
               (long long)f->parameter_bytes);
    print_number("weights", f->weight_bytes, "bytes");
    print_flops(f);
    print_plan(f);
    print_code(f);
    print_ops(f);
}

/* ---- JSON ----------------------------------------------------------------------------------------------------- */

static void put_string(json_writer *w, const char *name, const char *value) {
    if (value && value[0]) json_string(w, name, value);
}

static void put_number(json_writer *w, const char *name, int64_t value) {
    if (value >= 0) json_number(w, name, (double)value);
}

static void put_values(json_writer *w, const char *name, const inspect_value *v, uint32_t n) {
    json_open(w, name, '[');
    for (uint32_t i = 0; i < n; i++) {
        json_open(w, NULL, '{');
        json_string(w, "name", v[i].name);
        json_string(w, "type", v[i].type);
        if (v[i].delay) json_number(w, "delay", (double)v[i].delay);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void put_ops(json_writer *w, const inspect_facts *f) {
    if (!f->n_ops) return;
    json_number(w, "nodes", f->n_nodes);
    if (f->n_buffers >= 0) json_number(w, "nodes_after_passes", f->n_nodes_after);
    json_open(w, "operators", '[');
    for (uint32_t i = 0; i < f->n_ops; i++) {
        json_open(w, NULL, '{');
        json_string(w, "op", op_get(f->ops[i].op)->name);
        json_number(w, "count", f->ops[i].n);
        json_bool(w, "supported", f->ops[i].supported);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void put_plan(json_writer *w, const inspect_facts *f) {
    put_number(w, "workspace_bytes", f->workspace_bytes);
    if (f->n_buffers < 0) return;
    json_open(w, "memory_plan", '{');
    put_number(w, "static_bytes", f->static_bytes);
    put_number(w, "alive_bytes", f->alive_bytes);
    put_number(w, "unshared_bytes", f->unshared_bytes);
    put_number(w, "buffers", f->n_buffers);
    json_open(w, "slots", '[');
    for (uint32_t i = 0; i < f->n_slots; i++) {
        json_open(w, NULL, '{');
        json_string(w, "bytes", f->slots[i].bytes);
        json_bool(w, "per_thread", f->slots[i].per_thread);
        json_close(w, '}');
    }
    json_close(w, ']');
    json_close(w, '}');
}

static void put_costs(json_writer *w, const inspect_facts *f) {
    put_number(w, "parameters", f->parameters);
    put_number(w, "parameter_bytes", f->parameter_bytes);
    put_number(w, "weight_bytes", f->weight_bytes);
    if (f->flops_number > 0)
        json_number(w, "flops", f->flops_number);
    else
        put_string(w, "flops", f->flops);
    if (f->flops_after > 0) json_number(w, "flops_after", f->flops_after);
    put_string(w, "serial_flops", f->serial);
    put_number(w, "kernels", f->n_kernels);
    put_number(w, "code_bytes", f->code_bytes);
    put_number(w, "file_bytes", f->file_bytes);
    put_string(w, "cpu", f->cpu);
}

void inspect_print_json(cli *c, const inspect_facts *f) {
    json_writer w;
    char hash[65];
    json_begin(&w, c->arena);
    json_string(&w, "path", f->path);
    json_string(&w, "kind", f->compiled ? "compiled" : "onnx");
    json_string(&w, "name", f->name);
    put_string(&w, f->compiled ? "compiler" : "producer", f->made_by);
    put_string(&w, "target", f->target);
    put_string(&w, "options", f->options);
    put_string(&w, "sha256", hash_text(f->sha256, hash));
    put_values(&w, "inputs", f->inputs, f->n_inputs);
    put_values(&w, "outputs", f->outputs, f->n_outputs);
    put_values(&w, "states", f->states, f->n_states);
    put_number(&w, "state_bytes", f->state_bytes);
    put_number(&w, "chunk", f->chunk);
    put_string(&w, "last_step", f->last_step);
    put_number(&w, "delay", f->delay);
    put_costs(&w, f);
    put_plan(&w, f);
    put_ops(&w, f);
    puts(json_end(&w));
}
