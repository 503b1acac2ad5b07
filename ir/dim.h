/* Symbolic dimensions: an algebra over integers whose values are known only at run time.
 *
 * A dimension is a polynomial with integer coefficients over atoms; an atom is a symbol ("batch") or an operation that does
 * not distribute: floor division, ceiling division, max, min. The remainder a%b is a - b*(a/b). Everything is interned in
 * canonical form, so that
 * equality is pointer equality:
 *     2*s1 + s1          -> 3*s1                  (a+b)*c            -> a*c + b*c
 *     (4*s)/4            -> s                     max(s, s)          -> s
 * Symbols are positive or zero (sizes); floor and ceiling division have divisors > 0 where they occur in shapes.
 * Text: "3", "batch", "2*s1 + 1", "4*(time/4)", "ceil(time/4)", "max(a, b)", "min(a, b)"; "time%4" is read too.
 * "/" is floor division. Names that are not identifiers are quoted: "\"seq-len\" + 1". Arithmetic that overflows int64, divides by
 * zero or grows beyond IR_MAX_DIM_TERMS or IR_MAX_DIM_SIZE yields the unknown dimension "?". */
#ifndef TLBC_IR_DIM_H
#define TLBC_IR_DIM_H

#include "ir/base/str.h"

typedef struct ir_ctx ir_ctx;
typedef struct ir_dim ir_dim;

typedef enum ir_dim_op { DIM_SYMBOL, DIM_FLOORDIV, DIM_CEILDIV, DIM_MAX, DIM_MIN } ir_dim_op;

const ir_dim *ir_dim_const(ir_ctx *c, int64_t value);
const ir_dim *ir_dim_symbol(ir_ctx *c, const char *name); /* interned by name */
/* A symbol whose value runs from 0 to `last` (NULL = no upper limit): the counter of a loop. Where the name is taken by a
 * counter with another limit, one like it is made. */
const ir_dim *ir_dim_counter(ir_ctx *c, const char *name, const ir_dim *last);
/* A symbol that is never above `max`, which its name must say: it is a promise about every use of the name. */
const ir_dim *ir_dim_bounded(ir_ctx *c, const char *name, int64_t max);
/* The symbol is what this expression over counters is, wherever these have values; types have the symbol. NULL: nothing is known. */
void ir_dim_stands_for(const ir_dim *symbol, const ir_dim *expression);
const ir_dim *ir_dim_meaning(const ir_dim *symbol);
const ir_dim *ir_dim_unknown(ir_ctx *c); /* "?": equal to nothing, not even itself */
const ir_dim *ir_dim_add(ir_ctx *c, const ir_dim *a, const ir_dim *b);
const ir_dim *ir_dim_sub(ir_ctx *c, const ir_dim *a, const ir_dim *b);
const ir_dim *ir_dim_mul(ir_ctx *c, const ir_dim *a, const ir_dim *b);
const ir_dim *ir_dim_floordiv(ir_ctx *c, const ir_dim *a,
                              const ir_dim *b); /* rounds toward minus infinity */
const ir_dim *ir_dim_ceildiv(ir_ctx *c, const ir_dim *a, const ir_dim *b);
const ir_dim *ir_dim_mod(ir_ctx *c, const ir_dim *a, const ir_dim *b); /* a - floordiv(a,b)*b */
const ir_dim *ir_dim_max(ir_ctx *c, const ir_dim *a, const ir_dim *b);
const ir_dim *ir_dim_min(ir_ctx *c, const ir_dim *a, const ir_dim *b);

bool ir_dim_is_const(const ir_dim *d, int64_t *value); /* value may be NULL */
bool ir_dim_is(const ir_dim *d, int64_t value);
bool ir_dim_is_symbol(const ir_dim *d); /* exactly one symbol; its name: ir_dim_symbol_name */
const char *ir_dim_symbol_name(const ir_dim *d);
bool ir_dim_is_unknown(const ir_dim *d);
bool ir_dim_has_counter(const ir_dim *d); /* mentions one */
bool ir_dim_equal(const ir_dim *a,
                  const ir_dim *b); /* provably equal for all values of the symbols */
/* a/b where it is exact for all values (4*s / s, (2*s+4)/2), else NULL. */
const ir_dim *ir_dim_div_exact(ir_ctx *c, const ir_dim *a, const ir_dim *b);
/* Lower bound, given that symbols are >= 0 (>= 1 is not assumed). INT64_MIN where nothing is known. */
int64_t ir_dim_lower_bound(const ir_dim *d);
int64_t ir_dim_upper_bound(const ir_dim *d); /* INT64_MAX where nothing is known */
/* a is not below 0 where b is 1 or more, as a divisor has to be: (7*n - 1)/n. */
bool ir_dim_quotient_positive(const ir_dim *a, const ir_dim *b);

/* Replaces symbols: the callback gives a symbol's replacement or NULL to keep it. */
typedef const ir_dim *ir_dim_subst_fn(void *data, const char *symbol);
const ir_dim *ir_dim_substitute(ir_ctx *c, const ir_dim *d, ir_dim_subst_fn *fn, void *data);
/* Value under an assignment; false where the callback does not know a symbol, on overflow or division by zero. */
typedef bool ir_dim_lookup_fn(void *data, const char *symbol, int64_t *value);
bool ir_dim_eval(const ir_dim *d, ir_dim_lookup_fn *fn, void *data, int64_t *value);
void ir_dim_each_symbol(const ir_dim *d, void (*fn)(void *data, const char *symbol), void *data);

/* The inside view, for code that emits the expression: a sum of terms, each coef * product of atoms. */
typedef struct ir_dim_atom {
    ir_dim_op op;
    const char *symbol; /* DIM_SYMBOL */
    const ir_dim *a,
        *b;           /* the other ops; symbols: a = 0 for counters, b = the upper bound or NULL */
    const ir_dim *is; /* symbols: see ir_dim_stands_for */
    uint32_t id;
} ir_dim_atom;
typedef struct ir_dim_term {
    int64_t coef;
    uint32_t n_atoms;
    const ir_dim_atom *const *atoms; /* sorted, with repetition for powers */
} ir_dim_term;
struct ir_dim {
    bool unknown;
    uint32_t n_terms;         /* 0 = the constant 0 */
    const ir_dim_term *terms; /* sorted: higher degree first, the constant last */
    uint32_t size; /* nodes of the expression tree, which may share: what printing costs */
    uint32_t id;
};

void ir_dim_print(const ir_dim *d, tl_str *out);
/* Reads one expression from text[0..len); NULL on a syntax error. Accepts what exporters write in dim_param as well
 * (Python spelling: "s0 + 1", "2*s1", "s0//4", "Max(1, s0)", "floor(s0/4)"). */
const ir_dim *ir_dim_parse(ir_ctx *c, const char *text, size_t len);

#endif
