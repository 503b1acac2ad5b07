/* Elementwise operators: host back end of the scalar definitions (ir/scalar.h).
 *
 *   Softsign(x):   %0 = operand 0     %1 = 1     %2 = abs %0     %3 = add %1 %2     %4 = div %0 %3
 *
 * The definition runs once per node and leaves such a straight-line program; the program then runs over all elements of
 * the broadcast shape, each instruction on a row of them at a time: weights come by, and the choice of what to do costs more than doing it. Operands of other classes take another way: strings (Equal, Where, Cast) and the choice between
 * elements of types that have no arithmetic. */
#include "ir/base/vec.h"
#include "ir/eval/eval_internal.h"
#include "ir/eval/sc_host.h"

typedef struct sc_inst {
    enum { INST_OPERAND, INST_CONST, INST_OP } kind;
    sc_op op;
    ir_dtype type, arg_type;
    uint32_t arg[3]; /* ids; INST_OPERAND: the operand's number */
    sc_cell value;   /* INST_CONST */
} sc_inst;

typedef struct sc_program {
    sc_builder builder; /* first: the builder passed around is the program */
    tl_arena *arena;
    TL_VEC(sc_inst) code;
} sc_program;

/* ---- recording --------------------------------------------------------------------------------------------------- */

static sc_val record(sc_builder *b, sc_inst inst) {
    sc_program *p = (sc_program *)b;
    tl_vec_push(p->arena, &p->code, inst);
    return (sc_val){p->code.len - 1};
}

static ir_dtype record_type_of(sc_builder *b, sc_val v) {
    return ((sc_program *)b)->code.data[v.id].type;
}

static sc_val record_op(sc_builder *b, sc_op op, ir_dtype type, const sc_val *args, unsigned n) {
    sc_inst inst = {
        .kind = INST_OP, .op = op, .type = type, .arg_type = record_type_of(b, args[n - 1])};
    for (unsigned i = 0; i < n; i++)
        inst.arg[i] = args[i].id;
    return record(b, inst);
}

static sc_val record_f(sc_builder *b, ir_dtype type, double v) {
    return record(
        b, (sc_inst){.kind = INST_CONST, .type = type, .value.f = type == DT_f32 ? (float)v : v});
}

static sc_val record_i(sc_builder *b, ir_dtype type, int64_t v) {
    return record(b, (sc_inst){.kind = INST_CONST, .type = type, .value.i = sc_host_wrap(type, v)});
}

static sc_val record_definition(ir_eval *e, const ir_node *n, const ir_datum *const *in,
                                sc_program *p) {
    *p = (sc_program){.builder = {record_op, record_f, record_i, record_type_of},
                      .arena = e->arena};
    sc_val *operands = TL_NEW_ARRAY(e->arena, sc_val, n->n_in + 1);
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_tensor *t = ev_tensor(n, in, i);
        ir_dtype type = t ? ir_dtype_compute(t->type->dtype) : DT_undefined;
        operands[i] = t ? record(&p->builder,
                                 (sc_inst){.kind = INST_OPERAND, .type = type, .arg = {i}})
                        : (sc_val){UINT32_MAX};
    }
    return scalar_get(n->op)(&p->builder, n, operands, n->n_in);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

typedef struct operand {
    const ir_tensor *tensor;
    int64_t strides[IR_MAX_RANK];
} operand;

enum { ROW = 256 }; /* elements, at most, along the last axis */

static void load_row(const operand *o, int64_t at, int64_t step, int64_t n, sc_cell *to) {
    ir_dtype t = o->tensor->type->dtype;
    const float *f = t == DT_f32 ? o->tensor->data : NULL;
    for (int64_t i = 0; f && i < n; i++)
        to[i].f = f[at + i * step];
    for (int64_t i = 0; !f && i < n; i++)
        to[i] = sc_host_load(t, o->tensor->data, (size_t)(at + i * step));
}

static void store_row(ir_tensor *y, int64_t at, int64_t n, const sc_cell *from) {
    ir_dtype t = y->type->dtype;
    float *f = t == DT_f32 ? ir_tensor_data(y) : NULL;
    for (int64_t i = 0; f && i < n; i++)
        f[at + i] = (float)from[i].f;
    for (int64_t i = 0; !f && i < n; i++)
        sc_host_store(t, ir_tensor_data(y), (size_t)(at + i), from[i]);
}

/* Computes n elements from `index` on, along the last axis, of all instructions; cells + id * ROW are the values of instruction id. */
static void run_row(const sc_program *p, const operand *operands, const int64_t *index,
                    int32_t rank, int64_t n, sc_cell *cells) {
    for (uint32_t id = 0; id < p->code.len; id++) {
        const sc_inst *inst = &p->code.data[id];
        sc_cell *y = cells + id * ROW;
        if (inst->kind == INST_CONST) {
            for (int64_t i = 0; i < n; i++)
                y[i] = inst->value;
        } else if (inst->kind == INST_OPERAND) {
            const operand *o = &operands[inst->arg[0]];
            load_row(o, ev_dot(index, o->strides, rank), rank ? o->strides[rank - 1] : 0, n, y);
        } else {
            const sc_cell *x[3] = {cells + inst->arg[0] * ROW, cells + inst->arg[1] * ROW,
                                   cells + inst->arg[2] * ROW};
            sc_host_apply_row(inst->op, inst->type, inst->arg_type, x, n, y);
        }
    }
}

/* Axes that all operands step through as if they were one become one: longer rows. */
static void merge_axes(ev_shape *s, operand *operands, uint32_t n) {
    int32_t last = -1;
    for (int32_t i = 0; i < s->rank; i++) {
        if (s->dims[i] == 1) continue;
        bool joins = last >= 0;
        for (uint32_t k = 0; k < n && joins; k++)
            joins = operands[k].strides[last] == operands[k].strides[i] * s->dims[i];
        last += !joins;
        s->dims[last] = joins ? s->dims[last] * s->dims[i] : s->dims[i];
        for (uint32_t k = 0; k < n; k++)
            operands[k].strides[last] = operands[k].strides[i];
    }
    s->rank = last + 1;
}

/* All elements of a shape that has some. */
static void run_all(ir_eval *e, const sc_program *p, uint32_t result, ev_shape s, operand *operands,
                    uint32_t n_operands, ir_tensor *y) {
    merge_axes(&s, operands, n_operands);
    sc_cell *cells = TL_NEW_ARRAY(e->arena, sc_cell, p->code.len * (size_t)ROW);
    int64_t index[IR_MAX_RANK] = {0}, n = s.rank ? s.dims[s.rank - 1] : 1, at = 0;
    ev_shape rows = s;
    if (s.rank) rows.dims[s.rank - 1] = 1;
    do
        for (int64_t i = 0; i < n; i += ROW) {
            int64_t now = n - i < ROW ? n - i : ROW;
            if (s.rank) index[s.rank - 1] = i;
            run_row(p, operands, index, s.rank, now, cells);
            store_row(y, at, now, cells + result * ROW);
            at += now;
        }
    while (ev_next(&rows, index));
}

/* Clip's bounds are single elements that do not widen the result; all other operands broadcast together. */
static bool broadcast_operands(ir_eval *e, const ir_node *n, const ir_datum *const *in, ev_shape *s,
                               operand *operands) {
    *s = (ev_shape){0};
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_tensor *t = operands[i].tensor = ev_tensor(n, in, i);
        if (!t) continue;
        ev_shape own = ev_shape_of(t);
        bool bound = n->op == OP_Clip && i > 0;
        if (bound && ev_count(&own) != 1) return ev_error(e, n, "operand %u is not one element", i);
        if (!bound && !ev_broadcast(e, n, s, &own)) return false;
    }
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (!operands[i].tensor || (n->op == OP_Clip && i > 0)) continue;
        ev_shape own = ev_shape_of(operands[i].tensor);
        ev_broadcast_strides(&own, s, operands[i].strides);
    }
    return true;
}

/* ---- operands without arithmetic ----------------------------------------------------------------------------------- */

static bool where_any(const ev_shape *s, const operand *o, ir_tensor *y) {
    int64_t index[IR_MAX_RANK] = {0}, count = ev_count(s);
    for (int64_t i = 0; i < count; i++, ev_next(s, index)) {
        bool c = ((const uint8_t *)o[0].tensor->data)[ev_dot(index, o[0].strides, s->rank)] != 0;
        const operand *from = c ? &o[1] : &o[2];
        ev_copy_run(y->type->dtype, ir_tensor_data(y), i, from->tensor->data,
                    ev_dot(index, from->strides, s->rank), 1);
    }
    return true;
}

static bool equal_strings(const ev_shape *s, const operand *o, ir_tensor *y) {
    int64_t index[IR_MAX_RANK] = {0}, count = ev_count(s);
    uint8_t *result = ir_tensor_data(y);
    for (int64_t i = 0; i < count; i++, ev_next(s, index)) {
        const tl_sv *a = (const tl_sv *)o[0].tensor->data + ev_dot(index, o[0].strides, s->rank);
        const tl_sv *b = (const tl_sv *)o[1].tensor->data + ev_dot(index, o[1].strides, s->rank);
        result[i] = tl_sv_equal(*a, *b);
    }
    return true;
}

static bool has_arithmetic(ir_dtype t) {
    ir_dtype_class c = ir_dtype_get_class(t);
    return c != DTYPE_STRING && c != DTYPE_COMPLEX && c != DTYPE_OTHER;
}

/* Operands must be there where the schema wants them, of the same type where the definition relies on it. */
static bool check_operands(ir_eval *e, const ir_node *n, const ir_datum *const *in) {
    bool mixed = n->op == OP_Pow || n->op == OP_Where;
    uint32_t first = n->op == OP_Where ? 1 : 0;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const ir_tensor *t = ev_tensor(n, in, i), *t0 = ev_tensor(n, in, first);
        if (!t && n->op != OP_Clip) return ev_error(e, n, "operand %u is missing", i);
        if (!t || !t0) continue;
        bool ok = t->type->dtype == t0->type->dtype || (mixed && (n->op == OP_Pow || i == 0));
        if (!ok)
            return ev_error(e, n, "operand %u has another element type than operand %u", i, first);
    }
    if (!ev_need(e, n, in, 0)) return false;
    bool wants_bool = n->op == OP_Where || n->op == OP_Not;
    if (wants_bool && in[0]->tensor->type->dtype != DT_bool)
        return ev_error(e, n, "operand 0 is not boolean");
    return true;
}

/* The element type of what the operator computes with: Where's first operand is its condition. */
static ir_dtype value_type(const ir_node *n, const operand *operands) {
    return operands[n->op == OP_Where ? 1 : 0].tensor->type->dtype;
}

/* What inference said; without it the operands' type where that is computed in the result's type (f16 in f32). */
static ir_dtype result_type(const ir_node *n, ir_dtype value, ir_dtype computed) {
    if (n->op == OP_Cast) return (ir_dtype)ir_attr_int(n, "to", DT_undefined);
    if (n->out[0].type) return n->out[0].type->dtype;
    return ir_dtype_compute(value) == computed ? value : computed;
}

static bool run_program(ir_eval *e, const ir_node *n, const ir_datum *const *in, const ev_shape *s,
                        operand *operands, ir_datum *out) {
    sc_program p;
    sc_val result = record_definition(e, n, in, &p);
    ir_dtype type = result_type(n, value_type(n, operands), p.code.data[result.id].type);
    if (ir_dtype_compute(type) != p.code.data[result.id].type)
        return ev_error(e, n, "the result has type %s", ir_dtype_name(type));
    ir_tensor *y = ev_alloc(e, n, type, s);
    if (!y) return false;
    if (ev_count(s) > 0) run_all(e, &p, result.id, *s, operands, n->n_in, y);
    out[0].tensor = y;
    return true;
}

static bool run_cast(ir_eval *e, const ir_node *n, const ir_tensor *x, const ev_shape *s,
                     ir_datum *out) {
    ir_tensor *y = ev_alloc(e, n, (ir_dtype)ir_attr_int(n, "to", 0), s);
    out[0].tensor = y;
    return y && ev_cast(e, n, x, y);
}

/* Conversions that the definition gives with one rounding; the others are in cast.c. */
static bool is_plain_cast(const ir_node *n, ir_dtype from) {
    ir_dtype to = (ir_dtype)ir_attr_int(n, "to", 0);
    bool whole_bytes = ir_dtype_bits(from) >= 8 && ir_dtype_bits(to) >= 8;
    bool wide = !ir_dtype_is_float(to) || to == DT_f32 || to == DT_f64;
    return whole_bytes && wide && has_arithmetic(from) && has_arithmetic(to);
}

bool eval_scalar(ir_eval *e, const ir_node *n, const ir_datum *const *in, ir_datum *out) {
    ev_shape s;
    operand *operands = TL_NEW_ARRAY(e->arena, operand, n->n_in + 1);
    if (!check_operands(e, n, in) || !broadcast_operands(e, n, in, &s, operands)) return false;
    ir_dtype t = value_type(n, operands);
    int64_t to = n->op == OP_Cast ? ir_attr_int(n, "to", 0) : DT_f32;
    if (to <= 0 || to >= DT_COUNT)
        return ev_error(e, n, "there is no element type %lld", (long long)to);
    if (n->op == OP_Cast && !is_plain_cast(n, t))
        return run_cast(e, n, operands[0].tensor, &s, out);
    if ((n->op == OP_Where && !has_arithmetic(t)) || (n->op == OP_Equal && t == DT_str)) {
        ir_tensor *y = ev_alloc(e, n, n->op == OP_Where ? t : DT_bool, &s);
        out[0].tensor = y;
        return y && (n->op == OP_Where ? where_any : equal_strings)(&s, operands, y);
    }
    for (uint32_t i = 0; i < n->n_in; i++) {
        ir_dtype own = operands[i].tensor ? operands[i].tensor->type->dtype : t;
        if (!has_arithmetic(own)) return ev_error(e, n, "not defined for %s", ir_dtype_name(own));
    }
    return run_program(e, n, in, &s, operands, out);
}
