/* Text of dimension expressions, read back by dim_parse.c into the same pointer.
 *
 * Inside ceil(...) "/" means the exact quotient, so floor division is spelled "//" there. */
#include "ir/base/assert.h"
#include "ir/dim_internal.h"

#include <ctype.h>
#include <inttypes.h>

typedef struct printer {
    tl_str *out;
    bool exact; /* inside ceil(...) */
} printer;

static void print_dim(printer p, const ir_dim *d);

static bool is_plain_name(const char *s) {
    if (!isalpha((unsigned char)*s) && *s != '_') return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '_' && *s != '.') return false;
    return true;
}

static void print_symbol(tl_str *out, const char *s) {
    if (is_plain_name(s)) {
        tl_str_puts(out, s);
        return;
    }
    tl_str_putc(out, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            tl_str_printf(out, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            tl_str_printf(out, "\\x%02x", (unsigned)(unsigned char)*s);
        else
            tl_str_putc(out, *s);
    }
    tl_str_putc(out, '"');
}

/* An operand of a division: bare where it is one token or a call. */
static void print_operand(printer p, const ir_dim *d) {
    const ir_dim_atom *a = dim_single_atom(d);
    int64_t k;
    bool bare = a ? a->op != DIM_FLOORDIV : ir_dim_is_const(d, &k) && k >= 0;
    if (!bare) tl_str_putc(p.out, '(');
    print_dim(p, d);
    if (!bare) tl_str_putc(p.out, ')');
}

static void print_ceil(printer p, const ir_dim_atom *a) {
    p.exact = true;
    tl_str_puts(p.out, "ceil(");
    print_operand(p, a->a);
    tl_str_putc(p.out, '/');
    print_operand(p, a->b);
    tl_str_putc(p.out, ')');
}

static void print_call(printer p, const char *name, const ir_dim_atom *a) {
    tl_str_printf(p.out, "%s(", name);
    print_dim(p, a->a);
    tl_str_puts(p.out, ", ");
    print_dim(p, a->b);
    tl_str_putc(p.out, ')');
}

static void print_infix(printer p, const char *operator, const ir_dim_atom * a) {
    print_operand(p, a->a);
    tl_str_puts(p.out, operator);
    print_operand(p, a->b);
}

static void print_atom(printer p, const ir_dim_atom *a, bool alone) {
    bool infix = a->op == DIM_FLOORDIV;
    if (infix && !alone) tl_str_putc(p.out, '(');
    switch (a->op) {
    case DIM_SYMBOL:
        print_symbol(p.out, a->symbol);
        break;
    case DIM_FLOORDIV:
        print_infix(p, p.exact ? "//" : "/", a);
        break;
    case DIM_CEILDIV:
        print_ceil(p, a);
        break;
    case DIM_MAX:
        print_call(p, "max", a);
        break;
    case DIM_MIN:
        print_call(p, "min", a);
        break;
    default:
        TL_UNREACHABLE();
    }
    if (infix && !alone) tl_str_putc(p.out, ')');
}

/* The sign stands before; printed here is |coef| * atoms. */
static void print_term(printer p, const ir_dim_term *t) {
    uint64_t coef = t->coef < 0 ? 0 - (uint64_t)t->coef : (uint64_t)t->coef;
    if (coef != 1 || t->n_atoms == 0) tl_str_printf(p.out, "%" PRIu64, coef);
    for (uint32_t i = 0; i < t->n_atoms; i++) {
        if (i || coef != 1) tl_str_putc(p.out, '*');
        print_atom(p, t->atoms[i], t->n_atoms == 1 && t->coef == 1);
    }
}

static void print_dim(printer p, const ir_dim *d) {
    if (d->unknown)
        tl_str_putc(p.out, '?');
    else if (d->n_terms == 0)
        tl_str_putc(p.out, '0');
    for (uint32_t i = 0; i < d->n_terms; i++) {
        bool negative = d->terms[i].coef < 0;
        if (i)
            tl_str_puts(p.out, negative ? " - " : " + ");
        else if (negative)
            tl_str_putc(p.out, '-');
        print_term(p, &d->terms[i]);
    }
}

void ir_dim_print(const ir_dim *d, tl_str *out) {
    print_dim((printer){out, false}, d);
}
