/* Inside of the pass manager: shared by pass.c (running), check.c (verify, round trip, reproducer) and oracle.c (comparison by the
 * reference evaluator). Passes include pass.h only. */
#ifndef TLBC_PASSES_MANAGER_H
#define TLBC_PASSES_MANAGER_H

#include "ir/base/vec.h"
#include "passes/oracle.h"
#include "passes/pass.h"

typedef struct pass_counter {
    const char *pass, *what;
    uint32_t n;
} pass_counter;

typedef struct pass_time {
    double seconds;
    uint32_t runs, changed;
} pass_time;

typedef struct pass_manager {
    pass_ctx ctx;
    pass_options options;
    tl_arena arena, scratch, snapshot_arena;
    const char *passes;       /* what was asked for */
    const pass_info *running; /* NULL between passes */
    bool checks;              /* debug build, or TLBC_DEBUG=verify */
    int64_t changes;          /* made so far, for bisect */
    uint32_t taken;           /* by the running pass through ctx_take */
    TL_VEC(pass_counter) counters;
    pass_time *times;    /* one for each pass of passes.def */
    ir_module *snapshot; /* before the running pass; before the first one where !checks */
    pass_oracle oracle;
} pass_manager;

FILE *manager_log(const pass_manager *pm);
void manager_print(pass_manager *pm, const char *title);

/* check.c: each reports what it finds as a bug of the running pass and writes the reproducer; true when all is well. */
bool check_verify(pass_manager *pm);
bool check_roundtrip(pass_manager *pm);
bool check_oracle(pass_manager *pm);
bool check_same(pass_manager *pm, uint64_t hash_before);
void check_take_snapshot(pass_manager *pm);
/* For tl_assert_set_hook; data is the manager. */
void check_write_reproducer(void *data);

#endif
