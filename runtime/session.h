/* Inside of a session. Private to runtime/.
 *
 * One call goes through these steps (session.c):
 *   check_inputs   types, ranks, constant dimensions; the symbols' values                       check.c
 *   plan           dimension expressions, slots, size of the workspace; only where the symbols changed
 *   check_exprs    input dimensions that are expressions of symbols ("batch" again, "2*time")   check.c
 *   check_outputs  dims and bytes of the outputs; room in the caller's buffers                  check.c
 *   bind states    a step: where the chosen streams' states are read and written                states.c
 *   run            on the team of threads                                                       threads.c
 *   commit states  a step that went well: what was written becomes the states                   states.c
 * Where the program takes one stream, a step of several goes through them once for each            many.c */
#ifndef TLBC_RUNTIME_SESSION_H
#define TLBC_RUNTIME_SESSION_H

#include "runtime/abi.h"
#include "runtime/calls/heap.h"
#include "runtime/threads.h"
#include "runtime/weights.h"

#include <stdbool.h>

enum { TLBC_RT_MESSAGE = 1024, TLBC_RT_ALIGN = 64 };

/* One state of all streams. `home` holds them, stream by stream. A step reads `home` itself, where the streams lie there as the program
 * wants them, or `gathered`; it writes `next`, and only when it has gone well that becomes `home`, or is scattered there. A state that
 * has a place (place.c) has no `next`: new rows are written behind those that are read. */
typedef struct tlbc_rt_state {
    char *home, *next, *gathered;
    size_t bytes; /* of one stream */
    size_t area, outer,
        inner; /* of one stream in memory: area = outer * inner; streams lie between the two in a batch */
    int64_t *first; /* by stream: the row where its window begins; NULL = the state has no place */
} tlbc_rt_state;

/* All states of a session. */
typedef struct tlbc_rt_states {
    uint32_t n, streams;
    bool shared; /* a state is one for all streams: they advance together */
    bool
        one_by_one; /* the program takes one stream: a step of several is a run for each (many.c) */
    int64_t *own_lengths,
        *lengths; /* of states that grow, by stream; of the session that they are shared with */
    int64_t *next_lengths; /* one_by_one: by row, behind the step */
    tlbc_tensor *rows;     /* one_by_one: inputs and outputs of one stream */
    uint64_t layout;
    size_t bytes;            /* of one stream */
    tlbc_rt_state *own;      /* NULL: all are another session's */
    tlbc_rt_state **list;    /* own ones, or those of the session that they are shared with */
    void **read, **write;    /* frame.states, frame.next */
    uint32_t *stamps, stamp; /* by stream: the last step it was named in */
    void *memory;
    int64_t *firsts; /* of all states that have a place */
    /* of the step going on */
    uint32_t count, first;
    const uint32_t *chosen; /* NULL: neighbours, from `first` on */
    uint32_t stream;        /* whose length the program is told */
    bool *own_ended,
        *ended; /* by stream: its last step had fewer positions; of the session that the states are shared with */
} tlbc_rt_states;

struct tlbc_session {
    const tlbc_model *model; /* first: the wrappers in runtime.h rely on it */
    const tlbc_variant *variant;
    tlbc_rt_team *team;
    bool exact_threads;
    tlbc_rt_weights weights;
    tlbc_frame frame;
    int64_t status[3];  /* frame.status */
    int64_t *symbols;   /* values that exprs and slots were planned for */
    int64_t *candidate; /* values of the call that is being checked */
    int64_t *exprs, *slots;
    void **inputs, **outputs;
    tlbc_rt_states states;
    char *workspace;
    size_t workspace_bytes; /* there */
    size_t needed;          /* by the plan */
    bool planned;           /* symbols, exprs, slots and needed are valid */
    bool own_workspace;
    tlbc_tensor *cells;
    tlbc_rt_heap heap; /* of the values in cells */
    void *
        *places; /* by thread: where its run is left (dynamic.c); NULL = a program without cells */
    tlbc_session *tail; /* of model->tail, for the last step of a sequence; NULL = none */
    bool is_tail; /* it is one: its team and workspace are lent by the session whose tail it is */
    tlbc_status stopped; /* why all threads leave the run */
    char message[TLBC_RT_MESSAGE];
};

/* Sets the message and returns the status. */
tlbc_status tlbc_rt_report(tlbc_session *s, tlbc_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One message for everything that is wrong with an input's type. */
tlbc_status tlbc_rt_bad_input(tlbc_session *s, const tlbc_tensor *in, uint32_t i,
                              const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Bytes of a dense tensor; false on overflow. */
bool tlbc_rt_tensor_bytes(unsigned dtype, uint32_t rank, const int64_t *dims, size_t *bytes);

/* All return TLBC_OK or leave a message. with_data: pointers and bytes count, not the shapes alone. */
tlbc_status tlbc_rt_check_inputs(tlbc_session *s, const tlbc_tensor *in, bool with_data);
tlbc_status tlbc_rt_check_exprs(tlbc_session *s, const tlbc_tensor *in);
/* Fills dtype, rank and dims of the outputs, and their `bytes` where no data is asked for. */
tlbc_status tlbc_rt_check_outputs(tlbc_session *s, tlbc_tensor *out, bool with_data);

/* states.c. Memory for the states of so many streams, at their initial values; or those of another session (streams 0: as many as it
 * has). */
tlbc_status tlbc_rt_states_open(tlbc_session *s, uint32_t streams, tlbc_session *of);
void tlbc_rt_states_free(tlbc_rt_states *t);
/* That the states will not be longer than there is room. */
tlbc_status tlbc_rt_check_length(tlbc_session *s);
/* Before a run and, where it went well, after it. chosen NULL: as many of the first streams as the inputs hold. */
tlbc_status tlbc_rt_states_bind(tlbc_session *s, const uint32_t *chosen, uint32_t count);
/* The same for a run of one of several rows: first all streams are chosen, then each row is bound and its run noted. */
tlbc_status tlbc_rt_states_choose(tlbc_session *s, const uint32_t *chosen, uint32_t count,
                                  uint64_t batch);
void tlbc_rt_states_bind_row(tlbc_session *s, uint32_t k);
void tlbc_rt_states_ran_row(tlbc_session *s, uint32_t k);
void tlbc_rt_states_commit(tlbc_session *s);
/* The stream that row i belongs to. */
static inline uint32_t tlbc_rt_stream(const tlbc_rt_states *t, uint32_t i) {
    return t->chosen ? t->chosen[i] : t->first + i;
}

/* many.c. Sessions one_by_one: how many streams the inputs hold; the inputs of row k of n, in states.rows; the shapes and bytes of the
 * caller's outputs for n of what states.rows says of one; whether there is room for them, with states.rows at the first; whether a
 * later row's are like it; the places of the next row's outputs. */
uint64_t tlbc_rt_rows_given(const tlbc_session *s, const tlbc_tensor *in);
tlbc_status tlbc_rt_row_take(tlbc_session *s, const tlbc_tensor *in, uint32_t n, uint32_t k,
                             bool with_data);
tlbc_status tlbc_rt_rows_shapes(tlbc_session *s, tlbc_tensor *out, uint32_t n);
tlbc_status tlbc_rt_rows_room(tlbc_session *s, tlbc_tensor *out, uint32_t n);
tlbc_status tlbc_rt_row_check(tlbc_session *s, const tlbc_tensor *out, uint32_t n);
void tlbc_rt_row_next(tlbc_session *s);
tlbc_status tlbc_rt_reset(tlbc_session *s, uint32_t stream);
tlbc_status tlbc_rt_clone(tlbc_session *to, uint32_t to_stream, const tlbc_session *from,
                          uint32_t from_stream);
tlbc_status tlbc_rt_state_save(tlbc_session *s, uint32_t stream, void *data, size_t *bytes);
tlbc_status tlbc_rt_state_load(tlbc_session *s, uint32_t stream, const void *data, size_t bytes);
/* place.c: state i, which has a place. What a step reads, with room behind it for what the step writes; behind a step that went well; a
 * stream as a dense tensor (NULL: zeros). `ready`: the streams of the step are read where they lie. */
char *tlbc_rt_place_bind(const tlbc_session *s, uint32_t i, bool ready);
char *tlbc_rt_place_bind_one(const tlbc_session *s, uint32_t i, uint32_t k); /* row k, by itself */
void tlbc_rt_place_commit(const tlbc_session *s, uint32_t i, bool ready);
void tlbc_rt_place_get(const tlbc_session *s, uint32_t i, uint32_t stream, char *dense);
void tlbc_rt_place_set(const tlbc_session *s, uint32_t i, uint32_t stream, const char *dense);
void tlbc_rt_place_clone(const tlbc_session *to, uint32_t to_stream, const tlbc_session *from,
                         uint32_t from_stream, uint32_t i);
/* Values in cells: before, instead of and after the call of a program that has them (dynamic.c). */
bool tlbc_rt_cells_create(tlbc_session *s, const tlbc_session_options *o, uint32_t threads);
void tlbc_rt_cells_free(tlbc_session *s);
void tlbc_rt_cells_begin(tlbc_session *s, const tlbc_tensor *in);
void tlbc_rt_cells_main(const tlbc_frame *frame, int64_t tid, int64_t n_threads);
tlbc_status tlbc_rt_cells_give(tlbc_session *s, tlbc_tensor *out);
/* Output i lies in a cell. */
static inline bool tlbc_rt_is_cell_output(const tlbc_session *s, uint32_t i) {
    const int32_t *cells = s->model->program->output_cells;
    return cells && cells[i] >= 0;
}

#endif
