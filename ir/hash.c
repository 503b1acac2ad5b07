/* Structural hash of a module: equal for modules that print the same up to the names of inner values.
 *
 *   %a = Add(%x, @one)  return %a      and      %sum = Add(%x, @1)  return %sum      hash alike
 *
 * In: graph names, input and output names, types, operators, attributes, constants by content, the order of nodes. Out: names
 * of inner values and constants, locations, known contents, constants nobody uses. The same in every process: types and
 * dimensions enter as text, never as pointers. */
#include "ir/base/hash.h"
#include "ir/ir.h"

typedef struct hasher {
    uint64_t h;
    tl_arena *arena;
    tl_map values; /* ir_value * -> its number in order of definition */
    tl_map types;  /* ir_type * -> hash of its text */
} hasher;

static void mix(hasher *s, uint64_t x) {
    s->h = tl_hash_mix(s->h, x);
}

static void mix_bytes(hasher *s, const void *data, size_t n) {
    mix(s, tl_hash_bytes(0, data, n));
}

static void mix_string(hasher *s, const char *text) {
    mix(s, text != NULL);
    if (text) mix_bytes(s, text, strlen(text));
}

static void mix_type(hasher *s, const ir_type *t) {
    bool added;
    uint64_t *slot = tl_map_insert(&s->types, (uint64_t)(uintptr_t)t, &added);
    if (added) {
        tl_str text;
        tl_str_init(&text, s->arena);
        ir_type_print(t, &text);
        *slot = tl_hash_bytes(0, text.data, text.len);
    }
    mix(s, *slot);
}

static void mix_dim(hasher *s, const ir_dim *d) {
    tl_str text;
    tl_str_init(&text, s->arena);
    ir_dim_print(d, &text);
    mix_bytes(s, text.data, text.len);
}

static void define(hasher *s, const ir_value *v) {
    bool added;
    uint64_t *slot = tl_map_insert(&s->values, (uint64_t)(uintptr_t)v, &added);
    if (added) *slot = s->values.len;
    mix_type(s, v->type);
}

static void mix_operand(hasher *s, const ir_value *v) {
    if (!v) {
        mix(s, 0);
    } else if (v->tensor) {
        mix(s, 1);
        mix_type(s, v->type);
        mix(s, v->tensor->hash);
    } else {
        const uint64_t *number = tl_map_find(&s->values, (uint64_t)(uintptr_t)v);
        mix(s, 2);
        mix(s, number ? *number : 0); /* 0: not defined before, which the verifier rejects */
    }
}

static void mix_list_element(hasher *s, const ir_attr *a, uint32_t i) {
    switch (a->kind) {
    case ATTR_INTS:
        mix(s, (uint64_t)a->v.ints[i]);
        break;
    case ATTR_FLOATS:
        mix_bytes(s, &a->v.floats[i], sizeof(float));
        break;
    case ATTR_STRINGS:
        mix_bytes(s, a->v.strings[i].data, a->v.strings[i].len);
        break;
    case ATTR_TENSORS:
        mix_type(s, a->v.tensors[i]->type);
        mix(s, a->v.tensors[i]->hash);
        break;
    case ATTR_DIMS:
        mix_dim(s, a->v.dims[i]);
        break;
    default:
        break;
    }
}

static void mix_attr(hasher *s, const ir_attr *a) {
    mix_string(s, a->name);
    mix(s, (uint64_t)a->kind);
    switch (a->kind) {
    case ATTR_INT:
        mix(s, (uint64_t)a->v.i);
        return;
    case ATTR_FLOAT:
        mix_bytes(s, &a->v.f, sizeof a->v.f);
        return;
    case ATTR_STRING:
        mix_bytes(s, a->v.s.data, a->v.s.len);
        return;
    case ATTR_TENSOR:
        mix_type(s, a->v.t->type);
        mix(s, a->v.t->hash);
        return;
    case ATTR_TYPE:
        mix_type(s, a->v.type);
        return;
    default:
        mix(s, a->n);
        for (uint32_t i = 0; i < a->n; i++)
            mix_list_element(s, a, i);
    }
}

static void mix_region(hasher *s, const ir_region *r);

static void mix_node(hasher *s, const ir_node *n) {
    mix_string(s, op_get(n->op)->name);
    mix(s, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        mix_operand(s, n->in[i].value);
    mix(s, n->n_attrs);
    for (uint32_t i = 0; i < n->n_attrs; i++)
        mix_attr(s, &n->attrs[i]);
    mix(s, n->n_regions);
    for (uint32_t i = 0; i < n->n_regions; i++)
        mix_region(s, n->regions[i]);
    mix(s, n->n_out);
    for (uint32_t i = 0; i < n->n_out; i++)
        define(s, &n->out[i]);
}

static void mix_region(hasher *s, const ir_region *r) {
    mix_string(s, r->name);
    mix(s, r->n_params);
    for (uint32_t i = 0; i < r->n_params; i++)
        define(s, r->params[i]);
    ir_for_each_node (n, r)
        mix_node(s, n);
    mix_node(s, r->yield);
}

/* Of an input or output. */
static void mix_name(hasher *s, const ir_graph *g, const char *name, bool output) {
    mix_string(s, name);
    const int64_t *delay = output ? ir_graph_delay(g, name) : NULL;
    mix(s, (uint64_t)ir_graph_along(g, name, output));
    mix(s, delay ? (uint64_t)*delay : 0);
}

static void mix_graph(hasher *s, const ir_graph *g) {
    mix_string(s, g->name);
    mix(s, g->tail);
    for (uint32_t i = 0; i < g->body->n_params; i++)
        mix_name(s, g, g->body->params[i]->name, false);
    for (uint32_t i = 0; i < ir_region_n_results(g->body); i++)
        mix_name(s, g, g->outputs[i], true);
    mix(s, g->n_states);
    for (uint32_t i = 0; i < g->n_states; i++)
        mix_operand(s, ir_graph_initial(g, i));
    mix_region(s, g->body);
}

uint64_t ir_module_hash(const ir_module *m) {
    tl_arena_mark mark = tl_arena_get_mark(m->arena); /* nothing allocated here outlives the call */
    hasher s = {.h = (uint64_t)m->opset, .arena = m->arena};
    tl_map_init(&s.values, m->arena);
    tl_map_init(&s.types, m->arena);
    for (const ir_graph *g = m->graphs; g; g = g->next)
        mix_graph(&s, g);
    tl_arena_reset(m->arena, mark);
    return s.h;
}
