/* The parts of the pass `stream`: stream.c (options, the walk over the graph, states), stream_rules.c (what each operator does to a value
 * of which a step has a part), stream_recur.c (recurrences), stream_window.c (running sums, causal convolutions), stream_attention.c.
 *
 * Every value is one of four kinds. A value of kind PART has along one axis what belongs to the sequence; a step has `step` elements of it.
 * The axis may be several blocks of that, one behind the other (`outer`), as where a batch was folded into it: f32[2*T/4,4,d]. */
#ifndef TLBC_PASSES_STREAM_H
#define TLBC_PASSES_STREAM_H

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
        tail; /* PART: so many elements, all `pad`, stand in front of the first position, behind the last one */
    ir_value *pad; /* NULL = 0 */
} stream_value;

typedef struct streamer {
    pass_ctx *ctx;
    ir_graph *g;
    const char *input;    /* for messages */
    int64_t chunk;        /* positions in a step */
    const ir_dim *length; /* of the whole sequence */
    uint32_t mark;        /* of values that have a stream_value in scratch; all others are FIXED */
    ir_value *position;   /* state: positions in all steps before; NULL until it is asked for */
    uint32_t position_state;
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
/* The constant or fixed value v, which along `axis` has as many elements as the sequence: those of this step. */
ir_value *stream_take(streamer *s, ir_builder *b, ir_value *v, int32_t axis, int64_t step);
/* How many elements, `step` a step, came before this step: i64 scalar. */
ir_value *stream_base(streamer *s, ir_builder *b, int64_t step);
/* Whether d depends on a symbolic length; its value for the length of a step, -1 where that is no constant. */
bool stream_has_length(streamer *s, const ir_dim *d);
int64_t stream_step_of(streamer *s, const ir_dim *d);
/* A new state that begins with `initial`, any fixed value; its parameter, or what the first step reads instead. *index is for
 * ir_graph_set_next. */
ir_value *stream_state(streamer *s, ir_node *n, const char *what, ir_value *initial,
                       const ir_type *type, uint32_t *index);
/* The type with n elements along the axis. */
const ir_type *stream_part_type(streamer *s, const ir_type *t, int32_t axis, int64_t n);
/* A state of `before` elements in front of x, along the axis of its positions. */
stream_joined stream_join(streamer *s, ir_node *n, ir_value *x, const char *what, ir_value *initial,
                          int64_t before);
ir_value *stream_slice(ir_builder *b, ir_value *x, int32_t axis, int64_t from, int64_t to);
/* The node goes; its readers read `with`. */
void stream_replace(streamer *s, ir_node *n, ir_value *with, stream_value info);

/* ---- rules ------------------------------------------------------------------------------------------------------ */
/* stream_rules.c: NULL where the operator has none. */
stream_rule *stream_rule_of(op_id op);
stream_rule stream_recur;
stream_rule stream_cumsum;
stream_rule stream_reduce; /* over the positions */
stream_rule stream_pad;
stream_rule stream_conv;
stream_rule stream_resize;
stream_rule stream_attention;

/* stream_lengths.c: everywhere in the graph, the symbol is this. */
void graph_set_symbol(pass_ctx *ctx, ir_graph *g, const char *symbol, const ir_dim *value);

#endif
