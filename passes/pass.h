/* Passes over the graph IR and their manager. A pass is one file, one public function, one name:
 *
 *   pass_result pass_dce(pass_ctx *ctx, ir_graph *g);        // passes/dce.c, row in passes.def, tests/golden/dce/
 *
 * The manager does for every pass: verify, print, skip, round trip, bisect, timing, counters, reproducer, and comparison by the
 * reference evaluator (TLBC_DEBUG, docs/DEBUGGING.md), so that authors do nothing. How to add one: docs/ADD_A_PASS.md. */
#ifndef TLBC_PASSES_PASS_H
#define TLBC_PASSES_PASS_H

#include "ir/base/debug.h"
#include "ir/build.h"
#include "ir/ir.h"

#include <stdio.h>

typedef enum pass_result { PASS_SAME, PASS_CHANGED, PASS_FAILED } pass_result;

typedef enum pass_math {
    PASS_MATH_STRICT, /* only rewrites that keep every bit */
    PASS_MATH_DEFAULT, /* also those whose effect on rounding is bounded: folding scales into weights */
    PASS_MATH_FAST     /* all */
} pass_math;

typedef enum pass_simplify_engine {
    PASS_SIMPLIFY_EGRAPH, /* rewrites as they come, and the with_egraph(...) part of a pipeline */
    PASS_SIMPLIFY_NONE,
    PASS_SIMPLIFY_CLASSIC /* rewrites as they come, no more */
} pass_simplify_engine;

typedef struct pass_ctx pass_ctx;
typedef pass_result pass_fn(pass_ctx *ctx, ir_graph *g);

typedef struct pass_info {
    const char *name;
    const char *summary;
    pass_fn *fn;
} pass_info;

/* What a run did, for those who ask: pass_options.trace. */
typedef struct pass_trace {
    int64_t changes;
    const char *
        last; /* the change that bisect let through last: "simplify.mul_one", "dce"; in the context's arena */
} pass_trace;

/* What a state that comes from an input begins with; zeros where nothing is said. */
typedef struct pass_state_value {
    const char *name;
    const ir_tensor *value;
} pass_state_value;

/* Zero = defaults. */
typedef struct pass_options {
    pass_math math_plus_one; /* 0 = PASS_MATH_DEFAULT; else 1 + pass_math: see pass_get_math */
    pass_simplify_engine simplify;
    uint32_t panel;   /* columns of a packed weight panel; 0 = 16 */
    const char *skip; /* comma separated names: passes, or "pass.what" for one kind of change */
    int64_t bisect;   /* stop after this many changes; 0 = no limit, -1 = allow none */
    bool verify, print, print_changed, roundtrip, eval, time, stats;
    const char *print_only;   /* name of the pass to print after; NULL = all */
    const char *explain;      /* comma separated names: passes whose remarks are printed */
    const char *reproducer;   /* file for the IR before a failing pass; NULL = tlbc-repro.tl */
    const char *command_line; /* first comment of the reproducer */
    pass_trace *trace;
    FILE *log;                 /* for everything printed; NULL = stderr */
    const char *const *states; /* "h0=hn,c0=cn": inputs and outputs that are one state */
    uint32_t n_states;
    const pass_state_value *state_values;
    uint32_t n_state_values;
    const char *const *streams; /* "x:1:4": input, axis of the sequence, positions in a step */
    uint32_t n_streams;
    bool batch_streams; /* a step function for one stream becomes one for many */
    const pass_info
        *extra; /* passes beyond passes.def: tests, and tools with passes of their own */
    uint32_t n_extra;
} pass_options;

pass_math pass_get_math(const pass_options *o);

/* Adds what TLBC_DEBUG asks for to the options. */
void pass_options_add_debug(pass_options *o, const debug_flags *d);
/* The same from the environment, for programs; false after reporting to c->diag that a flag is not known. */
bool pass_options_add_environment(pass_options *o, ir_ctx *c);

struct pass_ctx {
    ir_ctx *c;
    ir_module *m;
    tl_arena *scratch; /* reset by the manager after each pass */
    const pass_options *options;
    struct pass_manager *manager;
    const struct rule_set *rules; /* of simplify, read when they are first asked for (rule.h) */
};

const pass_info *pass_find(const char *name); /* NULL where absent */
const pass_info *pass_list(uint32_t *count);

/* Asks leave for one change and counts it in the statistics: false where `skip` names it or bisect has run out. A pass that makes
 * several changes a run asks before each; one that does not is counted as one change. */
bool ctx_take(pass_ctx *ctx, const char *what);
/* Whether ctx_take would give leave. */
bool ctx_may(const pass_ctx *ctx, const char *what);
/* Adds to a statistic of the running pass ("folded") without asking. */
void ctx_count(pass_ctx *ctx, const char *what, uint32_t by);

/* Whether somebody wants the running pass's remarks (`--explain PASS`): ask before work that only a remark needs. */
bool ctx_explains(const pass_ctx *ctx);
/* One line of them: what was found and done, or left alone and why. "reroll: main: 5 rounds of 38 nodes ..." */
void ctx_remark(pass_ctx *ctx, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Replaces all uses of old by its equal new_value, which inherits what old's type knew better, and its name where it has none. */
void pass_replace(pass_ctx *ctx, ir_value *old, ir_value *new_value);

/* A peephole pass in one line: calls cb for every node of g, regions included, in order; nodes may be removed or inserted
 * before the current one. */
typedef pass_result pass_node_fn(pass_ctx *ctx, ir_node *n);
pass_result pass_each_node(pass_ctx *ctx, ir_graph *g, pass_node_fn *cb);

/* Runs "a,b,fix(c,d),with_egraph(e),..." on every graph of the module; "default" stands for the whole pipeline of pipeline.c.
 * false after reporting to the module's diagnostics. o may be NULL. */
bool pass_run(ir_module *m, const char *passes, const pass_options *o);

/* Looks for the change after which is_bad(data, module) holds: the passes run on clones of m, which itself stays as it is, with fewer
 * and fewer changes. false where it does not hold after all passes, or holds before the first one, or a pass fails. */
typedef bool pass_is_bad_fn(void *data, const ir_module *m);
bool pass_bisect(const ir_module *m, const char *passes, const pass_options *o,
                 pass_is_bad_fn *is_bad, void *data, pass_trace *culprit);

/* The order of the default pipeline, in the notation of pass_run. */
extern const char pipeline_default[];

#endif
