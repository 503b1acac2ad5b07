/* Long functions in pieces. LLVM's register allocator takes time that is quadratic in the calls a value lives across: the program of a
 * model of 20,000 calls takes it 20 s as one function, and a second as twenty. What a program does itself is little beside what it calls.
 *
 *   func @f(ptr %x) {                               func @f(ptr %x) {
 *     %a = load i64 %x[0]                             %kept = alloca ptr 8
 *     call void @g(%a)                                call void @f_part_1(%kept, %x)
 *     %b = add i64 %a, 1           ->                 %b = load i64 %kept[0]
 *     call void @g(%b)                                call void @f_part_2(%b)
 *     call void @g(%b)                              }
 *   }                                               func @f_part_1(ptr %0, ptr %x) noinline { ... store i64 %0[0], %b }
 *                                                   func @f_part_2(i64 %b) noinline { call void @g(%b)  call void @g(%b) }
 *
 * The body of a loop or branch is cut before what stands around it. What a piece reads from outside becomes a parameter, except
 * constants, which each piece has for itself; what others need of it goes through memory of the function it was cut from. */
#include "codegen/loop.h"

#include "ir/base/assert.h"
#include "ir/base/vec.h"

/* One after the other in a block. Values made in it point back to it: lp_value.scratch. */
typedef struct piece {
    lp_instr *first, *last;
    TL_VEC(lp_value *) leaving; /* made here, needed behind */
    /* its function, being built: what it takes from outside */
    lp_func *func;
    lp_builder at; /* constants, in front of what has been moved */
    TL_VEC(lp_value *) args;
    tl_map inside; /* lp_value * of outside -> what it is in the piece */
} piece;

typedef struct splitter {
    lp_module *m;
    lp_func *f;
    uint32_t most;
} splitter;

/* A block that is being cut. */
typedef struct cut {
    splitter *s;
    lp_block *block;
    lp_instr *end; /* its yield or return, NULL: none */
    TL_VEC(piece *) pieces;
    tl_map behind; /* lp_value * that leaves its piece -> what it is in the block */
} cut;

static bool is_const(const lp_value *v) {
    return v->def && v->def->op == LP_const;
}

static lp_builder build_at(const splitter *s, lp_block *block, lp_instr *before) {
    return (lp_builder){.m = s->m, .func = s->f, .block = block, .before = before};
}

static lp_builder build_in_front(const splitter *s) {
    return build_at(s, s->f->body, s->f->body->first);
}

/* ---- every instruction, blocks within included ------------------------------------------------------------------ */

static void mark_instr(lp_instr *i, void *owner) {
    for (uint32_t r = 0; r < i->n_results; r++)
        i->results[r]->scratch = owner;
    for (int k = 0; k < 2; k++) {
        if (!i->blocks[k]) continue;
        for (uint32_t p = 0; p < i->blocks[k]->n_params; p++)
            i->blocks[k]->params[p]->scratch = owner;
        for (lp_instr *j = i->blocks[k]->first; j; j = j->next)
            mark_instr(j, owner);
    }
}

static void each_operand(lp_instr *i, void (*fn)(void *data, lp_value **v), void *data) {
    for (uint32_t k = 0; k < i->n_args; k++)
        fn(data, &i->args[k]);
    for (int k = 0; k < 2; k++)
        for (lp_instr *j = i->blocks[k] ? i->blocks[k]->first : NULL; j; j = j->next)
            each_operand(j, fn, data);
}

static void set_func(lp_instr *i, lp_func *f) {
    for (int k = 0; k < 2; k++) {
        if (!i->blocks[k]) continue;
        i->blocks[k]->func = f;
        for (lp_instr *j = i->blocks[k]->first; j; j = j->next)
            set_func(j, f);
    }
}

/* ---- what leaves a piece ------------------------------------------------------------------------------------------ */

typedef struct leaving {
    cut *c;
    piece *reader; /* NULL: the end of the block */
} leaving;

static void note_leaving(void *data, lp_value **v) {
    const leaving *l = data;
    piece *owner = (*v)->scratch;
    if (!owner || owner == l->reader || is_const(*v)) return;
    bool added;
    tl_map_insert(&l->c->behind, (uint64_t)(uintptr_t)*v, &added);
    if (added) tl_vec_push(l->c->s->m->arena, &owner->leaving, *v);
}

static void find_leaving(cut *c) {
    for (uint32_t p = 0; p < c->pieces.len; p++) {
        leaving l = {c, c->pieces.data[p]};
        for (lp_instr *i = l.reader->first; i; i = i->next)
            each_operand(i, note_leaving, &l);
    }
    if (c->end) each_operand(c->end, note_leaving, &(leaving){c, NULL});
}

static int64_t bytes_of(lp_type t) {
    enum { WIDEST = 8 };
    return WIDEST * (int64_t)t.lanes;
}

static int64_t bytes_leaving(const piece *p) {
    int64_t n = 0;
    for (uint32_t i = 0; i < p->leaving.len; i++)
        n += bytes_of(p->leaving.data[i]->type);
    return n;
}

/* ---- a piece as a function ---------------------------------------------------------------------------------------- */

/* As it is in the block between pieces. */
static lp_value *in_block(const cut *c, lp_value *v) {
    return v->scratch ? tl_map_get_ptr(&c->behind, v) : v;
}

static lp_value *copy_const(lp_builder *b, const lp_value *v) {
    lp_instr *i = lp_emit(b, LP_const, v->type, NULL, 0, 1);
    i->imm = v->def->imm;
    i->fimm = v->def->fimm;
    return i->results[0];
}

typedef struct moving {
    const cut *c;
    piece *p;
} moving;

static void take_inside(void *data, lp_value **v) {
    const moving *m = data;
    piece *p = m->p;
    if ((*v)->scratch == p) return;
    lp_value *inside = tl_map_get_ptr(&p->inside, *v);
    if (!inside && is_const(*v)) {
        inside = copy_const(&p->at, *v);
    } else if (!inside) {
        inside = lp_func_add_param(p->func, (*v)->type, (*v)->name, 0);
        tl_vec_push(m->c->s->m->arena, &p->args, in_block(m->c, *v));
    }
    tl_map_set_ptr(&p->inside, *v, inside);
    *v = inside;
}

/* Memory for what leaves the piece, as a parameter; NULL: nothing does. */
static lp_value *add_memory(const splitter *s, piece *p) {
    if (!p->leaving.len) return NULL;
    lp_builder front = build_in_front(s);
    tl_vec_push(s->m->arena, &p->args, lp_alloca(&front, bytes_leaving(p)));
    return lp_func_add_param(p->func, lp_scalar(LP_PTR), NULL, LP_NOALIAS);
}

static void move_body(const cut *c, piece *p) {
    lp_block *body = p->func->body;
    body->first = p->first;
    body->last = p->last;
    p->at = (lp_builder){.m = c->s->m, .func = p->func, .block = body, .before = p->first};
    for (lp_instr *i = p->first; i; i = i->next) {
        i->parent = body;
        set_func(i, p->func);
        each_operand(i, take_inside, &(moving){c, p});
    }
}

static lp_value *place_of(lp_builder *b, lp_value *memory, int64_t offset) {
    return lp_ptr_add(b, memory, lp_index(b, offset));
}

static void store_leaving(const piece *p, lp_value *memory) {
    lp_builder b = lp_build_in(p->func);
    int64_t offset = 0;
    for (uint32_t i = 0; i < p->leaving.len; i++) {
        lp_value *v = p->leaving.data[i];
        lp_store(&b, place_of(&b, memory, offset), lp_index(&b, 0), v);
        offset += bytes_of(v->type);
    }
}

static void load_leaving(cut *c, lp_builder *b, const piece *p) {
    int64_t offset = 0;
    for (uint32_t i = 0; i < p->leaving.len; i++) {
        lp_value *v = p->leaving.data[i], *at = place_of(b, p->args.data[0], offset);
        tl_map_set_ptr(&c->behind, v, lp_load(b, v->type, at, lp_index(b, 0)));
        offset += bytes_of(v->type);
    }
}

static void make_function(cut *c, piece *p) {
    splitter *s = c->s;
    p->func = lp_func_create(s->m,
                             tl_arena_printf(s->m->arena, "%s_part_%u", s->f->name, s->m->n_funcs));
    p->func->noinline_ = true;
    p->func->line = p->first->line;
    p->func->summary = "a piece of the program";
    tl_map_init(&p->inside, s->m->arena);
    lp_value *memory = add_memory(s, p);
    move_body(c, p);
    store_leaving(p, memory);
    lp_builder b = build_at(s, c->block, c->end);
    b.loc = p->first->loc;
    b.line = p->first->line;
    lp_call(&b, p->func->name, lp_scalar(LP_VOID), p->args.data, p->args.len);
    load_leaving(c, &b, p);
}

/* ---- a block in pieces -------------------------------------------------------------------------------------------- */

static bool is_end(const lp_instr *i) {
    return i->op == LP_yield || i->op == LP_return;
}

static uint32_t split_block(splitter *s, lp_block *b);

/* Instructions that become code, those within included. */
static uint32_t weigh(splitter *s, lp_instr *i) {
    uint32_t n = i->op != LP_const;
    for (int k = 0; k < 2; k++)
        if (i->blocks[k]) n += split_block(s, i->blocks[k]);
    return n;
}

static void end_piece(cut *c, lp_instr *first, lp_instr *last) {
    piece *p = TL_NEW(c->s->m->arena, piece);
    p->first = first;
    p->last = last;
    first->prev = last->next = NULL;
    for (lp_instr *i = first; i; i = i->next)
        mark_instr(i, p);
    tl_vec_push(c->s->m->arena, &c->pieces, p);
}

/* Takes all from `first` to the end of the block out of it. */
static void take_pieces(cut *c, lp_instr *first, const uint32_t *weights) {
    lp_instr *before = first->prev, *i = first;
    while (i && !is_end(i)) {
        lp_instr *next = i->next;
        uint64_t sum = *weights++;
        first = i;
        for (; next && !is_end(next) && sum + *weights <= c->s->most; next = i->next) {
            sum += *weights++;
            i = next;
        }
        end_piece(c, first, i);
        i = next;
    }
    c->end = i;
    *(before ? &before->next : &c->block->first) = i;
    if (i) i->prev = before;
    c->block->last = i ? i : before;
}

static void give_end(const cut *c) {
    lp_builder b = build_at(c->s, c->block, c->end);
    for (uint32_t k = 0; c->end && k < c->end->n_args; k++) {
        lp_value **v = &c->end->args[k];
        if (!(*v)->scratch) continue;
        *v = is_const(*v) ? copy_const(&b, *v) : in_block(c, *v);
    }
}

/* How many pieces it was. */
static uint32_t cut_block(splitter *s, lp_block *b, lp_instr *first, const uint32_t *weights) {
    cut c = {.s = s, .block = b};
    tl_map_init(&c.behind, s->m->arena);
    take_pieces(&c, first, weights);
    find_leaving(&c);
    for (uint32_t p = 0; p < c.pieces.len; p++)
        make_function(&c, c.pieces.data[p]);
    give_end(&c);
    return c.pieces.len;
}

/* What is left in the block. */
static uint32_t split_block(splitter *s, lp_block *b) {
    TL_VEC(uint32_t) weights = {0};
    uint64_t sum = 0;
    lp_instr *first = b->first;
    while (first && first->op == LP_alloca)
        first = first->next;
    for (lp_instr *i = first; i && !is_end(i); i = i->next) {
        tl_vec_push(s->m->arena, &weights, weigh(s, i));
        sum += weights.data[weights.len - 1];
    }
    if (sum <= s->most) return (uint32_t)sum;
    return cut_block(s, b, first, weights.data);
}

/* ---- the function ------------------------------------------------------------------------------------------------- */

static void unlink_instr(lp_instr *i) {
    lp_block *b = i->parent;
    *(i->prev ? &i->prev->next : &b->first) = i->next;
    *(i->next ? &i->next->prev : &b->last) = i->prev;
}

/* Their memory lives as long as the function: they stay in it, in front. */
static void hoist_allocas(const splitter *s, lp_block *b) {
    for (lp_instr *i = b->first, *next; i; i = next) {
        next = i->next;
        for (int k = 0; k < 2; k++)
            if (i->blocks[k]) hoist_allocas(s, i->blocks[k]);
        if (i->op != LP_alloca) continue;
        unlink_instr(i);
        lp_block *body = s->f->body;
        i->parent = body;
        i->prev = NULL;
        i->next = body->first;
        *(body->first ? &body->first->prev : &body->last) = i;
        body->first = i;
    }
}

void lp_func_split(lp_func *f, uint32_t most) {
    splitter s = {.m = f->module, .f = f, .most = most};
    TL_ASSERT(most > 0);
    for (uint32_t i = 0; i < f->n_params; i++)
        f->params[i]->scratch = NULL;
    for (lp_instr *i = f->body->first; i; i = i->next)
        mark_instr(i, NULL);
    hoist_allocas(&s, f->body);
    split_block(&s, f->body);
}
