/* A recipe with a type for each variable: the model as a file, and data for its inputs. */
#ifndef TLBC_TESTS_MATRIX_INSTANCE_H
#define TLBC_TESTS_MATRIX_INSTANCE_H

#include "ir/eval.h"
#include "tests/matrix/recipe.h"

enum { INSTANCE_VARIABLES = 64 };

typedef struct variable {
    const char *name;
    uint32_t types;   /* that it is tried with */
    recipe_kind kind; /* of the operand that has it */
    ir_dtype type;    /* that it has now */
} variable;

typedef struct instance {
    const recipe *recipe;
    const ir_schema
        *schema; /* the version in question; NULL where there is no table for the domain */
    variable variables[INSTANCE_VARIABLES];
    uint32_t n_variables;
} instance;

/* Sizes of the letters in shapes. */
typedef struct sizes {
    int64_t of[26];
} sizes;

/* All variables of the operands and of "$T" attributes, each with the types it may have and the most usual of them chosen. */
void instance_init(instance *k, const recipe *r, const ir_schema *s);
/* Gives variable i this type, and those tied to it. */
void instance_choose(instance *k, uint32_t i, ir_dtype t);
/* The model; NULL sizes: letters are symbols. */
tl_sv instance_model(const instance *k, ir_ctx *c, tl_arena *a, const sizes *s);
/* Data for the model's inputs, in order; the number of them. */
uint32_t instance_data(const instance *k, ir_ctx *c, tl_arena *a, const sizes *s, ir_datum *out);
/* Letters that occur in shapes, as a mask. */
uint32_t instance_letters(const recipe *r);

#endif
