/* Entry of code generation: a module after all passes to machine code.
 *
 *   cg_model *model = cg_lower(m, &options);          // one loop-IR module per CPU, weights, descriptor
 *   cg_write(model, CG_OBJECT …)                      // or into memory: cg_load_model
 *
 * Stages: lower (codegen/lower/), plan_memory, place, emit (llvm_*.c), link. Errors go to the module's diagnostics. */
#ifndef TLBC_CODEGEN_CG_H
#define TLBC_CODEGEN_CG_H

#include "codegen/object.h"
#include "codegen/plan_memory.h"
#include "codegen/weights.h"
#include "ir/base/asan.h"
#include "ir/ir.h"
#include "runtime/abi.h"

#if defined TL_ASAN || defined __SANITIZE_THREAD__
enum { CG_WATCHED = true };
#else
enum { CG_WATCHED = false };
#endif

typedef struct cg_options {
    const cg_target *targets; /* in the order a machine should try them: best first */
    uint32_t n_targets;
    const char *
        name; /* of the model: a C identifier; prefix of its symbols (NAME_model, …); NULL = "model" */
    const char *command_line; /* recorded in the descriptor; may be NULL */
    const char
        *graph_path; /* file that holds the printed graph IR, for debug information; NULL = none */
    const tl_map *lines;      /* node -> its line in that file (ir_print_options.lines) */
    const char *weights_file; /* name of a side file; NULL = weights inside the object */
    void (*mark)(
        void *data, int64_t thread,
        int64_t
            step); /* called behind every step (codegen/steps.h); for cg_load_model alone; NULL = none */
    void *mark_data;
    /* A sanitizer sees what the code does (codegen/watch.h): CG_WATCHED; for cg_load_model alone. */
    bool watch;
} cg_options;

/* Constants in the order of their offsets, 64-byte aligned; between them zeros. */
typedef struct cg_weight {
    int64_t offset;
    const ir_tensor *tensor; /* as it lies in memory */
    const ir_tensor *source; /* the constant in the graph */
} cg_weight;

/* The program of one graph for one CPU. */
typedef struct cg_variant {
    const cg_target *target;
    lp_module *lp; /* of all graphs' programs: kernels that come out the same are one */
    const char *main_name, *plan_name;
    cg_memory_plan plan;
    const struct cg_step *steps;
    uint32_t n_steps;
} cg_variant;

struct cg_cells;
struct cg_interface; /* codegen/interface.h */

/* A graph of the module: an entry point of its own, with a descriptor of its own. */
typedef struct cg_entry {
    ir_graph *graph;
    const char *name,
        *symbol; /* NAME, NAME_model; of all but the first: NAME_GRAPH, NAME_GRAPH_model */
    cg_variant *variants;
    const struct cg_interface *io;
    struct cg_place *places;      /* codegen/place.h; by state, NULL without states */
    const struct cg_cells *cells; /* codegen/dynamic.h; NULL = none */
    const char *const *failures;
    uint32_t n_failures;
    double flops;
    /* struct tlbc_model at its start */
    void *descriptor;
    size_t descriptor_bytes;
    const cg_reloc *relocs;
    uint32_t n_relocs;
} cg_entry;

typedef struct cg_model {
    ir_module *m;
    const cg_options *options;
    const char *name, *weights_symbol; /* NAME, NAME_weights */
    cg_entry *entries;                 /* the first one is the model's own */
    uint32_t n_entries, n_variants;    /* each entry has so many */
    const cg_weight *weights;
    uint32_t n_weights;
    int64_t weight_bytes;
    uint64_t weights_hash;
} cg_model;

/* NULL after reporting. Everything lives in the module's arena. */
cg_model *cg_lower(ir_module *m, const cg_options *o);
/* Code for every variant and the descriptors as compiled units (descriptors last). Weights are not in them: symbol NAME_weights. */
cg_unit **cg_model_units(const cg_model *model, cg_form form, uint32_t *n);
/* The constants as one block, in the module's arena. */
cg_weights cg_model_weights(const cg_model *model);
/* Compiles into this process: the first entry. The model lives until the context is released. NULL after reporting. */
const tlbc_model *cg_load_model(const cg_model *model);

#endif
