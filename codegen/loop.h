/* The loop IR: buffers, loops, vector values, barriers. What the graph IR is lowered to and LLVM code is emitted from.
 *
 *   module     functions; a function is either a kernel (called with pointers and sizes) or the program (a list of calls)
 *   function   parameters, one block; structured control flow only (for, while, if), no jumps
 *   value      SSA; a scalar or vector of an element type, or a pointer
 *
 * Text (docs/LOOP_IR.md); the same lexer as the graph IR:
 *
 *   func @scale(ptr %x, ptr %y, i64 %n) noinline {
 *     %two = const f32x8 2
 *     for %i = 0 to %n step 8 {
 *       %a = load f32x8 %x[%i]
 *       %b = mul f32x8 %a, %two
 *       store f32x8 %y[%i], %b
 *     }
 *   }
 *   %s = for %k = 0 to 256 step 1 carry(%acc = %zero) {       // carried values: results of the loop
 *     ...
 *     yield %acc2
 *   }
 *
 * Addresses are pointer + index, the index counted in elements of the accessed type. Integers wrap. Signedness is in the element type
 * (i64 against u64). Booleans are one byte in memory (0 or 1), one bit in registers. */
#ifndef TLBC_CODEGEN_LOOP_H
#define TLBC_CODEGEN_LOOP_H

#include "ir/base/diag.h"
#include "ir/base/map.h"
#include "ir/ctx.h"
#include "ir/dtype.h"

typedef struct lp_module lp_module;
typedef struct lp_func lp_func;
typedef struct lp_block lp_block;
typedef struct lp_instr lp_instr;
typedef struct lp_value lp_value;

enum { LP_PTR = 100, LP_VOID = 101 }; /* element types beside ir_dtype's */
enum { LP_MAX_LANES = 256 };

typedef struct lp_type {
    uint8_t
        elem; /* ir_dtype (small floats and i4, u2, ... only for load, store, cast), LP_PTR or LP_VOID */
    uint16_t lanes; /* 1 = scalar */
} lp_type;

typedef enum lp_op {
#define LP_OP(name, args, summary) LP_##name,
#include "codegen/loop_ops.def"
#undef LP_OP
    LP_OP_COUNT
} lp_op;

struct lp_value {
    lp_type type;
    const char *name; /* may be NULL: printed by number */
    lp_instr *def;    /* NULL: parameter of a function or block */
    uint32_t id;      /* scratch numbering (print, emit) */
    void *scratch;    /* of the emitter and of lp_func_split */
};

struct lp_block {
    lp_instr *owner; /* NULL: the function's body */
    lp_func *func;
    lp_instr *first, *last;
    lp_value **params; /* for: counter, carried...; while: carried...; if: none */
    uint32_t n_params;
};

struct lp_instr {
    lp_instr *prev, *next;
    lp_block *parent;
    lp_op op;
    lp_type type; /* of the result, or of what is stored or compared */
    lp_value **args;
    uint32_t n_args;
    lp_value **results; /* 0 or 1, or the carried values of for / while / if */
    uint32_t n_results;
    lp_block *blocks[2]; /* for: body; while: condition, body; if: then, else (may be NULL) */
    int64_t
        imm; /* const of integers; alloca bytes; extract lane; load/store alignment (0 = element's); buffer number */
    double fimm;         /* const of floats */
    const int32_t *mask; /* shuffle: type.lanes of them */
    const char *callee;  /* call: name of a function of the module or of a runtime function */
    const ir_loc *loc;   /* graph node it came from; line numbers of debug information */
    uint32_t line;       /* line in the printed graph IR, 0 = none */
};

/* Facts of an operation, from loop_ops.def. */
const char *lp_op_name(lp_op op);
int lp_op_arity(lp_op op); /* operands; -1 = varies */
bool lp_op_find(const char *name, size_t len, lp_op *out);
static inline bool lp_op_is_compare(lp_op op) {
    return op >= LP_eq && op <= LP_ge;
}
static inline bool lp_op_is_reduce(lp_op op) {
    return op >= LP_reduce_add && op <= LP_reduce_max;
}

enum lp_param_flags { LP_NOALIAS = 1, LP_READONLY = 2, LP_ALIGN64 = 4 };

struct lp_func {
    lp_func *prev, *next;
    lp_module *module;
    const char *name;
    lp_value **params;
    uint8_t *param_flags; /* enum lp_param_flags, per parameter */
    uint32_t n_params;
    lp_type result; /* LP_VOID mostly */
    lp_block *body;
    bool external;       /* visible outside the object; others are internal */
    bool noinline_;      /* kernels */
    uint32_t line;       /* of its first use in the printed graph */
    const char *summary; /* one line for listings: "MatMul 8x256x512 + bias + gelu" */
    uint64_t hash;       /* structural, names left out: lp_func_hash */
};

struct lp_module {
    ir_ctx *ctx;
    tl_arena *arena;
    lp_func *funcs, *last;
    tl_map by_hash;
    uint32_t n_funcs;
};

/* ---- text ----------------------------------------------------------------------------------------------------
 *
 *   func @f(ptr noalias readonly align64 %x, i64 %n) => f32 noinline external line 3 summary "..." { ... return %v }
 *   %v = OP TYPE operands          every operation but those below; i64 constants are written in place: add i64 %i, 8
 *   %v = load f32x8 %p[%i] align 32,  store f32x8 %p[%i], %v,  load_masked f32x8 %p[%i], %n
 *   %v = extract f32 %x, 3,  insert f32x4 %x, %s, 3,  shuffle f32x4 %x, %y, [0, 4, 1, 5],  call f32 @g(%x)
 *   %r = if %c { yield %a } else { yield %b }
 *   %r = while carry(%i = %a) { yield %cond } do(%j) { yield %next }
 *
 * A block ends with a yield if and only if it has values to give. Constants have no place of their own in the hash: only their
 * content counts, so that printing i64 constants inside operands keeps it. */

/* ---- construction -------------------------------------------------------------------------------------------- */
/* Complex numbers and strings are loaded, selected and stored, and nothing else. Their one constant is 0: the empty string. */
static inline bool lp_is_moved(lp_type t) {
    ir_dtype_class c = t.elem < DT_COUNT ? ir_dtype_get_class((ir_dtype)t.elem) : DTYPE_OTHER;
    return c == DTYPE_COMPLEX || c == DTYPE_STRING;
}

static inline lp_type lp_scalar(int elem) {
    return (lp_type){(uint8_t)elem, 1};
}
static inline lp_type lp_vec(int elem, unsigned lanes) {
    return (lp_type){(uint8_t)elem, (uint16_t)lanes};
}
static inline bool lp_type_equal(lp_type a, lp_type b) {
    return a.elem == b.elem && a.lanes == b.lanes;
}
#define LP_I64 lp_scalar(DT_i64)

lp_module *lp_module_create(ir_ctx *c, tl_arena *a);
lp_func *lp_func_create(lp_module *m,
                        const char *name); /* appended; lp_module_remove_last takes it away again */
void lp_module_remove_last(lp_module *m);
lp_func *lp_module_find(const lp_module *m, const char *name);
lp_value *lp_func_add_param(lp_func *f, lp_type t, const char *name, unsigned flags);
/* Kernels that are the same: appends f's twin if there is one (and drops f, which must be the last), else f. */
lp_func *lp_module_merge(lp_module *m, lp_func *f);

/* The builder inserts at the end of `block`, or in front of `before`. Vectors and scalars may not be mixed without broadcast. */
typedef struct lp_builder {
    lp_module *m;
    lp_func *func;
    lp_block *block;
    lp_instr *before; /* NULL: at the end of the block */
    const ir_loc *loc;
    uint32_t line;
} lp_builder;

lp_builder lp_build_in(lp_func *f);
lp_instr *lp_emit(lp_builder *b, lp_op op, lp_type type, lp_value *const *args, uint32_t n_args,
                  uint32_t n_results);
lp_value *lp_const_f(lp_builder *b, lp_type t, double v);
lp_value *lp_const_i(lp_builder *b, lp_type t, int64_t v);
lp_value *lp_index(lp_builder *b, int64_t v);          /* i64 constant */
lp_value *lp_un(lp_builder *b, lp_op op, lp_value *x); /* result type = x's */
lp_value *lp_bin(lp_builder *b, lp_op op, lp_value *x,
                 lp_value *y); /* comparisons give bool lanes; folds i64 constants */
lp_value *lp_fma(lp_builder *b, lp_value *x, lp_value *y, lp_value *z);
lp_value *lp_dot4(lp_builder *b, lp_value *x, lp_value *y, lp_value *z,
                  bool narrow);                              /* i32: dot4, dot4n of loop_ops.def */
lp_value *lp_pairs(lp_builder *b, lp_value *x, lp_value *y); /* of i32, gives i16 */
lp_value *lp_dot2(lp_builder *b, lp_value *x, lp_value *y, lp_value *z);
lp_value *lp_lookup(lp_builder *b, lp_value *x, lp_value *table); /* u8 */
lp_value *lp_select(lp_builder *b, lp_value *c, lp_value *x, lp_value *y);
lp_value *lp_cast(lp_builder *b, lp_value *x, int elem); /* value conversion, lanes kept */
lp_value *lp_bitcast(lp_builder *b, lp_value *x, int elem);
lp_value *lp_regroup(lp_builder *b, lp_value *x,
                     lp_type t); /* the bytes of a vector of integers as other lanes */
lp_value *lp_broadcast(lp_builder *b, lp_value *x, unsigned lanes); /* lanes 1: x itself */
lp_value *lp_iota(lp_builder *b, lp_type t);                        /* 0, 1, 2, … */
lp_value *lp_extract(lp_builder *b, lp_value *x, int64_t lane);
lp_value *lp_insert(lp_builder *b, lp_value *x, lp_value *s, int64_t lane);
lp_value *lp_shuffle(lp_builder *b, lp_value *x, lp_value *y, const int32_t *mask, unsigned lanes);
lp_value *lp_reduce(lp_builder *b, lp_op op,
                    lp_value *x); /* reduce_add, reduce_max, … to a scalar */
lp_value *lp_load(lp_builder *b, lp_type t, lp_value *ptr, lp_value *index);
/* align: bytes, where it is not that of an element */
lp_value *lp_load_aligned(lp_builder *b, lp_type t, lp_value *ptr, lp_value *index, int64_t align);
void lp_store(lp_builder *b, lp_value *ptr, lp_value *index, lp_value *x);
/* Lanes [0, n) only; the others read as zero. n: i64 value. */
lp_value *lp_load_masked(lp_builder *b, lp_type t, lp_value *ptr, lp_value *index, lp_value *n);
void lp_store_masked(lp_builder *b, lp_value *ptr, lp_value *index, lp_value *x, lp_value *n);
lp_value *lp_gather(lp_builder *b, lp_type t, lp_value *ptr,
                    lp_value *indices); /* indices: i64 lanes */
void lp_scatter(lp_builder *b, lp_value *ptr, lp_value *indices, lp_value *x);
lp_value *lp_ptr_add(lp_builder *b, lp_value *ptr, lp_value *bytes);
lp_value *lp_alloca(lp_builder *b,
                    int64_t bytes); /* 64-byte aligned, on the stack, for the whole function */
void lp_prefetch(lp_builder *b, lp_value *ptr, lp_value *byte_offset);
lp_value *lp_call(lp_builder *b, const char *callee, lp_type result, lp_value *const *args,
                  uint32_t n); /* NULL for void */
/* Address of a planned buffer (number in imm); replaced by cg_place_buffers (plan_memory.h) once offsets are known. */
lp_value *lp_buffer(lp_builder *b, int64_t number);

/* Loops: begin, fill, end. Carried values come as block parameters, final values as results.
 *   lp_value *acc = zero;
 *   lp_loop l = lp_for_begin(&b, lo, hi, step, &acc, 1);      // now inside; l.counter, l.carried[0]
 *   lp_for_end(&b, &l, (lp_value *[]){next});                 // behind; l.results[0] */
typedef struct lp_loop {
    lp_instr *instr;
    lp_block *outer;
    lp_value *counter;
    lp_value **carried, **results;
} lp_loop;
lp_loop lp_for_begin(lp_builder *b, lp_value *lo, lp_value *hi, lp_value *step,
                     lp_value *const *init, uint32_t n);
void lp_for_end(lp_builder *b, lp_loop *l, lp_value *const *next);
lp_loop lp_if_begin(lp_builder *b, lp_value *cond, const lp_type *result_types,
                    uint32_t n); /* inside `then` */
void lp_if_else(lp_builder *b, lp_loop *l, lp_value *const *then_results);
void lp_if_end(lp_builder *b, lp_loop *l,
               lp_value *const *results); /* of the else part; of `then` where there was no else */
/* while: first the condition block (sees l.carried; ends by lp_while_do(cond)), then the body. */
lp_loop lp_while_begin(lp_builder *b, lp_value *const *init, uint32_t n);
void lp_while_do(lp_builder *b, lp_loop *l, lp_value *cond); /* body sees l.carried anew */
void lp_while_end(lp_builder *b, lp_loop *l, lp_value *const *next);
void lp_return(lp_builder *b, lp_value *v); /* only at the end of a function with a result */

bool lp_value_is_const_i(const lp_value *v, int64_t *x);

/* ---- services ------------------------------------------------------------------------------------------------- */
uint64_t lp_func_hash(const lp_func *f);
bool lp_func_equal(const lp_func *a, const lp_func *b); /* the same up to names */
void lp_func_print(const lp_func *f, tl_str *out);
const char *lp_instr_text(const lp_func *f, const lp_instr *i, tl_arena *a); /* its first line */
void lp_module_print(const lp_module *m, tl_str *out);
lp_module *lp_module_parse(ir_ctx *c, tl_arena *a, const char *file, const char *text, size_t len);
bool lp_module_verify(const lp_module *m, diag *d); /* reports all it finds */
/* Turns what is longer into calls of new functions at the end of the module, so that none has many more instructions than that. */
void lp_func_split(lp_func *f, uint32_t most);

#endif
