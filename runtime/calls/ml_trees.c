/* Trees of ai.onnx.ml: TreeEnsemble, and the older classifier and regressor. All become one form: arrays of nodes whose branches are
 * numbers of nodes, with a list of votes at each leaf.
 *
 * A walk ends after as many steps as there are nodes: a file whose branches run in a circle is an error, not an endless loop. */
#include "runtime/calls/ml_scores.h"

#include <math.h>
#include <string.h>

typedef enum rt_mode { RT_LEQ, RT_LT, RT_GTE, RT_GT, RT_EQ, RT_NEQ, RT_MEMBER, RT_LEAF } rt_mode;

typedef struct rt_node {
    uint8_t mode;
    bool missing_is_true;
    int64_t feature, yes, no; /* branches: node numbers; of a leaf: votes [yes, no) */
    double value;             /* RT_MEMBER: where its members begin among `members` */
} rt_node;

typedef struct rt_vote {
    int64_t target;
    double weight;
} rt_vote;

typedef struct rt_forest {
    rt_node *nodes;
    int64_t n_nodes, *roots, n_roots;
    rt_vote *votes;
    const tlbc_tensor *members;
} rt_forest;

typedef enum rt_aggregate { RT_AVERAGE, RT_SUM, RT_MIN, RT_MAX } rt_aggregate;

/* ---- walking ---------------------------------------------------------------------------------------------------------- */

static bool rt_is_member(const rt_forest *f, const rt_node *n, double x) {
    for (int64_t i = (int64_t)n->value; i < tlbc_rt_elements(f->members); i++) {
        double v = tlbc_rt_get_f64(f->members, i);
        if (isnan(v)) return false;
        if (v == x) return true;
    }
    return false;
}

static bool rt_takes_yes(const rt_forest *f, const rt_node *n, double x) {
    if (isnan(x) && n->missing_is_true) return true;
    switch ((rt_mode)n->mode) {
    case RT_LEQ:
        return x <= n->value;
    case RT_LT:
        return x < n->value;
    case RT_GTE:
        return x >= n->value;
    case RT_GT:
        return x > n->value;
    case RT_EQ:
        return x == n->value;
    case RT_NEQ:
        return x != n->value;
    case RT_MEMBER:
        return rt_is_member(f, n, x);
    case RT_LEAF:
        break;
    }
    return false;
}

/* The leaf that a row of x ends in; NULL where the tree has none. */
static const rt_node *rt_walk(const rt_forest *f, int64_t root, const tlbc_tensor *x, int64_t row,
                              int64_t columns) {
    int64_t at = root;
    for (int64_t steps = 0; steps <= f->n_nodes; steps++) {
        if (at < 0 || at >= f->n_nodes) return NULL;
        const rt_node *n = &f->nodes[at];
        if (n->mode == RT_LEAF) return n;
        if (n->feature < 0 || n->feature >= columns) return NULL;
        at = rt_takes_yes(f, n, tlbc_rt_get_f64(x, row * columns + n->feature)) ? n->yes : n->no;
    }
    return NULL;
}

/* The targets' scores of one row; touched[] tells which ones a tree voted for. */
static bool rt_score(tlbc_rt_call *c, const rt_forest *f, const tlbc_tensor *x, int64_t row,
                     rt_aggregate how, double *scores, bool *touched, int64_t n) {
    int64_t columns = tlbc_rt_columns(x);
    for (int64_t i = 0; i < n; i++)
        scores[i] = 0, touched[i] = false;
    for (int64_t t = 0; t < f->n_roots; t++) {
        const rt_node *leaf = rt_walk(f, f->roots[t], x, row, columns);
        if (!leaf) return tlbc_rt_call_fail(c, "tree %lld leads nowhere", (long long)t);
        for (int64_t v = leaf->yes; v < leaf->no; v++) {
            int64_t k = f->votes[v].target;
            double w = f->votes[v].weight;
            if (k < 0 || k >= n)
                return tlbc_rt_call_fail(c, "target %lld of %lld", (long long)k, (long long)n);
            bool replaces = !touched[k] || (how == RT_MIN ? w < scores[k] : w > scores[k]);
            if (how == RT_SUM || how == RT_AVERAGE)
                scores[k] += how == RT_SUM ? w : w / (double)f->n_roots;
            else if (replaces)
                scores[k] = w;
            touched[k] = true;
        }
    }
    return true;
}

/* ---- TreeEnsemble --------------------------------------------------------------------------------------------------------- */

typedef struct rt_arrays {
    const int64_t *feature, *yes, *no, *yes_leaf, *no_leaf, *missing, *targets;
    const tlbc_tensor *modes, *splits, *weights;
} rt_arrays;

static bool rt_read_arrays(tlbc_rt_call *c, rt_arrays *a, uint32_t *n, uint32_t *n_leaves) {
    uint32_t m[6];
    a->feature = tlbc_rt_ints(c, "nodes_featureids", n);
    a->yes = tlbc_rt_ints(c, "nodes_truenodeids", &m[0]);
    a->no = tlbc_rt_ints(c, "nodes_falsenodeids", &m[1]);
    a->yes_leaf = tlbc_rt_ints(c, "nodes_trueleafs", &m[2]);
    a->no_leaf = tlbc_rt_ints(c, "nodes_falseleafs", &m[3]);
    a->missing = tlbc_rt_ints(c, "nodes_missing_value_tracks_true", &m[4]);
    a->targets = tlbc_rt_ints(c, "leaf_targetids", n_leaves);
    a->modes = tlbc_rt_tensor(c, "nodes_modes");
    a->splits = tlbc_rt_tensor(c, "nodes_splits");
    a->weights = tlbc_rt_tensor(c, "leaf_weights");
    bool fits = a->modes && a->splits && a->weights && tlbc_rt_elements(a->modes) == *n &&
                tlbc_rt_elements(a->splits) == *n && tlbc_rt_elements(a->weights) == *n_leaves;
    for (unsigned i = 0; i < 4; i++)
        fits = fits && m[i] == *n;
    if (a->missing && m[4] != *n) fits = false;
    return fits || tlbc_rt_call_fail(c, "attributes of nodes or leaves are not of one length");
}

static bool rt_branch(int64_t to, bool leaf, uint32_t n, uint32_t leaves, int64_t *branch) {
    if (to < 0 || to >= (leaf ? leaves : n)) return false;
    *branch = leaf ? n + to : to;
    return true;
}

/* Inner nodes come first, then a node for each leaf. */
static bool rt_build_forest(tlbc_rt_call *c, rt_forest *f) {
    rt_arrays a;
    uint32_t n, leaves, roots;
    if (!rt_read_arrays(c, &a, &n, &leaves)) return false;
    f->roots = (int64_t *)(uintptr_t)tlbc_rt_ints(c, "tree_roots", &roots);
    f->n_roots = roots;
    f->n_nodes = (int64_t)n + leaves;
    f->nodes = tlbc_rt_alloc(c, (size_t)f->n_nodes, sizeof *f->nodes);
    f->votes = tlbc_rt_alloc(c, leaves, sizeof *f->votes);
    f->members = tlbc_rt_tensor(c, "membership_values");
    if (!f->nodes || !f->votes) return false;
    int64_t member = 0;
    for (uint32_t i = 0; i < n; i++) {
        rt_node *node = &f->nodes[i];
        *node = (rt_node){.mode = (uint8_t)tlbc_rt_get_i64(a.modes, i), .feature = a.feature[i]};
        if (node->mode >= RT_LEAF || (node->mode == RT_MEMBER && !f->members))
            return tlbc_rt_call_fail(c, "mode %u of node %u", node->mode, i);
        node->missing_is_true = a.missing && a.missing[i];
        if (!rt_branch(a.yes[i], a.yes_leaf[i] != 0, n, leaves, &node->yes) ||
            !rt_branch(a.no[i], a.no_leaf[i] != 0, n, leaves, &node->no))
            return tlbc_rt_call_fail(c, "a branch of node %u leads nowhere", i);
        node->value = tlbc_rt_get_f64(a.splits, i);
        if (node->mode != RT_MEMBER) continue;
        node->value = (double)member;
        while (member < tlbc_rt_elements(f->members) && !isnan(tlbc_rt_get_f64(f->members, member)))
            member++;
        member++;
    }
    for (uint32_t i = 0; i < leaves; i++) {
        f->votes[i] = (rt_vote){a.targets[i], tlbc_rt_get_f64(a.weights, i)};
        f->nodes[n + i] = (rt_node){.mode = RT_LEAF, .yes = i, .no = i + 1};
    }
    return true;
}

bool tlbc_rt_op_TreeEnsemble(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    rt_forest f = {0};
    int64_t rows = tlbc_rt_rows(x), targets = tlbc_rt_int(c, "n_targets", 1);
    int64_t how = tlbc_rt_int(c, "aggregate_function", RT_SUM),
            after = tlbc_rt_int(c, "post_transform", 0);
    if (targets < 1 || how < 0 || how > RT_MAX || after < 0 || after > TLBC_RT_PROBIT)
        return tlbc_rt_call_fail(c, "attributes out of range");
    if (!rt_build_forest(c, &f)) return false;
    tlbc_tensor *y = tlbc_rt_result(c, 0, x->dtype, 2, (int64_t[]){rows, targets});
    double *scores = tlbc_rt_alloc(c, (size_t)targets, sizeof *scores);
    bool *touched = tlbc_rt_alloc(c, (size_t)targets, sizeof *touched);
    if (!y || !scores || !touched) return false;
    for (int64_t r = 0; r < rows; r++) {
        if (!rt_score(c, &f, x, r, (rt_aggregate)how, scores, touched, targets)) return false;
        tlbc_rt_apply((tlbc_rt_transform)after, scores, targets);
        for (int64_t k = 0; k < targets; k++)
            tlbc_rt_set_f64(y, r * targets + k, scores[k]);
    }
    return true;
}

/* ---- the older two ----------------------------------------------------------------------------------------------------------- */

/* A list of floats, or of doubles as a tensor. */
typedef struct rt_reals {
    const float *floats;
    const tlbc_tensor *tensor;
    uint32_t n;
} rt_reals;

static rt_reals rt_read_reals(const tlbc_rt_call *c, const char *name, const char *as_tensor) {
    rt_reals r = {.tensor = tlbc_rt_tensor(c, as_tensor)};
    r.floats = tlbc_rt_floats(c, name, &r.n);
    if (r.tensor) r.n = (uint32_t)tlbc_rt_elements(r.tensor);
    return r;
}

static double rt_real(const rt_reals *r, uint32_t i) {
    return r->tensor ? tlbc_rt_get_f64(r->tensor, i) : (double)r->floats[i];
}

static uint8_t rt_mode_of(tlbc_string s) {
    static const char *const names[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE",
                                        "BRANCH_GT",  "BRANCH_EQ", "BRANCH_NEQ"};
    for (uint8_t i = 0; i < 6; i++)
        if (tlbc_rt_string_equal(s, (tlbc_string){names[i], strlen(names[i])})) return i;
    return RT_LEAF;
}

typedef struct rt_keys {
    const int64_t *trees, *ids;
    uint32_t n;
} rt_keys;

/* Nodes are named by tree and number. They mostly stand in order: the search begins where the last one ended. */
static int64_t rt_find_node(const rt_keys *k, int64_t tree, int64_t id, uint32_t *hint) {
    for (uint32_t i = 0; i < k->n; i++) {
        uint32_t at = (*hint + i) % k->n;
        if (k->trees[at] == tree && k->ids[at] == id) return *hint = at;
    }
    return -1;
}

/* Which entries of target_* (class_*) belong to each leaf: counted, then placed. */
static bool rt_place_votes(tlbc_rt_call *c, rt_forest *f, const rt_keys *nodes, const char *kind) {
    char names[5][32];
    static const char *const suffixes[] = {"treeids", "nodeids", "ids", "weights",
                                           "weights_as_tensor"};
    for (unsigned i = 0; i < 5; i++) { /* "target_" and "treeids" */
        strcpy(names[i], kind);
        strcat(names[i], suffixes[i]);
    }
    uint32_t n, n_nodes, n_targets, hint = 0;
    const int64_t *trees = tlbc_rt_ints(c, names[0], &n),
                  *ids = tlbc_rt_ints(c, names[1], &n_nodes),
                  *targets = tlbc_rt_ints(c, names[2], &n_targets);
    rt_reals weights = rt_read_reals(c, names[3], names[4]);
    if (n_nodes != n || n_targets != n || weights.n != n)
        return tlbc_rt_call_fail(c, "attributes %s... are not of one length", kind);
    int64_t *leaf = tlbc_rt_alloc(c, n, sizeof *leaf), at = 0;
    f->votes = tlbc_rt_alloc(c, n, sizeof *f->votes);
    if (!leaf || !f->votes) return false;
    for (uint32_t i = 0; i < n; i++) {
        leaf[i] = rt_find_node(nodes, trees[i], ids[i], &hint);
        if (leaf[i] < 0) return tlbc_rt_call_fail(c, "entry %u of %s names no node", i, kind);
        if (f->nodes[leaf[i]].mode == RT_LEAF) f->nodes[leaf[i]].no++;
    }
    for (int64_t k = 0; k < f->n_nodes; k++) {
        rt_node *node = &f->nodes[k];
        if (node->mode != RT_LEAF) continue;
        int64_t count = node->no;
        node->yes = node->no = at;
        at += count;
    }
    for (uint32_t i = 0; i < n; i++)
        if (f->nodes[leaf[i]].mode == RT_LEAF)
            f->votes[f->nodes[leaf[i]].no++] = (rt_vote){targets[i], rt_real(&weights, i)};
    return true;
}

static bool rt_link_branches(tlbc_rt_call *c, rt_forest *f, const rt_keys *keys) {
    uint32_t n_yes, n_no, yes_hint = 0, no_hint = 0;
    const int64_t *yes = tlbc_rt_ints(c, "nodes_truenodeids", &n_yes),
                  *no = tlbc_rt_ints(c, "nodes_falsenodeids", &n_no);
    if (n_yes != keys->n || n_no != keys->n)
        return tlbc_rt_call_fail(c, "attributes nodes_... are not of one length");
    for (uint32_t i = 0; i < keys->n; i++) {
        if (f->nodes[i].mode == RT_LEAF) continue;
        f->nodes[i].yes = rt_find_node(keys, keys->trees[i], yes[i], &yes_hint);
        f->nodes[i].no = rt_find_node(keys, keys->trees[i], no[i], &no_hint);
    }
    return true;
}

/* A tree begins with its first node. */
static void rt_find_roots(rt_forest *f, const rt_keys *keys) {
    for (uint32_t i = 0; i < keys->n; i++)
        if (i == 0 || keys->trees[i] != keys->trees[i - 1]) f->roots[f->n_roots++] = i;
}

static bool rt_build_named_forest(tlbc_rt_call *c, rt_forest *f, const char *kind) {
    rt_keys keys;
    uint32_t n, n_modes, n_features, n_missing;
    keys.trees = tlbc_rt_ints(c, "nodes_treeids", &keys.n);
    keys.ids = tlbc_rt_ints(c, "nodes_nodeids", &n);
    const tlbc_string *modes = tlbc_rt_strings(c, "nodes_modes", &n_modes);
    const int64_t *features = tlbc_rt_ints(c, "nodes_featureids", &n_features),
                  *missing = tlbc_rt_ints(c, "nodes_missing_value_tracks_true", &n_missing);
    rt_reals values = rt_read_reals(c, "nodes_values", "nodes_values_as_tensor");
    bool fits = keys.n == n && n_modes == n && n_features == n && values.n == n &&
                (!n_missing || n_missing == n);
    if (!fits) return tlbc_rt_call_fail(c, "attributes nodes_... are not of one length");
    f->n_nodes = n;
    f->nodes = tlbc_rt_alloc(c, n, sizeof *f->nodes);
    f->roots = tlbc_rt_alloc(c, n, sizeof *f->roots);
    if (!f->nodes || !f->roots) return false;
    for (uint32_t i = 0; i < n; i++)
        f->nodes[i] = (rt_node){.mode = rt_mode_of(modes[i]),
                                .feature = features[i],
                                .missing_is_true = n_missing && missing[i],
                                .value = rt_real(&values, i)};
    rt_find_roots(f, &keys);
    return rt_link_branches(c, f, &keys) && rt_place_votes(c, f, &keys, kind);
}

static rt_aggregate rt_aggregate_of(const tlbc_rt_call *c) {
    static const char *const names[] = {"AVERAGE", "SUM", "MIN", "MAX"};
    for (unsigned i = 0; i < 4; i++)
        if (tlbc_rt_string_is(c, "aggregate_function", names[i])) return (rt_aggregate)i;
    return RT_SUM;
}

bool tlbc_rt_op_TreeEnsembleRegressor(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    rt_forest f = {0};
    rt_reals base = rt_read_reals(c, "base_values", "base_values_as_tensor");
    int64_t rows = tlbc_rt_rows(x), targets = tlbc_rt_int(c, "n_targets", 1);
    if (targets < 1 || !rt_build_named_forest(c, &f, "target_"))
        return tlbc_rt_call_fail(c, "%lld targets", (long long)targets);
    tlbc_tensor *y = tlbc_rt_result(c, 0, TLBC_F32, 2, (int64_t[]){rows, targets});
    double *scores = tlbc_rt_alloc(c, (size_t)targets, sizeof *scores);
    bool *touched = tlbc_rt_alloc(c, (size_t)targets, sizeof *touched);
    if (!y || !scores || !touched) return false;
    for (int64_t r = 0; r < rows; r++) {
        if (!rt_score(c, &f, x, r, rt_aggregate_of(c), scores, touched, targets)) return false;
        for (int64_t k = 0; k < targets && k < base.n; k++)
            scores[k] += rt_real(&base, (uint32_t)k);
        tlbc_rt_apply(tlbc_rt_post_transform(c), scores, targets);
        for (int64_t k = 0; k < targets; k++)
            ((float *)y->data)[r * targets + k] = (float)scores[k];
    }
    return true;
}

/* All votes are for one class of two: the other one has the rest. */
static bool rt_votes_for_one(const tlbc_rt_call *c, int64_t *which) {
    uint32_t n;
    const int64_t *ids = tlbc_rt_ints(c, "class_ids", &n);
    for (uint32_t i = 1; i < n; i++)
        if (ids[i] != ids[0]) return false;
    *which = n ? ids[0] : 0;
    return n > 0;
}

bool tlbc_rt_op_TreeEnsembleClassifier(tlbc_rt_call *c) {
    const tlbc_tensor *x = c->in[0];
    rt_forest f = {0};
    rt_reals base = rt_read_reals(c, "base_values", "base_values_as_tensor");
    tlbc_rt_labels labels = tlbc_rt_read_labels(c, "classlabels_int64s", "classlabels_strings");
    tlbc_rt_transform transform = tlbc_rt_post_transform(c);
    int64_t rows = tlbc_rt_rows(x), n = labels.n, one = 0;
    if (n < 1) return tlbc_rt_call_fail(c, "there are no classes");
    if (!rt_build_named_forest(c, &f, "class_")) return false;
    bool binary = n == 2 && rt_votes_for_one(c, &one);
    if (binary && (one < 0 || one >= n))
        return tlbc_rt_call_fail(c, "class %lld of %lld", (long long)one, (long long)n);
    tlbc_tensor *y = tlbc_rt_label_result(c, &labels, rows),
                *z = tlbc_rt_result(c, 1, TLBC_F32, 2, (int64_t[]){rows, n});
    double *scores = tlbc_rt_alloc(c, (size_t)n, sizeof *scores);
    bool *touched = tlbc_rt_alloc(c, (size_t)n, sizeof *touched);
    if (!y || !z || !scores || !touched) return false;
    for (int64_t r = 0; r < rows; r++) {
        if (!rt_score(c, &f, x, r, RT_SUM, scores, touched, n)) return false;
        for (int64_t k = 0; !binary && k < n && k < base.n; k++)
            scores[k] += rt_real(&base, (uint32_t)k);
        if (binary) {
            double score = scores[one] + (base.n ? rt_real(&base, base.n == 2 ? 1 : 0) : 0);
            bool plain = transform == TLBC_RT_NONE || transform == TLBC_RT_PROBIT;
            scores[1] = score;
            scores[0] = plain ? 1 - score : -score;
        }
        int64_t which = tlbc_rt_largest(scores, n);
        tlbc_rt_apply(transform, scores, n);
        tlbc_rt_put_label(y, &labels, r, which);
        for (int64_t k = 0; k < n; k++)
            ((float *)z->data)[r * n + k] = (float)scores[k];
    }
    return true;
}
