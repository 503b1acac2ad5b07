/* The parts of the pass `stream`: stream.c (options, the walk over the graph, states), stream_rules.c (what each operator does to a value
 * of which a step has a part), stream_axes.c (operators along one axis), stream_recur.c (recurrences), stream_window.c (running sums, causal
 * convolutions), stream_attention.c, stream_tail.c (the last part of a sequence, which is shorter), stream_delay.c (by how much outputs are
 * late).
 *
 * Every value is one of four kinds. A value of kind PART has along one axis what belongs to the sequence; a step has `step` elements of it.
 * The axis may be several blocks of that, one behind the other (`outer`), as where a batch was folded into it: f32[2*T/4,4,d]. */
#ifndef TLBC_PASSES_STREAM_H
#define TLBC_PASSES_STREAM_H

#include "ir/base/vec.h"
#include "passes/pass.h"

typedef enum stream_kind {
    STREAM_FIXED,  /* the same in every step */
    STREAM_PART,   /* a step has the next part of it */
    STREAM_FINAL,  /* depends on all positions: a step has what the sequence so far gives */
    STREAM_LENGTH, /* computed from the length of the sequence: good for shapes alone */
} stream_kind;

typedef struct stream_value {
    stream_kind kind;
    int32_t axis;         /* PART */
    int64_t step, outer;  /* PART */
    const ir_type *whole; /* over the whole sequence */
    int64_t lead,
        tail; /* PART: so many elements stand in front of the first position, behind the last one;
                         * tail < 0: the last ones are missing */
    ir_value *pad; /* all of them, or the `lead` rows; NULL = 0 */
} stream_value;

/* Where a state of the step comes from: the tail's state of the same origin is the same one. */
typedef struct stream_origin {
    const ir_loc *loc; /* of the node that needs it */
    const char *what;
    uint32_t state;
    bool taken; /* by the tail */
} stream_origin;

typedef struct streamer {
    pass_ctx *ctx;
    ir_graph *g;
    const char *input;    /* for messages */
    int64_t chunk;        /* positions in a step */
    const ir_dim *length; /* of the whole sequence */
    uint32_t mark;        /* of values that have a stream_value in scratch; all others are FIXED */
    ir_value *position;   /* state: positions in all steps before; NULL until it is asked for */
    TL_VEC(stream_origin) origins;
    bool tail;          /* the graph for the last, shorter part is being made */
    const ir_graph *of; /* then: the step's */
    const char *reason; /* then: why there is none */
} streamer;

/* One part of --stream INPUT:AXIS:CHUNK[,...]. */
typedef struct stream_spec {
    tl_sv name;
    int64_t axis, chunk;
} stream_spec;
/* Steps over the next one; names may hold colons: the numbers are looked for from the end. false after reporting. */
bool stream_next_spec(pass_ctx *ctx, const char **text, stream_spec *spec);
ir_value *stream_find_input(pass_ctx *ctx, ir_graph *g, const stream_spec *spec);

typedef bool stream_rule(streamer *s, ir_node *n);

typedef struct stream_joined {
    ir_value *value; /* a state, then the step's positions */
    uint32_t state;  /* its index, for ir_graph_set_next */
    int64_t before;  /* elements of the state */
} stream_joined;

/* ---- values (stream.c) ------------------------------------------------------------------------------------------ */
const stream_value *stream_get(const streamer *s, const ir_value *v);
void stream_set(streamer *s, ir_value *v, stream_value info);
static inline bool stream_is_part(const streamer *s, const ir_value *v) {
    return v && stream_get(s, v)->kind == STREAM_PART;
}
const ir_type *stream_whole(const streamer *s,
                            const ir_value *v); /* its type over the whole sequence */
/* Reports that n cannot be streamed; false. */
bool stream_refuse(streamer *s, const ir_node *n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Result `out` of n has the part of operand `from`, along this axis, with as many elements a step. */
void stream_follow(streamer *s, ir_node *n, uint32_t out, const stream_value *from, int32_t axis);
/* Infers n's results anew after its operands have changed. */
bool stream_retype(streamer *s, ir_node *n);
/* Elements that this call has of a part: `step`, in the tail an expression over the length of what is left. */
const ir_dim *stream_count(streamer *s, const stream_value *v);
static inline ir_value *stream_number(ir_builder *b, const ir_dim *d) {
    int64_t n;
    return ir_dim_is_const(d, &n) ? build_scalar(b, DT_i64, (double)n) : build_dim_scalar(b, d);
}
/* 0, 1, ... count-1 */
ir_value *stream_counted(streamer *s, ir_builder *b, const ir_dim *count);
/* The constant or fixed value v, which along `axis` has as many elements as the sequence: those of this step, `count` of them. */
ir_value *stream_take(streamer *s, ir_builder *b, ir_value *v, int32_t axis, int64_t step,
                      const ir_dim *count);
/* How many elements, `step` a step, came before this step: i64 scalar. */
ir_value *stream_base(streamer *s, ir_builder *b, int64_t step);
/* Whether d depends on a symbolic length; its value for the length of a step, -1 where that is no constant. In the tail: whether it
 * depends on how many steps there were before; by how much each of them made it longer. */
bool stream_has_length(streamer *s, const ir_dim *d);
int64_t stream_step_of(streamer *s, const ir_dim *d);
/* A new state that begins with `initial`, any fixed value; its parameter, or what the first step reads instead. *index is for
 * ir_graph_set_next. */
ir_value *stream_state(streamer *s, ir_node *n, const char *what, ir_value *initial,
                       const ir_type *type, uint32_t *index);
/* What the state is in the next step; a tail leaves it as it is. */
void stream_set_next(streamer *s, uint32_t state, ir_value *v);
/* The type with n elements along the axis. */
const ir_type *stream_part_type(streamer *s, const ir_type *t, int32_t axis, int64_t n);
/* A state of `before` elements in front of x, along the axis of its positions. */
stream_joined stream_join(streamer *s, ir_node *n, ir_value *x, const char *what, ir_value *initial,
                          int64_t before);
ir_value *stream_slice(ir_builder *b, ir_value *x, int32_t axis, int64_t from, int64_t to);
/* The node goes; its readers read `with`. */
void stream_replace(streamer *s, ir_node *n, ir_value *with, stream_value info);

/* ---- parts of rules (stream_rules.c) ------------------------------------------------------------------------------- */
/* Nothing stands in front of the sequence, nothing is cut off; else refused. */
bool stream_is_even(streamer *s, const ir_node *n, const stream_value *v);
/* Operand 0 has the part, all others are shapes, axes or scalars: the common case. */
bool stream_alone(streamer *s, const ir_node *n);
/* All results have operand 0's part, along this axis. */
bool stream_follow_all(streamer *s, ir_node *n, int32_t axis);
bool stream_agree(const stream_value *a, const stream_value *b);
/* Operand i, no sequence itself, next to one whose axis is `from_right` from the end: cut to the step where it is as long. */
bool stream_cut_operand(streamer *s, ir_node *n, uint32_t i, const stream_value *like,
                        int32_t from_right);

/* ---- the tail (stream_tail.c) --------------------------------------------------------------------------------------- */
/* Behind the graph of the step that s has made: its tail becomes one, too, or goes, and the step's no_tail says why. */
void stream_make_tail(streamer *s);
/* stream.c: walks over s->g. */
bool stream_graph(streamer *s);
/* The state that the step has for this; NULL after refusing. */
stream_origin *stream_find_origin(streamer *s, const ir_node *n, const char *what,
                                  const ir_type *type);
/* By how much each step before makes d longer; false where that is not one number. */
bool stream_tail_moves(streamer *s, const ir_dim *d, int64_t *by);
/* Results of n that are integers of which all is known: FINAL where they do not depend on the steps before, else LENGTH. */
void stream_tail_lengths(streamer *s, ir_node *n);
/* Nodes that only a tail has: a rule of this name where *done. */
bool stream_tail_slice(streamer *s, ir_node *n, bool *done);
bool stream_tail_pad(streamer *s, ir_node *n, bool *done);
bool stream_tail_concat(streamer *s, ir_node *n, bool *done);
bool stream_tail_region(streamer *s, ir_node *n);
/* Behind a rule: the results have in a tail what the whole sequence has there. */
bool stream_tail_check(streamer *s, const ir_node *n);

/* ---- the delay (stream_delay.c) ------------------------------------------------------------------------------------- */
/* Of all outputs of the step s->g that are parts of a sequence. */
void stream_find_delays(streamer *s);

/* ---- rules ------------------------------------------------------------------------------------------------------ */
/* stream_rules.c: NULL where the operator has none. */
stream_rule *stream_rule_of(op_id op);
/* stream_axes.c */
stream_rule stream_softmax, stream_normalise, stream_reduce_axes, stream_arg_reduce,
    stream_rearrange, stream_reverse, stream_one_hot, stream_trilu, stream_rotary;
stream_rule stream_recur;
stream_rule stream_cumsum;
stream_rule stream_reduce; /* over the positions */
stream_rule stream_pad;
stream_rule stream_conv;
stream_rule stream_resize;
stream_rule stream_attention;

/* stream_window.c. Concat of something and the sequence, operand i, along it; a part of the sequence, found in either form where *done. */
bool stream_prepend(streamer *s, ir_node *n, uint32_t i);
bool stream_slice_joined(streamer *s, ir_node *n, bool *done);

/* stream_lengths.c: everywhere in the graph, the symbol is this. */
void graph_set_symbol(pass_ctx *ctx, ir_graph *g, const char *symbol, const ir_dim *value);

#endif
