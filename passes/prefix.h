/* Masks that show the first rows of many: a table 0, 1, 2... compared with a number that the run knows.
 *
 *   %real = LessOrEqual(@iota, %count)                        // bool[200]: rows 0 ... count
 *   Cast(Unsqueeze(%real, 1)), Not(Greater(@iota, %count))    // the same in other clothes
 *
 * prefix_find says what the rows end at; prefix_length builds the number of rows as the contents of a shape, so that all Slices that end
 * there have the same symbolic size, min(k, 200). */
#ifndef TLBC_PASSES_PREFIX_H
#define TLBC_PASSES_PREFIX_H

#include "passes/util.h"

typedef struct prefix {
    ir_value *table;   /* the constant 0 ... rows - 1 */
    ir_value *end;     /* one integer: the first row that is hidden, or the last that is shown */
    bool is_last;      /* the latter */
    bool is_negated;   /* the mask is true for the rows behind, false for the first */
    int64_t rows;      /* of the table */
    int32_t from_back; /* the mask's axis that is neither 1 nor left out: 1 is the last one */
} prefix;

/* mask is boolean, or a number made of a boolean: one thing for the first rows, another for all behind. */
bool prefix_find(ir_value *mask, prefix *p);
/* How many rows are shown, i64[1]. The symbol it holds is named after `name`, unique in the graph. */
ir_value *prefix_length(ir_builder *b, const prefix *p, const char *name);
/* length was made by prefix_length for the same rows. */
bool prefix_is_length(const ir_value *length, const prefix *p);

#endif
