/* Line differences by the longest common subsequence: quadratic, enough for test files. */
#include "tests/support/diff.h"

#include "ir/base/vec.h"

enum { MAX_CELLS = 16 << 20, CONTEXT = 3 };

typedef TL_VEC(tl_sv) line_vec;

static line_vec split(tl_arena *arena, tl_sv text) {
    line_vec lines = {0};
    while (text.len) {
        const char *e = memchr(text.data, '\n', text.len);
        size_t n = e ? (size_t)(e - text.data) : text.len;
        tl_vec_push(arena, &lines, (tl_sv){text.data, n});
        n += e != NULL;
        text = (tl_sv){text.data + n, text.len - n};
    }
    return lines;
}

/* common[i][j]: length of the longest common subsequence of a's lines from i and b's from j. */
static uint32_t *common_table(tl_arena *arena, const line_vec *a, const line_vec *b) {
    size_t width = b->len + 1u;
    uint32_t *t = TL_NEW_ARRAY(arena, uint32_t, (a->len + 1u) * width);
    for (uint32_t i = a->len; i-- > 0;) {
        for (uint32_t j = b->len; j-- > 0;) {
            uint32_t skip_a = t[(i + 1) * width + j], skip_b = t[i * width + j + 1];
            uint32_t best = skip_a > skip_b ? skip_a : skip_b;
            if (tl_sv_equal(a->data[i], b->data[j])) best = t[(i + 1) * width + j + 1] + 1;
            t[i * width + j] = best;
        }
    }
    return t;
}

typedef struct edit {
    char kind; /* ' ', '-', '+' */
    tl_sv line;
} edit;

typedef TL_VEC(edit) edit_vec;

static edit_vec find_edits(tl_arena *arena, const line_vec *a, const line_vec *b) {
    edit_vec edits = {0};
    bool small = (a->len + 1u) * (size_t)(b->len + 1u) <= MAX_CELLS;
    const uint32_t *t = small ? common_table(arena, a, b) : NULL;
    size_t width = b->len + 1u;
    uint32_t i = 0, j = 0;
    while (i < a->len || j < b->len) {
        bool same = i < a->len && j < b->len && tl_sv_equal(a->data[i], b->data[j]);
        bool take_a = i < a->len &&
                      (j == b->len || !t || t[(i + 1) * width + j] >= t[i * width + j + 1]);
        if (same) {
            tl_vec_push(arena, &edits, (edit){' ', a->data[i]});
            i++, j++;
        } else if (take_a) {
            tl_vec_push(arena, &edits, (edit){'-', a->data[i++]});
        } else {
            tl_vec_push(arena, &edits, (edit){'+', b->data[j++]});
        }
    }
    return edits;
}

static bool is_near_change(const edit_vec *e, uint32_t at) {
    uint32_t from = at > CONTEXT ? at - CONTEXT : 0;
    for (uint32_t i = from; i < e->len && i <= at + CONTEXT; i++)
        if (e->data[i].kind != ' ') return true;
    return false;
}

void diff_lines(tl_sv a, tl_sv b, tl_str *out) {
    line_vec la = split(out->arena, a), lb = split(out->arena, b);
    edit_vec edits = find_edits(out->arena, &la, &lb);
    bool skipped = false;
    for (uint32_t i = 0; i < edits.len; i++) {
        if (!is_near_change(&edits, i)) {
            if (!skipped) tl_str_puts(out, "  ...\n");
            skipped = true;
            continue;
        }
        skipped = false;
        tl_str_printf(out, "%c %.*s\n", edits.data[i].kind, (int)edits.data[i].line.len,
                      edits.data[i].line.data);
    }
}
