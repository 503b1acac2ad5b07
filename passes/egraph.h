/* An e-graph: many forms of one computation at once. Values that are equal are one *class*; a node of the e-graph has classes as
 * operands, so it stands for all nodes that have any member of these as operands.
 *
 *   (x A) B  and  x (A B)          class 1: x     class 2: A     class 3: B     class 4: MatMul(1, 2)
 *                                  class 5: MatMul(4, 3), MatMul(1, 6)          class 6: MatMul(2, 3)
 *
 * Both are made of the IR's own parts. A class has an ir_value, which is the operand of the nodes that use it: its list of uses is the
 * list of these nodes. A node of the e-graph has an ir_node in a region that is in no graph. So types are inferred, constants are evaluated,
 * conditions of rules are asked and replacements are built by what does that for graphs, and when two classes become one,
 * ir_value_replace_uses makes them one to all that use them.
 *
 * egraph_classes.c: classes and nodes, merging and congruence. egraph_facts.c: what is known about a class. egraph_search.c: rules, until
 * nothing new comes or a limit is reached. egraph_cost.c, egraph_extract.c: the cheapest form. egraph_region.c: from a region and back.
 * egraph.c: the pass. */
#ifndef TLBC_PASSES_EGRAPH_H
#define TLBC_PASSES_EGRAPH_H

#include "ir/base/vec.h"
#include "passes/rule.h"

typedef struct egraph egraph;
typedef struct eclass eclass;
typedef struct enode enode;

enum { EGRAPH_OUTSIDE = 0 }; /* position of what is there before the region begins */

/* The rule that made a node, and the nodes that its pattern matched. */
typedef struct enode_origin {
    const rule *rule;
    const enode *from[RULE_NODES];
    uint32_t n;
} enode_origin;

struct enode {
    ir_node *node; /* its operands are values of classes; node->scratch points here */
    uint32_t of;   /* a class; eclass_of(g, e) is the one that stands for it now */
    uint32_t id;
    uint64_t hash;
    enode *next_in_bucket, *next_in_class;
    ir_node *original;                 /* the graph's node that it is, or NULL */
    uint32_t position;                 /* of that node in its region, from 1 */
    const struct enode_origin *origin; /* NULL: it is in the graph, or computed */
    bool gone;                         /* equal to another one that is still there */
    double cycles;                     /* of extraction: what it costs itself */
};

struct eclass {
    ir_value *value; /* value->scratch is the class's number */
    uint32_t parent; /* union-find; its own number: it stands for itself */
    enode *first, *last;
    bool constant; /* computed from constants alone, and small enough to be folded */
    ir_value *
        leaf; /* what it is in the graph, if that is no node of the e-graph: parameter, constant, result of an opaque node */
    uint32_t leaf_position;
    const rule *merged_by; /* the last rule that found two forms of it equal */
    /* Of extraction: the cheapest form and its cost as a tree; the form chosen and how often that is referred to. */
    enode *best, *chosen, *original; /* the last: the graph's first node that is of this class */
    double cost;
    uint32_t references, visit, arrivals;
    bool is_leaf;   /* needs no node: the leaf is there in time */
    ir_value *made; /* in the graph, while the chosen forms are written */
};

struct egraph {
    rule_host host; /* the first member: functions of the host get a pointer to it */
    pass_ctx *ctx;
    tl_arena *arena;
    ir_region *nowhere; /* where the nodes are */
    ir_region *region;  /* what it is about */
    TL_VEC(eclass *) classes;
    TL_VEC(enode *) nodes;
    TL_VEC(enode *) dirty; /* their operands have changed */
    enode **buckets;
    uint32_t n_buckets, n_live, n_merged;
    tl_map numbers;             /* value of the graph -> number of its class */
    uint32_t mark;              /* of the values of classes */
    const enode_origin *origin; /* of nodes that are being made */
};

void egraph_init(egraph *g, pass_ctx *ctx, ir_region *r);

/* ---- classes and nodes: egraph_classes.c ---------------------------------------------------------------------- */

/* The class that stands for this one's number now. */
eclass *eclass_find(egraph *g, uint32_t number);
eclass *eclass_of(egraph *g, const enode *e);
/* The class that has this value as operand of nodes. */
eclass *eclass_of_value(egraph *g, const ir_value *v);
/* The class of a value of the graph; where it has none it gets one, of which it is the leaf. */
eclass *eclass_of_outer(egraph *g, ir_value *v, uint32_t position);
static inline uint32_t eclass_number(const eclass *k) {
    return (uint32_t)k->value->scratch;
}
/* Enters a node of g->nowhere whose types are inferred; operands are values of classes or of the graph, which are replaced by those of
 * their classes, as its own result is. Gives the equal node that was there before, if there is one. NULL where the e-graph does not
 * take it. */
enode *egraph_add(egraph *g, ir_node *n);
/* e is this node of the graph, too: the first one counts. */
void enode_set_original(enode *e, ir_node *original, uint32_t position);
/* The enode of a node of the e-graph. */
static inline enode *enode_of(const ir_node *n) {
    return (enode *)(uintptr_t)n->scratch;
}
/* Makes the two one; false where they are already, or cannot be, their types being different. What follows from that waits for
 * egraph_rebuild. */
bool egraph_merge(egraph *g, eclass *a, eclass *b);
/* Nodes that have become equal make their classes equal, and so on; facts spread. */
void egraph_rebuild(egraph *g);

/* ---- facts: egraph_facts.c ------------------------------------------------------------------------------------ */

/* What is known of e's class from e: constants are computed, if that is little work, else only marked. True where that is news. */
bool egraph_learn(egraph *g, enode *e);
/* The class of both knows what either did. */
void egraph_join(eclass *into, const eclass *from);

/* ---- search: egraph_search.c ---------------------------------------------------------------------------------- */

typedef struct egraph_limits {
    uint32_t iterations; /* 0 = 12 */
    uint32_t nodes;      /* that rules may add; 0 = 20,000 and as many as there were */
    uint32_t matches;    /* of one rule in an iteration before it has to wait; 0 = 1,000 */
    double seconds;      /* 0 = 1.5 */
} egraph_limits;

typedef enum egraph_stop {
    EGRAPH_SATURATED,
    EGRAPH_ITERATIONS,
    EGRAPH_NODES,
    EGRAPH_TIME
} egraph_stop;

typedef struct egraph_report {
    egraph_stop stop;
    uint32_t iterations, classes, nodes, banned;
} egraph_report;

/* Applies all rules until none finds anything new, or a limit ends it. */
egraph_report egraph_saturate(egraph *g, const egraph_limits *limits);

/* ---- cost and extraction: egraph_cost.c, egraph_extract.c ------------------------------------------------------ */

/* Estimated cycles of one core for this node, from the types of its operands and result. Sizes that are not known count as 64. */
double egraph_node_cycles(ir_ctx *c, const ir_node *n);
/* To have this constant at hand: its bytes on their way from memory. */
double egraph_constant_cycles(const ir_type *t);

typedef struct egraph_choice {
    double cycles; /* cost of the form chosen: `chosen` of all classes in it say which */
    bool possible; /* it can be written: what it reads is there in time */
} egraph_choice;

/* Chooses a form of each of the roots, so that the sum over all nodes needed, each once, is small; never more than the graph's own is. */
egraph_choice egraph_extract(egraph *g, eclass *const *roots, uint32_t n);

/* ---- regions: egraph_region.c --------------------------------------------------------------------------------- */

/* Enters all nodes of the region. */
void egraph_read(egraph *g);
/* What the nodes that the e-graph takes cost as they are. Right behind egraph_read. */
double egraph_region_cycles(egraph *g);
/* The classes that somebody else reads. */
eclass **egraph_roots(egraph *g, uint32_t *count);
/* Replaces the region's nodes by the form chosen. */
void egraph_write(egraph *g);
/* Whether the e-graph takes this node: pure, one result, no regions, types known. */
bool egraph_takes(const ir_node *n);

#endif
