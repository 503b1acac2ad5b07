/* A schedule as a picture: a row for each thread, coloured by operator; waiting stays empty. Readable on dark and on light pages. */
#include "cli/schedule.h"
#include "codegen/output.h"

enum { WIDTH = 1200, LEFT = 90, TOP = 60, ROW = 44, BAR = 32, LEGEND = 18, MOST_OPERATORS = 12 };
enum { COPY = OP_COUNT, WAITING, CONTROL, CLASSES };

/* Middle tones: they stand out from white and from black. */
static const char *const colours[] = {"#4e79a7", "#f28e2b", "#59a14f", "#b07aa1",
                                      "#e15759", "#76b7b2", "#edc948", "#ff9da7",
                                      "#9c755f", "#7f8fd0", "#86bc5f", "#d37295"};
static const char rest_colour[] = "#8c8c8c";

static uint32_t class_of(const schedule *s, uint32_t step) {
    const cg_step *t = &s->steps[step];
    if (t->kind == CG_STEP_BARRIER) return WAITING;
    if (t->kind != CG_STEP_CALL) return CONTROL;
    return t->node ? (uint32_t)t->node->op : COPY;
}

static const char *class_name(uint32_t class) {
    return class == COPY ? "copy" : op_get((op_id) class)->name;
}

static bool is_drawn(uint32_t class) {
    return class <= COPY;
}

/* The operators that fill most columns get the colours. */
typedef struct legend {
    uint32_t classes[MOST_OPERATORS], n;
    uint32_t columns[CLASSES];
} legend;

static const char *colour_of(const legend *l, uint32_t class) {
    for (uint32_t i = 0; i < l->n; i++)
        if (l->classes[i] == class) return colours[i];
    return rest_colour;
}

static void choose_colours(legend *l) {
    for (l->n = 0; l->n < MOST_OPERATORS; l->n++) {
        uint32_t best = CLASSES;
        for (uint32_t k = 0; is_drawn(k); k++) {
            bool taken = false;
            for (uint32_t i = 0; i < l->n; i++)
                taken |= l->classes[i] == k;
            if (!taken && l->columns[k] && (best == CLASSES || l->columns[k] > l->columns[best]))
                best = k;
        }
        if (best == CLASSES) return;
        l->classes[l->n] = best;
    }
}

/* ---- drawing -------------------------------------------------------------------------------------------------- */

static void draw_thread(tl_str *out, const legend *l, const uint32_t *columns, uint32_t thread) {
    uint32_t y = TOP + thread * ROW;
    tl_str_printf(out, "<text x=\"%d\" y=\"%u\" text-anchor=\"end\">thread %u</text>\n", LEFT - 10,
                  y + BAR / 2 + 4, thread);
    tl_str_printf(out,
                  "<rect x=\"%d\" y=\"%u\" width=\"%d\" height=\"%d\" fill=\"#8c8c8c\" "
                  "fill-opacity=\"0.15\"/>\n",
                  LEFT, y, WIDTH, BAR);
    for (uint32_t i = 0, j; i < WIDTH; i = j) {
        for (j = i + 1; j < WIDTH && columns[j] == columns[i]; j++)
            continue;
        if (!is_drawn(columns[i])) continue;
        tl_str_printf(out,
                      "<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"%d\" "
                      "fill=\"%s\"><title>%s</title></rect>\n",
                      LEFT + i, y, j - i, BAR, colour_of(l, columns[i]), class_name(columns[i]));
    }
}

static void draw_axis(tl_str *out, const schedule *s) {
    enum { TICKS = 10 };
    uint32_t y = TOP + s->n_threads * ROW + 4;
    for (uint32_t i = 0; i <= TICKS; i++)
        tl_str_printf(out, "<text x=\"%u\" y=\"%u\" text-anchor=\"middle\">%.4g</text>\n",
                      LEFT + i * WIDTH / TICKS, y + 10, (double)s->total * 1e-3 * i / TICKS);
}

static void draw_legend(tl_str *out, const schedule *s, const legend *l) {
    uint32_t y = TOP + s->n_threads * ROW + 40;
    for (uint32_t i = 0; i < l->n; i++) {
        uint32_t x = LEFT + i % 6 * 200, at = y + i / 6 * LEGEND;
        tl_str_printf(out,
                      "<rect x=\"%u\" y=\"%u\" width=\"12\" height=\"12\" fill=\"%s\"/>"
                      "<text x=\"%u\" y=\"%u\">%s</text>\n",
                      x, at, colours[i], x + 18, at + 10, class_name(l->classes[i]));
    }
}

static void draw_head(tl_str *out, const schedule *s) {
    uint32_t height = TOP + s->n_threads * ROW + 40 + 2 * LEGEND + 10;
    tl_str_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%u\" "
                  "font-family=\"sans-serif\" font-size=\"12\">\n"
                  "<style>text{fill:#333}@media(prefers-color-scheme:dark){text{fill:#ccc}}"
                  "</style>\n",
                  LEFT + WIDTH + 40, height);
    tl_str_printf(out,
                  "<text x=\"%d\" y=\"28\" font-size=\"15\">%.1f us on %u thread%s, %s; "
                  "grey: waiting</text>\n",
                  LEFT, (double)s->total * 1e-3, s->n_threads, s->n_threads > 1 ? "s" : "",
                  s->target);
}

bool schedule_write_svg(cli *c, const schedule *s, const char *path) {
    legend l = {.n = 0};
    tl_str out;
    const uint32_t **columns = TL_NEW_ARRAY(c->arena, const uint32_t *, s->n_threads);
    tl_str_init(&out, c->arena);
    for (uint32_t k = 0; k < s->n_threads; k++) {
        columns[k] = schedule_columns(c, s, k, WIDTH, class_of, CLASSES);
        for (uint32_t i = 0; i < WIDTH; i++)
            if (columns[k][i] < CLASSES) l.columns[columns[k][i]]++;
    }
    choose_colours(&l);
    draw_head(&out, s);
    for (uint32_t k = 0; k < s->n_threads; k++)
        draw_thread(&out, &l, columns[k], k);
    draw_axis(&out, s);
    draw_legend(&out, s, &l);
    tl_str_puts(&out, "</svg>\n");
    return cg_file_write(&c->ctx, path, (tl_sv){out.data, out.len});
}
