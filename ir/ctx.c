#include "ir/ctx.h"

void ir_ctx_init(ir_ctx *c, tl_fail *fail) {
    *c = (ir_ctx){.fail = fail};
    tl_arena_init(&c->arena, fail);
    tl_intern_init(&c->names, &c->arena);
    tl_map_init(&c->types, &c->arena);
    tl_map_init(&c->dims, &c->arena);
    tl_map_init(&c->dim_atoms, &c->arena);
    diag_init(&c->diag, &c->arena);
}

void ir_ctx_release(ir_ctx *c) {
    for (ir_cleanup *u = c->cleanups; u; u = u->next)
        u->fn(u->data);
    c->cleanups = NULL;
    tl_arena_release(&c->arena);
}

void ir_ctx_add_cleanup(ir_ctx *c, void (*fn)(void *data), void *data) {
    ir_cleanup *u = TL_NEW(&c->arena, ir_cleanup);
    *u = (ir_cleanup){.next = c->cleanups, .fn = fn, .data = data};
    c->cleanups = u;
}

const char *ir_name(ir_ctx *c, const char *s) {
    return tl_intern_get(&c->names, s);
}
