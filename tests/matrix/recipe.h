/* How a node of an operator looks, without its types: a line of tests/matrix/<family>.txt, from which matrix.c makes a model for each of them.
 *
 *     # operator, first version it holds for, operands          | attributes       | options
 *     Add         1   [n,3] [n,3]
 *     Conv        1   [n,2,h,5] [4,2,3,3] [4]                    | pads=[1,1,1,1]   |
 *     Cast        9   [n,3]:0~4                                 | to=$T2           |
 *     Clip        12  [n,3] (-1) _                               |                  | T=f32,f64
 *     com.microsoft:Gelu 1 T[n,3]                                |                  | T=f32,f16
 *
 * Operands: [n,3] an input of this shape, single letters are sizes; {1,2} and (1) a constant list and scalar; _ one that is left out;
 * seq[2,3], opt[2,3], optseq[2,3] lists and optionals. The element type is the slot's type variable, or the one before the bracket (i64[3],
 * T[3]). :0~4 behind it are the least and the largest number.
 *
 * Attributes: 3, 0.5, [1,2], "text", $T2 (the number of the type that T2 stands for), tensor (one element of type T2, tensor:T2), graphs as
 * one_node_graph() reads them.
 *
 * Options: T=f32,f64 these types alone; T=-str all but this; T==T2 the same as T2; ulp=64; random: only types and shapes are compared;
 * static: no symbols, and why is said beside it; outputs=2. */
#ifndef TLBC_TESTS_MATRIX_RECIPE_H
#define TLBC_TESTS_MATRIX_RECIPE_H

#include "ir/schema.h"
#include "ir/type.h"

#include <stdbool.h>

enum {
    RECIPE_OPERANDS = 32,
    RECIPE_ATTRS = 24,
    RECIPE_OPTIONS = 16,
    RECIPE_RANK = 8,
    RECIPE_LIST = 64
};

typedef enum recipe_kind {
    KIND_TENSOR,
    KIND_SEQUENCE,
    KIND_OPTIONAL,
    KIND_OPTIONAL_SEQUENCE,
    KIND_COUNT
} recipe_kind;

typedef struct recipe_operand {
    bool omitted, constant, scalar;
    recipe_kind kind;
    const char *type;              /* of the type or variable; NULL: the slot says it */
    const char *dims[RECIPE_RANK]; /* inputs */
    int32_t rank;
    double values[RECIPE_LIST]; /* constants */
    uint32_t n_values;
    bool has_range;
    double lo, hi;
} recipe_operand;

/* `text` before and behind the first "=". */
typedef struct recipe_pair {
    const char *name, *text;
} recipe_pair;

typedef struct recipe {
    const char *line; /* as it stands in the file, for messages */
    const char *domain, *op;
    int from;
    recipe_operand operands[RECIPE_OPERANDS];
    recipe_pair attrs[RECIPE_ATTRS], options[RECIPE_OPTIONS];
    uint32_t n_operands, n_attrs, n_options;
} recipe;

/* false, with a message on stderr, where the line cannot be read. Texts live in the arena. */
bool recipe_parse(tl_arena *a, const char *line, recipe *r);
/* The text behind NAME=, or NULL; "" for an option without "=". */
const char *recipe_option(const recipe *r, const char *name);
/* The types that the recipe lets this variable have, out of those allowed. */
uint32_t recipe_types(const recipe *r, const char *variable, uint32_t allowed);

#endif
