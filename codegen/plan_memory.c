/* Sharing of workspace memory; see plan_memory.h.
 *
 * Buffers of constant size: best fit over lifetimes, in the order in which they are made. What is free is a list of gaps by offset, so the
 * time grows with the buffers and the gaps, not with what is alive: 100,000 small results at once are no rarity in graphs that exporters
 * have written out. */
#include "codegen/plan_memory.h"

#include "codegen/watch.h"

#include "ir/base/assert.h"

#include <stdlib.h>
#include <string.h>

static int64_t round_up(int64_t n) {
    return (n + 63) & ~(int64_t)63;
}

static bool is_static(const cg_buffer *b, int64_t *bytes) {
    return !b->per_thread && ir_dim_is_const(b->bytes, bytes);
}

/* ---- static buffers ---------------------------------------------------------------------------------------------- */

static int compare(uint64_t x, uint64_t y) {
    return x < y ? -1 : x > y;
}

static int by_first(const void *a, const void *b) {
    const cg_buffer *x = *(cg_buffer *const *)a, *y = *(cg_buffer *const *)b;
    int order = compare(x->first, y->first);
    return order ? order : compare(x->number, y->number);
}

static int by_last(const void *a, const void *b) {
    const cg_buffer *x = *(cg_buffer *const *)a, *y = *(cg_buffer *const *)b;
    int order = compare(x->last, y->last);
    return order ? order : compare(x->number, y->number);
}

static int64_t static_bytes(const cg *g, const cg_buffer *b) {
    int64_t n = 0;
    ir_dim_is_const(b->bytes, &n);
    return round_up(n) + (g->watch ? CG_WATCH_GUARD : 0);
}

typedef struct gap {
    int64_t offset, bytes;
} gap;

/* Free memory below `end`, by offset: no gap touches another or the end. Above it all is free. */
typedef struct free_memory {
    gap *gaps; /* room for one per buffer */
    uint32_t n;
    int64_t end;
} free_memory;

static void remove_gap(free_memory *m, uint32_t i) {
    memmove(m->gaps + i, m->gaps + i + 1, (--m->n - i) * sizeof *m->gaps);
}

/* From the smallest gap that is large enough, else behind the last buffer. */
static int64_t take_memory(free_memory *m, int64_t need) {
    uint32_t best = m->n;
    for (uint32_t i = 0; i < m->n; i++) {
        if (m->gaps[i].bytes < need) continue;
        if (best == m->n || m->gaps[i].bytes < m->gaps[best].bytes) best = i;
        if (m->gaps[best].bytes == need) break;
    }
    int64_t offset = best < m->n ? m->gaps[best].offset : m->end;
    if (best == m->n) {
        m->end += need;
        return offset;
    }
    m->gaps[best] = (gap){offset + need, m->gaps[best].bytes - need};
    if (m->gaps[best].bytes == 0) remove_gap(m, best);
    return offset;
}

/* Number of gaps in front of the offset. */
static uint32_t find_gap(const free_memory *m, int64_t offset) {
    uint32_t lo = 0, hi = m->n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (m->gaps[mid].offset < offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool touches(const gap *a, const gap *b) {
    return a->offset + a->bytes == b->offset;
}

static void give_back(free_memory *m, gap g) {
    if (g.bytes == 0) return;
    uint32_t i = find_gap(m, g.offset);
    if (i < m->n && touches(&g, &m->gaps[i])) {
        g.bytes += m->gaps[i].bytes;
        remove_gap(m, i);
    }
    if (i > 0 && touches(&m->gaps[i - 1], &g)) {
        i--;
        g = (gap){m->gaps[i].offset, m->gaps[i].bytes + g.bytes};
        remove_gap(m, i);
    }
    if (g.offset + g.bytes == m->end) {
        m->end = g.offset;
        return;
    }
    memmove(m->gaps + i + 1, m->gaps + i, (m->n++ - i) * sizeof *m->gaps);
    m->gaps[i] = g;
}

static void place_static(cg *g, cg_memory_plan *plan, cg_buffer **buffers, uint32_t n) {
    cg_buffer **dying = TL_NEW_ARRAY(g->arena, cg_buffer *, n + 1);
    free_memory m = {.gaps = TL_NEW_ARRAY(g->arena, gap, n + 1)};
    memcpy(dying, buffers, n * sizeof *dying);
    qsort(buffers, n, sizeof *buffers, by_first);
    qsort(dying, n, sizeof *dying, by_last);
    int64_t alive = 0;
    for (uint32_t i = 0, dead = 0; i < n; i++) {
        for (; dying[dead]->last < buffers[i]->first; dead++) {
            int64_t bytes = static_bytes(g, dying[dead]);
            give_back(&m, (gap){dying[dead]->offset, bytes});
            alive -= bytes;
        }
        int64_t bytes = static_bytes(g, buffers[i]);
        buffers[i]->offset = take_memory(&m, bytes);
        alive += bytes;
        if (m.end > plan->static_bytes) plan->static_bytes = m.end;
        if (alive > plan->most_alive) plan->most_alive = alive;
        plan->total_static += bytes;
    }
}

/* ---- symbolic buffers -------------------------------------------------------------------------------------------- */

static const ir_dim *rounded(cg *g, const ir_dim *bytes) {
    const ir_dim *line = cg_dc(g, 64);
    const ir_dim *whole = ir_dim_mul(g->c, ir_dim_ceildiv(g->c, bytes, line), line);
    return g->watch ? ir_dim_add(g->c, whole, cg_dc(g, CG_WATCH_GUARD)) : whole;
}

static bool fits(cg *g, const cg_slot *s, const cg_buffer *b) {
    /* no earlier tenant lived longer than the last one: each began behind the one before */
    if (s->last >= b->first || s->per_thread != b->per_thread) return false;
    const ir_dim *need = rounded(g, b->bytes);
    if (ir_dim_equal(s->bytes, need)) return true;
    /* threads that run alone are at different places: a thread's part must be the same for all buffers in the slot */
    return !b->per_thread && ir_dim_lower_bound(ir_dim_sub(g->c, s->bytes, need)) >= 0;
}

static void place_in_slot(cg *g, cg_memory_plan *plan, cg_buffer *b) {
    for (uint32_t i = 0; i < plan->n_slots; i++) {
        if (!fits(g, &plan->slots[i], b)) continue;
        b->slot = (int32_t)i;
        plan->slots[i].last = b->last;
        return;
    }
    b->slot = (int32_t)plan->n_slots;
    plan->slots[plan->n_slots++] = (cg_slot){
        .bytes = rounded(g, b->bytes), .per_thread = b->per_thread, .last = b->last};
}

void cg_plan_memory(cg *g, cg_memory_plan *plan) {
    *plan = (cg_memory_plan){.n_buffers = g->n_buffers};
    cg_buffer **fixed = TL_NEW_ARRAY(g->arena, cg_buffer *, g->n_buffers + 1);
    uint32_t n_fixed = 0;
    int64_t bytes;
    plan->slots = TL_NEW_ARRAY(g->arena, cg_slot, g->n_buffers + 1);
    for (cg_buffer *b = g->buffers; b; b = b->next) {
        b->slot = -1;
        if (is_static(b, &bytes))
            fixed[n_fixed++] = b;
        else
            place_in_slot(g, plan, b);
    }
    place_static(g, plan, fixed, n_fixed);
}

/* ---- addresses in the program ---------------------------------------------------------------------------------------- */

typedef struct placer {
    cg *g;
    cg_buffer **buffers; /* by number */
} placer;

/* buffer 7  ->  ptr_add %workspace, 4096        or, of symbolic size:  ptr_add %workspace, (load %slots[2]) */
static void turn_into_address(placer *p, lp_instr *i) {
    const cg_buffer *b = p->buffers[i->imm];
    lp_builder at = {.m = p->g->lp, .func = i->parent->func, .block = i->parent, .before = i};
    lp_value **args = TL_NEW_ARRAY(p->g->arena, lp_value *, 2);
    args[0] = p->g->workspace;
    if (b->slot < 0)
        args[1] = lp_index(&at, b->offset);
    else
        args[1] = lp_load(&at, LP_I64, p->g->slots, lp_index(&at, b->slot));
    i->op = LP_ptr_add;
    i->imm = 0;
    i->args = args;
    i->n_args = 2;
}

static void place_block(placer *p, lp_block *block) {
    if (!block) return;
    for (lp_instr *i = block->first; i; i = i->next) {
        if (i->op == LP_buffer) turn_into_address(p, i);
        place_block(p, i->blocks[0]);
        place_block(p, i->blocks[1]);
    }
}

void cg_place_buffers(cg *g) {
    placer p = {.g = g, .buffers = TL_NEW_ARRAY(g->arena, cg_buffer *, g->n_buffers + 1)};
    for (cg_buffer *b = g->buffers; b; b = b->next)
        p.buffers[b->number] = b;
    place_block(&p, g->b.func->body);
}

/* ---- plan() -------------------------------------------------------------------------------------------------------------- */

typedef struct plan_symbols {
    cg *g;
    lp_builder *b;
    lp_value *symbols;
} plan_symbols;

static lp_value *load_symbol(void *data, const char *name) {
    plan_symbols *p = data;
    for (uint32_t i = 0; i < p->g->symbol_names.len; i++)
        if (strcmp(p->g->symbol_names.data[i], name) == 0)
            return lp_load(p->b, LP_I64, p->symbols, lp_index(p->b, i));
    cg_unsupported(p->g, NULL,
                   "the size of a buffer depends on '%s', which is not known before the run", name);
    return lp_index(p->b, 0);
}

/* total += bytes, where a negative size, which absurd ones have become, makes the total -1 for good. */
static lp_value *add_size(lp_builder *b, lp_value *total, lp_value *bytes) {
    lp_value *zero = lp_index(b, 0), *bad = lp_bin(b, LP_lt, bytes, zero);
    bad = lp_bin(b, LP_or, bad, lp_bin(b, LP_lt, total, zero));
    return lp_select(b, bad, lp_index(b, -1), lp_bin(b, LP_add, total, bytes));
}

/* The first check that fails decides the result. */
static lp_value *add_checks(plan_symbols *p, lp_value *total) {
    lp_builder *b = p->b;
    for (uint32_t i = p->g->checks.len; i-- > 0;) {
        const cg_shape_check *c = &p->g->checks.data[i];
        lp_value *from = cg_dim_emit(b, c->from, load_symbol, p),
                 *to = cg_dim_emit(b, c->to, load_symbol, p);
        lp_value *bad = lp_bin(b, LP_ne, from, to);
        if (!c->exact) bad = lp_bin(b, LP_and, bad, lp_bin(b, LP_ne, from, lp_index(b, 1)));
        total = lp_select(b, bad, lp_index(b, -2 - c->failure), total);
    }
    return total;
}

void cg_emit_plan(cg *g, const cg_memory_plan *plan, const char *name, const ir_dim *const *exprs,
                  uint32_t n_exprs) {
    lp_func *f = lp_func_create(g->lp, name);
    f->external = true;
    f->result = LP_I64;
    lp_value *symbols = lp_func_add_param(f, lp_scalar(LP_PTR), "symbols", LP_READONLY);
    lp_value *out = lp_func_add_param(f, lp_scalar(LP_PTR), "exprs", 0),
             *slots = lp_func_add_param(f, lp_scalar(LP_PTR), "slots", 0);
    lp_value *n_threads = lp_func_add_param(f, LP_I64, "n_threads", 0);
    lp_builder b = lp_build_in(f);
    plan_symbols p = {.g = g, .b = &b, .symbols = symbols};
    for (uint32_t i = 0; i < n_exprs; i++)
        lp_store(&b, out, lp_index(&b, i), cg_dim_emit(&b, exprs[i], load_symbol, &p));
    lp_value *total = lp_index(&b, plan->static_bytes);
    for (uint32_t i = 0; i < plan->n_slots; i++) {
        lp_value *bytes = cg_dim_emit_bytes(&b, plan->slots[i].bytes, load_symbol, &p);
        lp_store(&b, slots, lp_index(&b, i), total);
        if (plan->slots[i].per_thread) bytes = lp_bin(&b, LP_mul, bytes, n_threads);
        total = add_size(&b, total, bytes);
    }
    lp_return(&b, add_checks(&p, total));
}
