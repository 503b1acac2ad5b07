/* Lowering: graph IR to loop IR. Shared by the files of codegen/ that build kernels and the program; one function
 * lower_<name>() per name in the lower column of ir/ops.def, grouped by family in codegen/lower/.
 *
 * Every value gets a *view*: a buffer, an offset and a stride per dimension. View operators (Reshape, Transpose, Slice, …) only make
 * another view. All others build a *kernel*, a loop-IR function over pointers and sizes, and add a call to the *program*. Kernels that
 * come out the same are kept once: code size follows the number of different layers.
 *
 *   cg_view *x = cg_read(g, ir_in(n, 0)), *y = cg_write(g, ir_out(n, 0));
 *   cg_kernel k = cg_kernel_begin(g, n, rows);            // `rows` units of work, split among the threads
 *   lp_value *px = cg_kernel_in(&k, x), *py = cg_kernel_out(&k, y);
 *   ... build the body with k.b between k.begin and k.end ...
 *   cg_kernel_end(&k);                                    // merged with its twin, call emitted, barrier before it where needed
 *
 * SPMD: all threads run the program; each kernel call works on its share of the units. A barrier is emitted before a kernel that reads
 * what other threads may have written: everything but a row-wise read of something written in the same division of the same rows. */
#ifndef TLBC_CODEGEN_LOWER_H
#define TLBC_CODEGEN_LOWER_H

#include "codegen/loop.h"
#include "codegen/target.h"
#include "ir/base/vec.h"
#include "ir/build.h"
#include "ir/ir.h"
#include "ir/scalar.h"

/* CG_STATE and CG_NEXT: a step function's states, as they are before the step and behind it; never the same memory. CG_PLACE: a state
 * that new rows are written behind, where it lies (codegen/place.h). */
/* CG_CELL: memory that the run asks for, `number` is the cell that holds it (codegen/dynamic.h). */
typedef enum cg_buffer_kind {
    CG_WORKSPACE,
    CG_INPUT,
    CG_OUTPUT,
    CG_WEIGHT,
    CG_STATE,
    CG_NEXT,
    CG_PLACE,
    CG_CELL
} cg_buffer_kind;
/* Nothing in a run writes it. */
static inline bool cg_is_read_only(cg_buffer_kind k) {
    return k == CG_WEIGHT || k == CG_INPUT || k == CG_STATE;
}

/* How a buffer was last read or written in an epoch (the time between two barriers): in which division among the threads. */
typedef struct cg_access {
    uint32_t epoch; /* 0 = never */
    const ir_dim *units;
    bool rowwise; /* unit u touched only the u-th of `units` equal pieces */
} cg_access;

/* A piece of memory. Workspace buffers get their place after lowering (plan_memory.c). */
typedef struct cg_buffer {
    cg_buffer_kind kind;
    uint32_t number; /* of its kind: workspace buffer, input, output */
    const ir_dim *bytes;
    bool per_thread;    /* workspace: one copy per thread */
    bool channels_last; /* see codegen/layout.h */
    int64_t offset;     /* weights: in the constants section; workspace: of static buffers */
    const ir_tensor *tensor;
    struct cg_buffer *next;
    uint64_t first, last; /* workspace: moments between which it is alive (program.c) */
    int32_t slot;         /* workspace, symbolic size: its slot; -1 = at `offset` */
    cg_access read, write;
} cg_buffer;

typedef struct cg_view {
    cg_buffer *buffer;
    ir_dtype dtype;
    int32_t rank;
    const ir_dim **dims;
    const ir_dim **strides; /* elements */
    const ir_dim *offset;   /* elements */
} cg_view;

/* A condition on the shapes of the inputs that only the run can test. */
typedef struct cg_shape_check {
    const ir_dim *from, *to;
    bool exact; /* else 1 is as good as `to` */
    int64_t failure;
} cg_shape_check;

/* Constants that have a place in the block of weights, which is one for all graphs of the module. */
typedef struct cg_weight_list {
    cg_buffer *first, *last;
    int64_t bytes;
    tl_map by_tensor; /* ir_tensor * -> its cg_buffer * */
} cg_weight_list;

typedef struct cg_cells cg_cells; /* codegen/dynamic.h */
typedef struct cg_step cg_step;   /* codegen/steps.h */
typedef struct cg_scope cg_scope;
typedef struct cg_loop cg_loop;
typedef struct cg_undo cg_undo;
typedef struct cg_place cg_place; /* codegen/place.h */
typedef struct cg cg;
struct cg {
    ir_ctx *c;
    tl_arena *arena;
    ir_module *m;
    const cg_target *target;
    lp_module *lp;
    lp_builder b; /* the program, under construction */
    lp_value *frame, *tid, *n_threads;
    lp_value *workspace, *weights, *inputs, *outputs, *slots, *symbols, *states,
        *next;                         /* members of the frame */
    TL_VEC(const char *) symbol_names; /* the model's, in the order of the descriptor */
    tl_map views;                      /* ir_value * -> cg_view *: what a value is read from */
    tl_map dests;                      /* ir_value * -> cg_view *: where it must be written */
    cg_scope *scope;                   /* symbols and dimension values known in the current block */
    tl_map trips;                      /* ir_dim * of a loop's counter -> ir_dim * it stays below */
    uint32_t n_loops;
    cg_place *places;  /* by state: where those lie that are changed there; NULL = none */
    cg_loop *loop;     /* innermost loop being lowered */
    uint32_t branches; /* of If, around what is being lowered */
    bool
        alone; /* in rounds that each thread runs by itself: no barriers, no shares, buffers of its own */
    cg_buffer *buffers, *last_buffer;
    uint32_t n_buffers;
    cg_weight_list weights_list;
    uint32_t epoch;   /* number of barriers so far, in program order */
    uint32_t n_calls; /* of kernels, so far */
    bool serial;      /* what is touched now is touched by thread 0 alone */
    TL_VEC(const char *) failures;
    TL_VEC(cg_shape_check) checks;
    const ir_node *node; /* being lowered */
    const tl_map *lines; /* node -> line of the printed graph; NULL = no debug information */
    tl_map definers;     /* symbol of a size that is data -> the ir_value * it is a size of */
    uint32_t demanded;   /* mark of the values that are needed at run time */
    cg_cells *cells;
    TL_VEC(cg_step) steps;
    uint32_t step_depth;
    bool marked;       /* the program tells when a step is done, */
    int64_t mark_data; /* and hands this on */
    bool watch; /* buffers have guards between them, and the program says where (codegen/watch.h) */
    bool failed;
    double flops;
    cg_undo *undo; /* what has been written over, the last first */
};

typedef bool cg_lower_fn(cg *g, ir_node *n);
#define OP(name, since, infer, eval, lower, traits, summary) cg_lower_fn lower_##lower;
#include "ir/ops.def"
#undef OP
cg_lower_fn *cg_lower_get(op_id op); /* codegen/lower/table.c */
bool cg_is_called(const ir_node *n); /* this node is a call, whatever others of its operator are */

/* ---- dimensions in the program (codegen/dim.c) ---------------------------------------------------------------- */
lp_value *cg_dim(cg *g, const ir_dim *d); /* i64 in the program */
lp_value *cg_dim_emit(lp_builder *b, const ir_dim *d,
                      lp_value *(*symbol)(void *data, const char *name), void *data);
/* The same of a size in bytes: -1 where it is more than a buffer may have, also where the products wrap. */
#define CG_MAX_BYTES 0x1p46
lp_value *cg_dim_emit_bytes(lp_builder *b, const ir_dim *d,
                            lp_value *(*symbol)(void *data, const char *name), void *data);
lp_value *cg_dim_bytes(cg *g, const ir_dim *bytes); /* in the program */
/* Symbols and cached dims live in the block they were made in: begin/end around the blocks of loops and branches. */
struct cg_scope {
    cg_scope *outer;
    tl_map symbols, dims, splits;
};
void cg_scope_begin(cg *g);
void cg_scope_end(cg *g);
void cg_symbol_set(cg *g, const char *name, lp_value *v);
bool cg_symbol_is_set(cg *g, const char *name);
/* At least d, with symbols that are bounded (chunk lengths, loop counters) replaced by their bounds: sizes of buffers. */
const ir_dim *cg_dim_limit(cg *g, const ir_dim *d);
const ir_dim *cg_dc(cg *g, int64_t v);

/* ---- views (codegen/view.c) ------------------------------------------------------------------------------------ */
cg_view *cg_view_dense(cg *g, cg_buffer *b, const ir_type *t);
cg_view *cg_view_copy(cg *g, const cg_view *v);
bool cg_view_is_dense(cg *g, const cg_view *v);
/* The reshaped view, or NULL where the elements do not lie so that strides can express it. */
cg_view *cg_view_reshape(cg *g, const cg_view *v, int32_t rank, const ir_dim *const *dims);
cg_view *cg_view_permute(cg *g, const cg_view *v, const int64_t *perm);
/* Before the run: fails unless `from` is 1 or equal to `to` (plan() evaluates it). Nothing where that is proven. */
void cg_check_broadcast(cg *g, const ir_dim *from, const ir_dim *to);
/* The same without the 1: for what must agree so that nothing is read beyond an end. */
void cg_check_equal(cg *g, const ir_dim *from, const ir_dim *to);
void cg_check_at_most(cg *g, const ir_dim *d, const ir_dim *most);
/* Broadcast to a larger shape (numpy rules): stride 0 where stretched. */
cg_view *cg_view_broadcast(cg *g, const cg_view *v, int32_t rank, const ir_dim *const *dims);
/* x[..., start : start + n*step : step, ...] */
cg_view *cg_view_slice(cg *g, const cg_view *v, int32_t axis, const ir_dim *start,
                       const ir_dim *step, const ir_dim *n);
/* Positions start + steps[0] * i0 + steps[1] * i1 + ... of the axis, which becomes n axes of these extents. */
cg_view *cg_view_walk_axis(cg *g, const cg_view *v, int32_t axis, int64_t start,
                           const int64_t *steps, const ir_dim *const *dims, int32_t n);
cg_view *cg_view_drop_axis(cg *g, const cg_view *v,
                           int32_t axis); /* axis has extent 1 or index 0 is meant */
/* The view is all of its buffer, densely: equal pieces of its leading axes are equal pieces of the buffer. */
bool cg_view_is_whole(cg *g, const cg_view *v);
const ir_dim *cg_dims_product(cg *g, const ir_dim *const *d, int32_t n);

/* ---- values (codegen/program.c) -------------------------------------------------------------------------------- */
cg_buffer *cg_buffer_create(cg *g, const ir_dim *bytes);
cg_buffer *cg_thread_buffer(cg *g, const ir_dim *bytes); /* so much for each thread */
const cg_view *cg_read(cg *g, ir_value *v);              /* any strides */
const cg_view *cg_read_dense(cg *g, ir_value *v);        /* copied first where it is not dense */
/* Innermost dimension contiguous (stride 1, or extent 1); copied where it is not. */
const cg_view *cg_read_rows(cg *g, ir_value *v);
const cg_view *cg_materialise(cg *g, const cg_view *v); /* a dense copy */
const cg_view *
cg_write(cg *g,
         ir_value *v); /* its destination, or a fresh dense buffer; becomes the value's view */
void cg_set_view(cg *g, ir_value *v, const cg_view *view);
void cg_copy(cg *g, const cg_view *from, const cg_view *to); /* a nest that moves elements */
bool cg_lower_region(cg *g, ir_region *r);
uint32_t cg_line(const cg *g, const ir_node *n); /* of n in the printed graph, 0 = none */
/* The operand's data is read when n runs (false: only its known contents, at compile time). */
bool cg_reads_data(const ir_node *n, uint32_t operand);
lp_value *cg_pointer(cg *g, const cg_view *v); /* address of element [0, …, 0] in the program */
/* All threads wait; needed before scalars are read by the program itself. Where a thread runs alone, the epoch ends and nothing else. */
void cg_barrier(cg *g);
lp_value *
cg_load_scalar(cg *g,
               ir_value *v); /* one element as a program value, after a barrier where needed */
lp_value *cg_load_element(cg *g, ir_value *v, int64_t i); /* the same of a vector */
/* All elements are constants or dimension expressions. */
bool cg_knows_contents(const ir_value *v);
/* "node 'x' (NonZero)", as the file or, without a name there, its first result has it. */
const char *cg_node_text(cg *g, const ir_node *n);
int64_t cg_failure(cg *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool cg_unsupported(cg *g, const ir_node *n, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- elements narrower than a byte: packed at the interface, one to a byte inside (codegen/packed.c) ----------------- */
bool cg_is_packed(ir_dtype t);
uint32_t cg_elem_bytes(ir_dtype t); /* inside */
void cg_unpack(cg *g, const cg_view *packed, const cg_view *bytes);
void cg_pack(cg *g, const cg_view *bytes, const cg_view *packed);
const ir_tensor *cg_unpacked(tl_arena *a, ir_ctx *c, const ir_tensor *t);

/* ---- kernels (codegen/kernel.c) -------------------------------------------------------------------------------- */
enum { CG_MAX_KERNEL_ARGS = 96 };
typedef struct cg_kernel {
    cg *g;
    const ir_node *node;   /* NULL: a copy */
    lp_builder b;          /* inside the kernel */
    lp_value *begin, *end; /* this thread's units */
    const ir_dim *units;
    bool serial; /* one unit: thread 0 alone */
    uint32_t n_args;
    lp_value *params[CG_MAX_KERNEL_ARGS];
    struct {
        enum { CG_ARG_VIEW, CG_ARG_DIM, CG_ARG_VALUE, CG_ARG_FRAME } kind;
        const cg_view *view;
        const ir_dim *dim;
        lp_value *value;
        bool read, write, rowwise; /* view: how it is accessed */
    } args[CG_MAX_KERNEL_ARGS];
} cg_kernel;

/* units: how many pieces of work there are; thread t does its contiguous share. */
cg_kernel cg_kernel_begin(cg *g, const ir_node *n, const ir_dim *units);
/* Pointer to the view's first element. rowwise: unit u reads (writes) only the u-th of `units` equal pieces of the buffer. */
lp_value *cg_kernel_in(cg_kernel *k, const cg_view *v, bool rowwise);
lp_value *cg_kernel_out(cg_kernel *k, const cg_view *v, bool rowwise);
lp_value *cg_kernel_dim(cg_kernel *k,
                        const ir_dim *d);             /* constant where static, else a parameter */
lp_value *cg_kernel_value(cg_kernel *k, lp_value *v); /* a program value handed in */
lp_value *cg_kernel_frame(cg_kernel *k);              /* for tlbc_rt_fail */
/* Before the loops: where n is not above 0 although there are `work` > 0 elements to compute, the run fails and the kernel does nothing.
 * For kernels that read at a position along an axis of n. */
void cg_kernel_require(cg_kernel *k, const ir_dim *n, const ir_dim *work, int64_t failure);
/* First and last unit of this thread: [units*tid/n, units*(tid+1)/n), computed once per scope. */
void cg_thread_share(cg *g, const ir_dim *units, lp_value *out[2]);
void cg_kernel_end(cg_kernel *k, const char *summary, ...) __attribute__((format(printf, 2, 3)));
/* A part of a kernel as a function of its own, so that what it keeps in registers ends with it: built between cg_kernel_begin and this
 * instead of cg_kernel_end, before the kernel itself is begun. What it was handed by cg_kernel_value is a placeholder: the call gives
 * begin, end and those values, in this order. */
const lp_func *cg_kernel_end_part(cg_kernel *part, const char *summary);
void cg_kernel_call_part(cg_kernel *k, const lp_func *f, const cg_kernel *part,
                         lp_value *const *values);

/* ---- scalar code on vectors (codegen/scalar.c, codegen/vmath.c) -------------------------------------------------- */
typedef struct cg_scalar {
    sc_builder base;
    lp_builder *b;
    unsigned lanes;
    tl_arena *arena;
    TL_VEC(lp_value *) values;
} cg_scalar;
void cg_scalar_init(cg_scalar *s, lp_builder *b, unsigned lanes, tl_arena *a);
sc_val cg_scalar_value(cg_scalar *s, lp_value *v);
lp_value *cg_scalar_get(const cg_scalar *s, sc_val v);
/* One elementwise node applied to operands in their compute types; result in the compute type of n's output. */
lp_value *cg_scalar_node(lp_builder *b, unsigned lanes, tl_arena *a, const ir_node *n,
                         lp_value *const *in);
/* Cast to a float of two bytes or less: the definition in ir/scalar.h rounds twice (codegen/cast.c). */
bool cg_is_narrow_cast(const ir_node *n);
lp_value *cg_narrow_cast(lp_builder *b, const ir_node *n, lp_value *x);
/* The nodes of a region of elementwise operators (Fused, an epilogue) on the region's parameters. */
void cg_emit_body(lp_builder *b, unsigned lanes, tl_arena *a, const ir_region *r,
                  lp_value *const *params, lp_value **results);
/* A constant whose elements are all the same becomes a literal in the kernel. */
bool cg_is_literal(const ir_value *v);
lp_value *cg_const_value(lp_builder *b, const ir_value *v, unsigned lanes);
/* Inlined maths on f32/f64 vectors; op is one of SC_EXP … SC_ERF, SC_POW, SC_ATAN2. */
lp_value *cg_vmath(lp_builder *b, sc_op op, lp_value *const *x);

/* ---- nests (codegen/nest.c) -------------------------------------------------------------------------------------- */
/* A loop nest over an index space: rows split among threads, the innermost axis vectorised. The callback computes the outputs of one
 * vector (lanes elements along the innermost axis) or one scalar (lanes 1, the tail). */
enum { CG_MAX_NEST_VIEWS = 64, IR_MAX_RANK_NEST = 32 };
typedef struct cg_nest cg_nest;
typedef void cg_nest_fn(cg_nest *s, unsigned lanes, lp_value *const *in, lp_value **out);
struct cg_nest {
    cg *g;
    const ir_node *node;
    int32_t rank; /* index space */
    const ir_dim *dims[IR_MAX_RANK_NEST];
    uint32_t n_in, n_out;
    const cg_view
        *in[CG_MAX_NEST_VIEWS]; /* broadcast to the index space by the caller: rank equal */
    const cg_view *out[CG_MAX_NEST_VIEWS];
    cg_nest_fn *fn;
    void *data;
    const char *summary;
    /* for the callback: */
    cg_kernel *k;
    lp_value *index[IR_MAX_RANK_NEST]; /* of the first lane */
    bool needs_index;                  /* callback uses index[]: dimensions are not merged */
    bool scalar;                       /* one element at a time */
    unsigned lanes;                    /* of a vector; 0: as many as it has of f32 */
    bool moves;                        /* elements go through as they are: bits are not converted */
    const ir_dim *required;            /* must be above 0, else `failure`: cg_kernel_require */
    int64_t failure;
};
void cg_nest_run(cg_nest *s);
/* A nest over the index space of t, with no views yet, for callbacks that use index[]; and one that writes n's first result. */
cg_nest *cg_nest_over(cg *g, ir_node *n, const ir_type *t, cg_nest_fn *fn, void *data);
cg_nest *cg_nest_result(cg *g, ir_node *n, cg_nest_fn *fn, void *data);

/* Fails the run, which goes on: the failure's format gets x and y. */
void cg_fail_if(cg_kernel *k, lp_value *bad, int64_t failure, lp_value *x, lp_value *y);
/* An index from data: negative ones count from the end; one outside [0, n) fails the run and is brought inside. */
lp_value *cg_checked_index(cg_kernel *k, lp_value *index, lp_value *n, int64_t failure);

/* Loads lanes elements at `index` (elements) with `stride` between lanes, widened to the compute type; and the reverse. */
lp_value *cg_load(lp_builder *b, ir_dtype t, unsigned lanes, lp_value *ptr, lp_value *index,
                  lp_value *stride);
void cg_store(lp_builder *b, ir_dtype t, unsigned lanes, lp_value *ptr, lp_value *index,
              lp_value *stride, lp_value *x);
/* Sum of index[i] * stride[i] over the given axes. */
lp_value *cg_offset(cg_kernel *k, const cg_view *v, lp_value *const *index, int32_t rank);
/* row -> index along each of dims[0..rank), last fastest. */
void cg_unravel(cg_kernel *k, lp_value *row, const ir_dim *const *dims, int32_t rank,
                lp_value **index);

#endif
