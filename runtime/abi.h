/* The contract between generated code and the runtime library that is linked into every model. Not for users.
 * Generated code reads struct tlbc_frame by offset (codegen/program.c takes them from here); docs/RUNTIME_ABI.md has the whole picture. */
#ifndef TLBC_RUNTIME_ABI_H
#define TLBC_RUNTIME_ABI_H

#include "tlbc/runtime.h"

#include <stdbool.h>

struct tlbc_rt_attr;
struct tlbc_rt_call;

/* What one run hands to generated code; the same for all its threads. All members 8 bytes. */
typedef struct tlbc_frame {
    char *workspace;     /* 64-byte aligned */
    const char *weights; /* 64-byte aligned constants */
    void *const *inputs; /* data pointers in descriptor order */
    void *const *outputs;
    const int64_t *symbols; /* values of the dimension symbols */
    const int64_t *slots;   /* offsets in the workspace, made by plan() */
    void *team;             /* tlbc_rt_team: threads and their barrier (runtime/threads.c) */
    int64_t *
        status; /* first failure: 0 = none, else 1 + index into tlbc_program.failures; then two arguments */
    void *const *states; /* of a step function: what a step reads; dense, of this call's shape */
    void *const *next;   /* where it writes what the next one reads; other memory */
    tlbc_tensor *cells;  /* values whose size or kind only the run tells (runtime/dynamic.c) */
    tlbc_session *session;
    uint64_t seed; /* of the session's options */
} tlbc_frame;

/* All threads call it with the same frame: tid in [0, n_threads). */
typedef void tlbc_main_fn(const tlbc_frame *frame, int64_t tid, int64_t n_threads);
/* From the symbols: values of all dimension expressions, offsets of all slots; the result is the workspace size in bytes, or -1 where the
 * sizes overflow, or -2 - i where check i of tlbc_program.failures on the shapes fails. n_threads scales per-thread scratch. */
typedef int64_t tlbc_plan_fn(const int64_t *symbols, int64_t *exprs, int64_t *slots,
                             int64_t n_threads);

/* One compilation of the program for a class of machines; the first whose features the machine has is taken. */
typedef struct tlbc_variant {
    const char *cpu;   /* "x86-64-v3" */
    uint64_t features; /* TLBC_CPU_* bits that must be there (runtime/cpu.h) */
    tlbc_main_fn *main;
    tlbc_plan_fn *plan;
} tlbc_variant;

/* Start of a side file of weights (--weights=file); the weights follow it. */
#define TLBC_WEIGHTS_MAGIC "TLBCWTS1"
typedef struct tlbc_weights_header {
    char magic[8];
    uint64_t bytes; /* of the weights */
    uint64_t
        hash; /* equals tlbc_program.weights_hash: the file and the model come from one compilation */
    uint64_t reserved[5];
} tlbc_weights_header;

/* Start of a saved state; the states of one stream follow it, dense, in the descriptor's order. */
#define TLBC_STATE_MAGIC "TLBCSTA2"
typedef struct tlbc_state_header {
    char magic[8];
    uint64_t
        layout; /* hash of the model and of its states' names, types and shapes: runtime/states.c */
    uint64_t bytes; /* of the states */
    uint64_t check; /* hash of this header, with 0 here, and of the states */
    int64_t length; /* of those that grow */
    uint64_t ended; /* 1: the stream has had its last step */
    uint64_t reserved[2];
} tlbc_state_header;
/* A place for a value whose size or kind only the run tells. At the start of a run it holds the input or the constant that is named,
 * or nothing. */
typedef struct tlbc_cell_info {
    uint32_t dtype, rank;
    int32_t input; /* -1 = none */
    uint32_t
        borrowed; /* bound to memory of the plan: operators that keep their operands must copy it */
    const tlbc_tensor *constant;
} tlbc_cell_info;

/* One call of a function of runtime/calls/. */
typedef struct tlbc_call_info {
    bool (*fn)(struct tlbc_rt_call *);
    const char *where; /* for messages: "node 'x' (NonZero)" */
    const struct tlbc_rt_attr *attrs;
    const int32_t *cells; /* of operands (-1 = omitted), then of results (-1 = nobody wants it) */
    uint32_t n_attrs, n_in, n_out, keeps; /* keeps: results share memory with operands */
} tlbc_call_info;

/* A state that steps append to where it lies: rows in a block with room for more (codegen/place.h). Of one stream: `runs` blocks, one for
 * each index in front of the rows. */
typedef struct tlbc_place {
    uint64_t runs;
    uint64_t row_bytes; /* 0: the state has no place, it is written whole to another */
    int64_t rows;       /* -1: as many as the length of states that grow */
    int64_t room;       /* in each block */
    int64_t advance;    /* rows that a step adds, and drops in front */
    int64_t written;    /* 1: a step writes over rows, and has put them back where it failed */
} tlbc_place;

typedef struct tlbc_program {
    uint32_t n_variants, n_exprs, n_slots, n_failures;
    const tlbc_variant *variants;
    const void *weights; /* embedded; NULL: in the side file named weights_file */
    const char *weights_file;
    const char *const *
        failures; /* printf formats with two %lld: "node 'x' (Gather), input 1: index %lld is outside [0, %lld)" */
    uint64_t weights_hash; /* of the side file; any value where the weights are embedded */
    int32_t stream_symbol; /* 1 + the symbol that counts streams; 0 = none */
    int32_t length_symbol; /* 1 + the symbol that says how long states are that grow; 0 = none */
    int64_t length_limit;
    int32_t length_expr; /* its value after a step; -1: a step does not change it */
    int32_t work_expr;   /* operations of a run; -1: `work` says */
    int64_t work;        /* INT64_MAX: not known */
    uint32_t n_cells, n_calls;
    const tlbc_cell_info *cells;
    const tlbc_call_info *calls;
    const int32_t *
        output_cells; /* by output: the cell that holds it after the run, -1 = written in place; NULL = all are */
    const tlbc_place *places; /* by state; NULL = none has one */
} tlbc_program;

/* Called by generated code. */
void tlbc_rt_barrier(const tlbc_frame *frame, int64_t tid);
void tlbc_rt_fail(const tlbc_frame *frame, int64_t failure, int64_t a,
                  int64_t b); /* the first one of a run is kept */

/* Values in cells (dynamic.c). All but the last two are for one thread, while the others wait. tlbc_rt_stop ends the run of
 * the thread that calls it where the run has been stopped, tlbc_rt_leave stops it: all threads alike, between the same barriers. */
void tlbc_rt_invoke(const tlbc_frame *frame, int64_t call);
void tlbc_rt_grow(const tlbc_frame *frame, int64_t cell, int64_t bytes);
void tlbc_rt_assign(const tlbc_frame *frame, int64_t to,
                    int64_t from); /* copies what is borrowed */
void tlbc_rt_copy_cell(const tlbc_frame *frame, int64_t to,
                       int64_t from); /* a tensor, into own memory */
void tlbc_rt_append(const tlbc_frame *frame, int64_t to, int64_t item); /* one more along axis 0 */
void tlbc_rt_exchange(const tlbc_frame *frame, int64_t a, int64_t b);
void tlbc_rt_stop(const tlbc_frame *frame, int64_t tid);
void tlbc_rt_leave(const tlbc_frame *frame, int64_t tid, int64_t failure, int64_t a, int64_t b);

extern const tlbc_api tlbc_rt_api; /* what descriptors point to */

#endif
