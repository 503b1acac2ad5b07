/* stream_lengths: a sequence of any length that is to be streamed has a length that is a multiple of a step's positions.
 *
 *   before:  graph g(f32[B,time,8] %x) ... %n = ceil(time/4) rounds, the last one perhaps shorter        --stream x:1:8
 *   after:   graph g(f32[B,8*time.steps,8] %x) ... %n = 2*time.steps rounds
 *
 *          tail graph g_tail(f32[B,time,8] %x) ... as it was: for what is left of a sequence behind the last step
 *
 * So loops over chunks of the sequence have whole chunks only, and become recurrences that the pass `stream` can take apart. The manager
 * runs this before all other passes, where a stream is asked for. Linear. */
#include "passes/stream.h"

typedef struct renaming {
    ir_ctx *c;
    const char *from;
    const ir_dim *to;
} renaming;

static const ir_dim *rename_symbol(void *data, const char *symbol) {
    const renaming *r = data;
    return symbol == r->from ? r->to : NULL;
}

static const ir_dim *rename_dim(renaming *r, const ir_dim *d) {
    return ir_dim_is_unknown(d) ? d : ir_dim_substitute(r->c, d, rename_symbol, r);
}

static const ir_dim *const *rename_dims(tl_arena *a, renaming *r, const ir_dim *const *d,
                                        uint32_t n) {
    const ir_dim **dims = TL_NEW_ARRAY(a, const ir_dim *, n + 1);
    for (uint32_t i = 0; i < n; i++)
        dims[i] = rename_dim(r, d[i]);
    return dims;
}

static void rename_value(pass_ctx *ctx, renaming *r, ir_value *v) {
    const ir_type *t = v->type;
    if (v->known) {
        ir_known *k = TL_NEW(ctx->m->arena, ir_known);
        *k = (ir_known){v->known->n, rename_dims(ctx->m->arena, r, v->known->dims, v->known->n)};
        v->known = k;
    }
    if (!ir_type_is_ranked(t)) return;
    const ir_dim *const *dims = rename_dims(ctx->scratch, r, t->dims, (uint32_t)t->rank);
    v->type = ir_type_tensor(ctx->c, t->dtype, t->rank, dims);
}

static void rename_region(pass_ctx *ctx, renaming *r, ir_region *region) {
    for (uint32_t i = 0; i < region->n_params; i++)
        rename_value(ctx, r, region->params[i]);
    ir_for_each_node (n, region) {
        const ir_attr *dims = ir_attr_find(n, "dims");
        if (n->op == OP_Dims && dims)
            ir_attr_set_dims(ctx->m, n, "dims",
                             rename_dims(ctx->m->arena, r, dims->v.dims, dims->n), dims->n);
        for (uint32_t i = 0; i < n->n_out; i++)
            rename_value(ctx, r, &n->out[i]);
        for (uint32_t i = 0; i < n->n_regions; i++)
            rename_region(ctx, r, n->regions[i]);
    }
}

void graph_set_symbol(pass_ctx *ctx, ir_graph *g, const char *symbol, const ir_dim *value) {
    renaming r = {.c = ctx->c, .from = symbol, .to = value};
    rename_region(ctx, &r, g->body);
}

/* "tail", or with a number where an entry point has that name. */
static const char *free_graph_name(pass_ctx *ctx) {
    const char *name = "tail";
    for (unsigned i = 1;; i++) {
        const ir_graph *g = ctx->m->graphs;
        while (g && strcmp(g->name, name))
            g = g->next;
        if (!g) return name;
        name = tl_arena_printf(ctx->scratch, "tail.%u", i);
    }
}

/* The model as it is, for the last part of a sequence: nothing is left behind steps of one position. */
static void copy_for_tail(pass_ctx *ctx, ir_graph *g, int64_t chunk) {
    if (chunk == 1) return;
    ir_graph *tail = ir_graph_clone(g, free_graph_name(ctx));
    tail->tail = true;
}

pass_result pass_stream_lengths(pass_ctx *ctx, ir_graph *g) {
    stream_spec spec;
    bool changed = false;
    for (uint32_t i = 0; g == ctx->m->graphs && i < ctx->options->n_streams; i++) {
        for (const char *text = ctx->options->streams[i]; *text;) {
            if (!stream_next_spec(ctx, &text, &spec)) return PASS_FAILED;
            const ir_value *v = stream_find_input(ctx, g, &spec);
            if (!v) return PASS_FAILED;
            if (!ir_type_is_ranked(v->type) || spec.axis >= v->type->rank) continue;
            const ir_dim *length = v->type->dims[spec.axis];
            if (!ir_dim_is_symbol(length) || g->steps) continue;
            const char *steps = tl_arena_printf(ctx->scratch, "%s.steps",
                                                ir_dim_symbol_name(length));
            g->steps = ir_name(ctx->c, steps);
            copy_for_tail(ctx, g, spec.chunk);
            renaming r = {.c = ctx->c, .from = ir_dim_symbol_name(length)};
            r.to = ir_dim_mul(ctx->c, ir_dim_const(ctx->c, spec.chunk),
                              ir_dim_symbol(ctx->c, g->steps));
            rename_region(ctx, &r, g->body);
            changed = true;
        }
    }
    return changed ? PASS_CHANGED : PASS_SAME;
}
