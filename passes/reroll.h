/* The parts of pass reroll. Each looks at one region; its nodes are numbered in order.
 *
 *   reroll_match.c    which node of the next step is the same as this one: the links `next`
 *   reroll_plan.c     orbits (a node in all steps), the range of steps, what every operand is: the proof
 *   reroll_inputs.c   what a step reads of its own: slices of one tensor, stacked constants
 *   reroll_build.c    the Recur, and what reads its results
 *   reroll.c          which chains there are, and which pays most
 *
 * Words: a *step* is one copy of the repeated part. An *orbit* is one node through all steps, X[0], X[1], ...; the member X[i] belongs
 * to step i + X.offset. An *anchor* is a node whose copies depend on each other: it tells the steps apart. */
#ifndef TLBC_PASSES_REROLL_H
#define TLBC_PASSES_REROLL_H

#include "ir/base/vec.h"
#include "passes/pass.h"

enum { REROLL_NONE = UINT32_MAX };

typedef struct reroll_node {
    ir_node *node;
    uint64_t kind;   /* hash of operator, attributes, types: equal for copies */
    uint64_t colour; /* of the kind and the constants: equal for copies that share their weights */
    uint32_t next, previous; /* the same node in the next and the previous step */
    bool swapped;            /* operands 0 and 1 are next's 1 and 0 */
    bool fits;               /* may be part of a step */
    bool constant;           /* computed from constants alone: left for folding */
    uint32_t level, chain;   /* anchors passed on the way here, and the first of them */
    uint32_t orbit, rank;    /* where it stands */
} reroll_node;

typedef struct reroll {
    pass_ctx *ctx;
    ir_region *region;
    reroll_node *nodes;
    uint32_t n;
} reroll;

/* ---- reroll_match.c ------------------------------------------------------------------------------------------ */

/* Numbers the nodes of the region and computes what no chain changes. */
void reroll_number(reroll *s, pass_ctx *ctx, ir_region *region);
/* Number of the node of this region that makes v, or REROLL_NONE. */
uint32_t reroll_find(const reroll *s, const ir_value *v);
/* Links the copies of nodes, from the copies of one anchor (all nodes of this colour). false where these do not depend on each other. */
bool reroll_link(reroll *s, uint64_t anchor);
/* Operand p of n may be another value in each step: nothing about types depends on its content. */
bool reroll_is_data(const ir_node *n, uint32_t p);

/* ---- reroll_plan.c ------------------------------------------------------------------------------------------- */

/* What the steps read as one operand. */
typedef enum reroll_source {
    REROLL_OMITTED,
    REROLL_SAME,    /* one value, in all steps */
    REROLL_STEP,    /* a result of another orbit, of the same step */
    REROLL_CARRIED, /* a result of another orbit, of the step before; the first step reads `value` */
    REROLL_SLICED   /* an outside value of its own in each step: inputs[index] */
} reroll_source;

typedef struct reroll_operand {
    reroll_source source;
    ir_value *value;
    uint32_t orbit, result; /* STEP, CARRIED */
    uint32_t index;         /* CARRIED: into carries; SLICED: into inputs */
} reroll_operand;

typedef struct reroll_orbit {
    uint32_t first, length; /* the node numbered so is rank 0 */
    uint32_t offset;        /* step of rank 0 */
    uint32_t group;         /* orbits connected with each other */
    uint32_t *members;      /* numbers of the nodes */
    bool *swapped;          /* operands 0 and 1 exchanged against the first member's */
    double cost;            /* of one member */
    bool inside;            /* part of the plan's body */
    reroll_operand *in;     /* of an orbit inside */
} reroll_orbit;

typedef struct reroll_carry {
    uint32_t orbit, result;
    ir_value *initial;
} reroll_carry;

/* One value a step, from the plan's first to its last. */
typedef struct reroll_input {
    ir_value **values;
} reroll_input;

typedef struct reroll_plan {
    reroll *s;
    reroll_orbit *orbits;
    uint32_t n_orbits;
    uint32_t group;       /* of the orbits inside */
    uint32_t first, last; /* steps */
    TL_VEC(reroll_carry) carries;
    TL_VEC(reroll_input) inputs;
    bool *depends;     /* by node: outside of the steps and computed from them */
    uint32_t n_inside; /* nodes of one step */
    double gain;       /* cost of what is rolled, less that of what is computed for nobody */
    const char *why;   /* what spoiled it; for remarks */
} reroll_plan;

/* Steps first..last of the plan. */
static inline uint32_t reroll_rounds(const reroll_plan *p) {
    return p->last - p->first + 1;
}
/* The member of the orbit in this step, or NULL. */
ir_node *reroll_member(const reroll_plan *p, const reroll_orbit *x, uint32_t step);
/* The orbit inside the plan whose member, in one of its steps, is n; else NULL. */
reroll_orbit *reroll_orbit_of(const reroll_plan *p, const ir_node *n);
/* The best plan for the links made last; false where no chain of steps is proved to be equal. */
bool reroll_make_plan(reroll *s, reroll_plan *p);

/* ---- reroll_inputs.c, reroll_build.c --------------------------------------------------------------------------- */

typedef struct reroll_slices {
    ir_value *value; /* sliced along the axis */
    int64_t axis;
    bool reverse;
    const char *how; /* for remarks */
} reroll_slices;

/* Builds the tensor whose slices are the values. */
reroll_slices reroll_slice(ir_builder *b, const reroll_plan *p, const reroll_input *in);
void reroll_build(const reroll_plan *p);

#endif
