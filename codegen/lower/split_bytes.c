/* Weights of eight bits for a product whose fast step takes seven (`dot4n`): the few quads whose sums of two products might not fit in 16 bits
 * are cut in two, and what is cut off is multiplied in further steps, which read the same bytes of the rows again.
 *
 *   w, a column of a quad:  [100, 90, 3, -5]       ->       w: [64, 64, 3, -5]        rest: [36, 26, 0, 0]
 *
 * Weights of a normal distribution have one such quad of 16 columns in some hundreds or thousands. Where there are many, nothing is done. */
#include "codegen/lower/product.h"

enum { LARGEST = 64, MOST_SHARE = 8 };

/* Of two neighbouring weights of a column, times any two unsigned bytes, each sum has 16 bits. */
static bool fits(const int8_t *w) {
    enum { MOST = 0x7fff / 0xff }; /* 128: also -128 * 255 is more than -0x8000 */
    int most = (w[0] > 0 ? w[0] : 0) + (w[1] > 0 ? w[1] : 0),
        least = (w[0] < 0 ? w[0] : 0) + (w[1] < 0 ? w[1] : 0);
    return most <= MOST && least >= -MOST;
}

static bool quads_fit(const int8_t *row, int64_t columns) {
    for (int64_t i = 0; i < 4 * columns; i += 2)
        if (!fits(row + i)) return false;
    return true;
}

typedef struct shape {
    int64_t panels, steps, panel;
} shape;

/* Steps with such quads in the panel that has most of them; -1 where one of them reads the end of a run, behind which nothing may be read. */
static int64_t count_steps(const shape *s, const int8_t *w, int64_t run, int64_t run_steps) {
    int64_t most = 0;
    for (int64_t p = 0; p < s->panels; p++) {
        int64_t n = 0;
        for (int64_t k = 0; k < s->steps; k++) {
            if (quads_fit(w + (p * s->steps + k) * s->panel * 4, s->panel)) continue;
            if (run % 4 && k % run_steps == run_steps - 1) return -1;
            n++;
        }
        most = n > most ? n : most;
    }
    return most;
}

static void split_quads(int8_t *w, int8_t *rest, int64_t columns) {
    for (int64_t i = 0; i < 4 * columns; i += 2) {
        if (fits(w + i)) continue;
        for (int64_t j = i; j < i + 2; j++) {
            int whole = w[j], kept = whole > LARGEST    ? LARGEST
                                     : whole < -LARGEST ? -LARGEST
                                                        : whole;
            w[j] = (int8_t)kept;
            rest[j] = (int8_t)(whole - kept);
        }
    }
}

static const cg_view *constant(cg *g, ir_tensor *t) {
    ir_tensor_seal(t);
    return cg_read(g, ir_module_const(g->m, t, NULL));
}

bool cg_split_bytes(cg_matmul *mm, const ir_tensor *w) {
    cg *g = mm->g;
    shape s = {0};
    int64_t run = mm->window ? mm->k / mm->taps : mm->k;
    ir_dim_is_const(w->type->dims[0], &s.panels);
    ir_dim_is_const(w->type->dims[1], &s.steps);
    ir_dim_is_const(w->type->dims[2], &s.panel);
    int64_t run_steps = (run + 3) / 4;
    if (mm->whole_quads) run = 4 * run_steps;
    int64_t n = w->opaque ? -1 : count_steps(&s, w->data, run, run_steps);
    if (n < 0 || n * MOST_SHARE > s.steps) return false;
    mm->narrow = true;
    mm->rests = n;
    if (!n) return true;
    ir_tensor *kept = ir_tensor_alloc(g->arena, w->type);
    memcpy(ir_tensor_data(kept), w->data, w->bytes);
    ir_tensor *rest = ir_tensor_alloc(
        g->arena, ir_type_tensor_static(g->c, DT_i32, 3, (int64_t[]){s.panels, n, s.panel}));
    ir_tensor *steps = ir_tensor_alloc(
        g->arena, ir_type_tensor_static(g->c, DT_i32, 2, (int64_t[]){s.panels, n}));
    for (int64_t p = 0; p < s.panels; p++)
        for (int64_t k = 0, i = p * n; k < s.steps; k++) {
            int8_t *row = (int8_t *)ir_tensor_data(kept) + (p * s.steps + k) * s.panel * 4;
            if (quads_fit(row, s.panel)) continue;
            split_quads(row, (int8_t *)ir_tensor_data(rest) + i * s.panel * 4, s.panel);
            ir_tensor_set_i64(steps, (size_t)i++, k);
        }
    mm->w = constant(g, kept);
    mm->rest = constant(g, rest);
    mm->rest_steps = constant(g, steps);
    return true;
}
