/* The default pipeline on the models of tests/models: after every pass the IR verifies, survives the round trip through text and computes
 * what it did on random inputs; and the result is free of what exporters leave behind. Models with operators that are not
 * known yet are named and passed over. */
#include "frontend/frontend.h"
#include "passes/oracle.h"
#include "passes/pass.h"
#include "tests/support/check.h"

#include <dirent.h>
#include <stdlib.h>

enum { MAX_MODELS = 256 };

typedef struct counts {
    uint32_t ops[OP_COUNT];
} counts;

static void count_region(counts *k, const ir_region *r) {
    ir_for_each_node (n, r) {
        k->ops[n->op]++;
        for (uint32_t i = 0; i < n->n_regions; i++)
            count_region(k, n->regions[i]);
    }
}

/* What must be gone from every model; shape arithmetic only survives where a loop cuts a ragged last chunk or a dimension is
 * what the data says, and then once for each such dimension. */
static void check_clean(const ir_module *m) {
    counts k = {0};
    count_region(&k, m->graphs->body);
    CHECK_EQ(k.ops[OP_Identity], 0);
    CHECK_EQ(k.ops[OP_Gemm], 0);
    CHECK_EQ(k.ops[OP_Size], 0);
    CHECK(k.ops[OP_Shape] <= (k.ops[OP_Min] ? 8u : 2u));
    CHECK(k.ops[OP_Dims] <= 16);
    CHECK(!k.ops[OP_SequenceInsert] || k.ops[OP_Min]); /* only lists of ragged chunks stay lists */
}

static void report(const char *path, ir_ctx *c, tl_arena *a) {
    tl_str text;
    tl_str_init(&text, a);
    diag_render(&c->diag, &text);
    fprintf(stderr, "%s:\n%s", path, text.data);
}

static bool run_model(ir_ctx *c, tl_arena *a, const char *path) {
    ir_module *m = fe_import_file(c, a, path, NULL);
    if (!m) {
        report(path, c, a);
        return false;
    }
    pass_oracle before;
    CHECK(oracle_init(&before, m, a, 1)); /* else the comparison below is empty */
    pass_options o = {.verify = true, .roundtrip = true, .eval = true};
    if (!CHECK(pass_run(m, "default", &o))) report(path, c, a);
    check_clean(m);
    return true;
}

static bool test_model(const char *path) {
    tl_fail fail = {0};
    ir_ctx c;
    tl_arena a;
    volatile bool imported = false;
    ir_ctx_init(&c, &fail);
    tl_arena_init(&a, &fail);
    int failed = check_failed;
    if (CHECK(setjmp(fail.jump) == 0)) imported = run_model(&c, &a, path);
    if (check_failed != failed) fprintf(stderr, "  in %s\n", path);
    ir_ctx_release(&c);
    tl_arena_release(&a);
    return imported;
}

int main(void) {
    struct dirent **names;
    int n = scandir("tests/models", &names, NULL, alphasort), imported = 0;
    CHECK(n > 0 && n < MAX_MODELS);
    for (int i = 0; i < n; i++) {
        char path[512];
        snprintf(path, sizeof path, "tests/models/%s/model.onnx", names[i]->d_name);
        if (names[i]->d_name[0] != '.' && strcmp(names[i]->d_name, "README.md"))
            imported += test_model(path);
        free(names[i]);
    }
    free(names);
    CHECK(imported >= 20);
    return check_done();
}
