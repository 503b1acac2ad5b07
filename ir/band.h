/* Which keys a query of LocalAttention sees, as the operator's attributes say it; shared by inference, evaluator, passes and code.
 *
 *   LocalAttention<before=3, after=0>                 the last 4 positions, its own included
 *   LocalAttention<chunk=8, is_causal=1>              its chunk of 8 up to itself
 *   LocalAttention<chunk=8, chunks_before=2>          its chunk and the two in front of it
 *   LocalAttention<before=3, prefix=2, is_causal=1>   the first 2 positions and the last 4
 *
 * A query at position p (the number of a key) sees key j where
 *   (j < prefix  or  p - before <= j <= p + after  and  p/chunk - chunks_before <= j/chunk <= p/chunk)  and  (j <= p  or not is_causal) */
#ifndef TLBC_IR_BAND_H
#define TLBC_IR_BAND_H

#include "ir/ir.h"

enum { IR_BAND_ALL = -1 }; /* no limit */

typedef struct ir_band {
    int64_t before, after; /* positions, IR_BAND_ALL = all there are */
    int64_t chunk;         /* 0 = no chunks */
    int64_t chunks_before; /* with a chunk: in front of the query's own, IR_BAND_ALL = all */
    int64_t prefix;        /* the first so many keys are seen by all */
    bool causal;           /* no key behind the query, of the prefix neither */
} ir_band;

enum { IR_BAND_ATTRS = 6 };

/* The attributes of a LocalAttention; is_causal alone of an Attention. */
ir_band ir_band_of(const ir_node *n);
/* The same as attributes; their number. */
uint32_t ir_band_attrs(const ir_band *b, ir_attr out[IR_BAND_ATTRS]);
/* NULL, or what is wrong with it. */
const char *ir_band_problem(const ir_band *b);
/* The keys around position p, without the prefix: [lo, hi), where there are n in all. */
void ir_band_range(const ir_band *b, int64_t p, int64_t n, int64_t *lo, int64_t *hi);
bool ir_band_sees(const ir_band *b, int64_t p, int64_t j);
/* At most so many keys are seen by `queries` neighbours, of n. */
int64_t ir_band_span(const ir_band *b, int64_t queries, int64_t n);

#endif
