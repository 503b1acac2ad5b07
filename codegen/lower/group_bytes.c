/* Weights of bytes for a machine whose fast multiplication adds two products of bytes in 16 bits (`pairs`, vpmaddubsw): the steps of k are
 * grouped, up to three of them, so that no sum over a group leaves 16 bits, whatever the rows hold. A group is widened to 32 bits once: for
 * three steps four multiplications instead of the six that steps alone take. (Groups of four find fewer steps that fit, and their sums do
 * not stay in 16 registers.)
 *
 *   two bytes of a column of three steps:    [90, 20]  [-5, 3]  [60, 60]
 *   sums of those above and below 0          110, 0    3, -5    120, 0         at most 128 = 0x7fff / 0xff, and as many below
 *   groups                                   {0, 1}  {2}
 *
 * Exactness rests on the weights alone, and sums of integers do not depend on their order: which steps meet is free, and each panel has its
 * own groups. So the kernel reads which bytes of a row a step multiplies from a list. A step whose sums are too large is cut into halves,
 * which read the same bytes; one without weights is left out. Largest first, a group takes what fits: of weights of eight bits with a
 * normal distribution nearly all steps find two others.
 *
 * Weights of more than eight bits, in lanes of i64, are cut in the same way, for machines with VNNI too, where steps stay alone. */
#include "codegen/lower/product.h"
#include "ir/base/vec.h"

#include <stdlib.h>

/* sums of two weights on one side of 0; steps that may meet; multiplications that a step takes at most on average, to be worth it */
enum { MOST = 0x7fff / 0xff, POOL = 64, MOST_COST = 3 };
enum { N_SIZES = CG_MATMUL_GROUP_SIZES, LARGEST = 3 };

static const uint32_t sizes[N_SIZES] = {3, 2, 1};

/* A step of a panel, or a part of one. load: of its pairs of weights the sums above 0, then those below. */
typedef struct quad {
    int16_t *w;
    uint8_t *load;
    int32_t step, heaviest;
    bool taken;
} quad;

typedef struct grouper {
    tl_arena *arena;
    int64_t panel;
    bool alone; /* steps are multiplied one by one: weights have to have eight bits, no more */
    TL_VEC(quad) pool; /* of a run; what is behind its length keeps its memory */
    TL_VEC(uint32_t) groups[N_SIZES];
    TL_VEC(int32_t) counts, steps, w; /* the kernel's */
    int64_t cost;                     /* multiplications */
} grouper;

/* ---- steps that fit ----------------------------------------------------------------------------------------------------- */

static void sums_of(const int16_t *w, int *above, int *below) {
    *above = *below = 0;
    for (int i = 0; i < 2; i++)
        *(w[i] > 0 ? above : below) += abs(w[i]);
}

static bool fits(const grouper *g, const int16_t *w) {
    int above, below;
    for (int i = 0; i < 2; i++)
        if (w[i] > INT8_MAX || w[i] < INT8_MIN) return false;
    sums_of(w, &above, &below);
    return g->alone || (above <= MOST && below <= MOST);
}

static quad *add_quad(grouper *g, int32_t step) {
    quad q = {.step = step};
    if (g->pool.len < g->pool.cap && g->pool.data[g->pool.len].w) {
        q.w = g->pool.data[g->pool.len].w;
        q.load = g->pool.data[g->pool.len].load;
        memset(q.w, 0, (size_t)(4 * g->panel) * sizeof *q.w);
    } else {
        q.w = TL_NEW_ARRAY(g->arena, int16_t, 4 * g->panel);
        q.load = TL_NEW_ARRAY(g->arena, uint8_t, 4 * g->panel);
    }
    tl_vec_push(g->arena, &g->pool, q);
    return &g->pool.data[g->pool.len - 1];
}

/* Moves half of each pair of quad i that does not fit to a new quad; false: there are none. */
static bool cut(grouper *g, uint32_t i) {
    quad *rest = NULL;
    for (int64_t j = 0; j < 4 * g->panel; j += 2) {
        if (fits(g, g->pool.data[i].w + j)) continue;
        if (!rest) rest = add_quad(g, g->pool.data[i].step);
        int16_t *w = g->pool.data[i].w + j;
        for (int b = 0; b < 2; b++) {
            rest->w[j + b] = (int16_t)(w[b] / 2);
            w[b] = (int16_t)(w[b] - rest->w[j + b]);
        }
    }
    return rest != NULL;
}

static void set_load(const grouper *g, quad *q) {
    for (int64_t i = 0; i < 2 * g->panel && !g->alone; i++) {
        int above, below;
        sums_of(q->w + 2 * i, &above, &below);
        q->load[i] = (uint8_t)above;
        q->load[2 * g->panel + i] = (uint8_t)below;
        q->heaviest = above > q->heaviest ? above : q->heaviest;
        q->heaviest = below > q->heaviest ? below : q->heaviest;
    }
}

/* Four weights of each column, in lanes of i32 or, with more than eight bits, of i64. */
static void read_step(grouper *g, const ir_tensor *w, int64_t at, int32_t step) {
    bool wide = w->type->dtype == DT_i64, any = false;
    for (int64_t i = 4 * at * g->panel; i < 4 * (at + 1) * g->panel && !any; i++)
        any = wide ? ((const int16_t *)w->data)[i] : ((const int8_t *)w->data)[i];
    if (!any) return;
    quad *q = add_quad(g, step);
    for (int64_t i = 0; i < 4 * g->panel; i++) {
        int64_t j = 4 * at * g->panel + i;
        q->w[i] = wide ? ((const int16_t *)w->data)[j] : ((const int8_t *)w->data)[j];
    }
}

/* ---- groups ------------------------------------------------------------------------------------------------------------- */

static int heaviest_first(const void *a, const void *b) {
    const quad *x = a, *y = b;
    if (x->heaviest != y->heaviest) return x->heaviest > y->heaviest ? -1 : 1;
    return x->step < y->step ? -1 : x->step > y->step;
}

static bool has_room(const uint8_t *sum, const uint8_t *load, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (sum[i] + load[i] > MOST) return false;
    return true;
}

/* Quad `first` and those behind it that fit with it; how many. */
static uint32_t find_group(const grouper *g, uint32_t first, uint32_t end, uint8_t *sum,
                           uint32_t *group) {
    uint32_t n = 0, most = g->alone ? 1 : LARGEST;
    int64_t width = 4 * g->panel;
    memset(sum, 0, (size_t)width);
    for (uint32_t i = first; i < end && n < most; i++) {
        const quad *q = &g->pool.data[i];
        if (q->taken || !has_room(sum, q->load, width)) continue;
        for (int64_t j = 0; j < width; j++)
            sum[j] = (uint8_t)(sum[j] + q->load[j]);
        group[n++] = i;
    }
    return n;
}

/* Quads [first, end) of the pool meet each other. */
static void group_pool(grouper *g, uint32_t first, uint32_t end, uint8_t *sum) {
    uint32_t group[LARGEST];
    qsort(g->pool.data + first, end - first, sizeof *g->pool.data, heaviest_first);
    for (uint32_t i = first; i < end; i++) {
        if (g->pool.data[i].taken) continue;
        uint32_t n = find_group(g, i, end, sum, group), size = 0;
        while (sizes[size] > n)
            size++;
        for (uint32_t j = 0; j < sizes[size]; j++) {
            g->pool.data[group[j]].taken = true;
            tl_vec_push(g->arena, &g->groups[size], group[j]);
        }
        g->cost += sizes[size] + 1;
    }
}

static void put_quad(grouper *g, const quad *q) {
    tl_vec_push(g->arena, &g->steps, q->step);
    for (int64_t i = 0; i < 4 * g->panel; i += 4) {
        uint32_t word = 0;
        for (int j = 0; j < 4; j++)
            word |= (uint32_t)(uint8_t)q->w[i + j] << 8 * j;
        tl_vec_push(g->arena, &g->w, (int32_t)word);
    }
}

/* Steps [at, at + n) of the weight: a run of a panel. */
static void group_run(grouper *g, const ir_tensor *w, int64_t at, int64_t n, uint8_t *sum) {
    g->pool.len = 0;
    for (int64_t i = 0; i < n; i++)
        read_step(g, w, at + i, (int32_t)i);
    for (uint32_t i = 0; i < g->pool.len; i++) {
        while (cut(g, i))
            continue;
        set_load(g, &g->pool.data[i]);
    }
    for (uint32_t i = 0; i < g->pool.len; i += POOL)
        group_pool(g, i, g->pool.len < i + POOL ? g->pool.len : i + POOL, sum);
    tl_vec_push(g->arena, &g->counts, (int32_t)g->steps.len);
    for (int size = 0; size < N_SIZES; size++) {
        tl_vec_push(g->arena, &g->counts, (int32_t)(g->groups[size].len / sizes[size]));
        for (uint32_t i = 0; i < g->groups[size].len; i++)
            put_quad(g, &g->pool.data[g->groups[size].data[i]]);
        g->groups[size].len = 0;
    }
}

static const cg_view *constant(cg *g, int32_t *data, int64_t rows, int64_t columns) {
    const ir_type *t = ir_type_tensor_static(g->c, DT_i32, 2, (int64_t[]){rows, columns});
    return cg_read(g, ir_module_const(g->m, ir_tensor_create(g->arena, t, data), NULL));
}

bool cg_group_bytes(cg_matmul *mm, const ir_tensor *w) {
    cg *g = mm->g;
    int64_t panels, steps, runs = mm->window ? mm->taps : 1;
    grouper k = {.arena = g->arena};
    ir_dim_is_const(w->type->dims[0], &panels);
    ir_dim_is_const(w->type->dims[1], &steps);
    ir_dim_is_const(w->type->dims[2], &k.panel);
    k.alone = g->target->has_vnni || g->target->lanes_f32 < 8;
    if (w->opaque || (k.alone && w->type->dtype != DT_i64)) return false;
    uint8_t *sum = TL_NEW_ARRAY(g->arena, uint8_t, 4 * k.panel);
    for (int64_t i = 0; i < panels * runs; i++)
        group_run(&k, w, i * (steps / runs), steps / runs, sum);
    if (w->type->dtype != DT_i64 && k.cost > MOST_COST * panels * steps) return false;
    if (!k.steps.len) put_quad(&k, add_quad(&k, 0)); /* constants are never empty */
    mm->alone = k.alone;
    mm->counts = constant(g, k.counts.data, panels * runs, 1 + N_SIZES);
    mm->steps = constant(g, k.steps.data, k.steps.len, 1);
    mm->w = constant(g, k.w.data, k.steps.len, k.panel);
    return true;
}
