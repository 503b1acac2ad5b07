/* Weights of eight bits for a product whose fast step takes seven (`dot4n`): the few quads whose sums of two products might not fit in 16 bits
 * are cut in two, and what is cut off is multiplied in further steps, which read the same bytes of the rows again.
 *
 *   w, a column of a quad:  [100, 90, 3, -5]       ->       w: [64, 64, 3, -5]        rest: [36, 26, 0, 0]
 *
 * Where that leaves few of them, two steps are summed in 16 bits before they are widened (`dot8n`), and each weight may have half of the size.
 * Weights of a normal distribution have one such quad of 16 columns in some hundreds or thousands. Where there are many, nothing is done. */
#include "codegen/lower/product.h"

enum { LARGEST = 64, MOST_SHARE = 8 };

typedef struct shape {
    int64_t panels, steps, panel;
    int64_t run_steps,
        paired;  /* steps of a run, those of them that the kernel takes two at a time */
    bool ragged; /* the last step of a run reads its end, behind which nothing may be read */
} shape;

/* The products of weights at a place in `n` steps, `far` apart, with any unsigned bytes: their sum has 16 bits. */
static bool fits(const int8_t *w, int64_t n, int64_t far) {
    enum { MOST = 0x7fff / 0xff }; /* 128: also -128 * 255 is more than -0x8000 */
    int most = 0, least = 0;
    for (int64_t i = 0; i < n; i++)
        for (const int8_t *v = w + i * far; v < w + i * far + 2; v++) {
            most += *v > 0 ? *v : 0;
            least += *v < 0 ? *v : 0;
        }
    return most <= MOST && least >= -MOST;
}

/* Steps that the kernel sums in 16 bits with step k, which is the first of them; k's row in the panel is `row`. */
static int64_t span_of(const shape *s, int64_t k, bool octs) {
    return octs && k % s->run_steps < s->paired ? 2 : 1;
}

/* Cuts what does not fit of `n` steps off into `rest`, of the same layout. */
static void split(int8_t *w, int8_t *rest, int64_t n, int64_t columns) {
    int64_t far = 4 * columns;
    for (int64_t i = 0; i < far; i += 2) {
        if (fits(w + i, n, far)) continue;
        for (int64_t j = 0; j < 2 * n; j++) {
            int8_t *v = w + j / 2 * far + i + j % 2;
            int whole = *v, limit = LARGEST / (int)n,
                kept = whole > limit    ? limit
                       : whole < -limit ? -limit
                                        : whole;
            *v = (int8_t)kept;
            rest[v - w] = (int8_t)(whole - kept);
        }
    }
}

static bool is_zero(const int8_t *row, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (row[i]) return false;
    return true;
}

/* Splits all of w; the steps with something in `rest` in the panel that has most of them, -1 where that may not be. */
static int64_t split_all(const shape *s, int8_t *w, int8_t *rest, bool octs) {
    int64_t most = 0, width = 4 * s->panel;
    for (int64_t p = 0; p < s->panels; p++) {
        int64_t count = 0;
        for (int64_t k = 0, n; k < s->steps; k += n) {
            int64_t at = (p * s->steps + k) * width;
            n = span_of(s, k, octs);
            split(w + at, rest + at, n, s->panel);
            for (int64_t j = 0; j < n; j++) {
                if (is_zero(rest + at + j * width, width)) continue;
                bool end = (k + j) % s->run_steps == s->run_steps - 1;
                for (int64_t i = 0; i < width; i += 2)
                    if (!fits(rest + at + j * width + i, 1, width)) return -1;
                if (s->ragged && end) return -1;
                count++;
            }
        }
        most = count > most ? count : most;
    }
    return most;
}

static const cg_view *constant(cg *g, ir_tensor *t) {
    ir_tensor_seal(t);
    return cg_read(g, ir_module_const(g->m, t, NULL));
}

/* The steps of `rest` that hold anything, and which they are. */
static void set_rests(cg_matmul *mm, const shape *s, const int8_t *rest) {
    cg *g = mm->g;
    int64_t width = 4 * s->panel, n = mm->rests;
    ir_tensor *rows = ir_tensor_alloc(
        g->arena, ir_type_tensor_static(g->c, DT_i32, 3, (int64_t[]){s->panels, n, s->panel}));
    ir_tensor *steps = ir_tensor_alloc(
        g->arena, ir_type_tensor_static(g->c, DT_i32, 2, (int64_t[]){s->panels, n}));
    for (int64_t p = 0; p < s->panels; p++)
        for (int64_t k = 0, i = p * n; k < s->steps; k++) {
            const int8_t *row = rest + (p * s->steps + k) * width;
            if (is_zero(row, width)) continue;
            memcpy((int8_t *)ir_tensor_data(rows) + i * width, row, (size_t)width);
            ir_tensor_set_i64(steps, (size_t)i++, k);
        }
    mm->rest = constant(g, rows);
    mm->rest_steps = constant(g, steps);
}

static bool split_for(cg_matmul *mm, const shape *s, const ir_tensor *w, bool octs) {
    cg *g = mm->g;
    ir_tensor *kept = ir_tensor_alloc(g->arena, w->type),
              *rest = ir_tensor_alloc(g->arena, w->type);
    memcpy(ir_tensor_data(kept), w->data, w->bytes);
    int64_t n = split_all(s, ir_tensor_data(kept), ir_tensor_data(rest), octs);
    if (n < 0 || n * MOST_SHARE > s->steps) return false;
    mm->narrow = true;
    mm->octs = octs;
    mm->rests = n;
    if (!n) return true;
    mm->w = constant(g, kept);
    set_rests(mm, s, ir_tensor_data(rest));
    return true;
}

bool cg_split_bytes(cg_matmul *mm, const ir_tensor *w) {
    shape s = {0};
    int64_t run = mm->window ? mm->k / mm->taps : mm->k;
    ir_dim_is_const(w->type->dims[0], &s.panels);
    ir_dim_is_const(w->type->dims[1], &s.steps);
    ir_dim_is_const(w->type->dims[2], &s.panel);
    s.run_steps = (run + 3) / 4;
    s.ragged = run % 4 && !mm->whole_quads;
    s.paired = (s.run_steps - s.ragged) / CG_MATMUL_UNROLL * CG_MATMUL_UNROLL;
    if (w->opaque) return false;
    return (s.paired && split_for(mm, &s, w, true)) || split_for(mm, &s, w, false);
}
