/* Cast: every pair of element types, strings and narrow floats included.
 *
 * The conversion is from the source's exact value to the target in one rounding (f64 -> f16 through f32 would round
 * twice). Float to integer truncates and saturates, NaN gives 0; integer to integer wraps; to bool is "not zero".
 * The 8-bit floats have an attribute `saturate`: 1 (default) sends what is too large to the largest finite value, 0 to NaN
 * or infinity as the type has it. f4e2m1 always saturates. f8e8m0 holds powers of two and has its own rounding mode. */
#include "ir/eval/eval_internal.h"
#include "ir/eval/sc_host.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- narrow floats ------------------------------------------------------------------------------------------------- */

static const struct narrow {
    ir_dtype type;
    double max; /* largest finite value */
    double
        overflow; /* smallest magnitude that rounds beyond max (where `over_is_max`: the largest that still does not) */
    bool tie_is_max; /* a value exactly at `overflow` rounds to max */
    uint8_t too_large,
        negative; /* bits of an overflowed positive / negative value without saturation */
} narrows[] = {
    {DT_f8e4m3fn, 448, 464, true, 0x7f, 0xff},
    {DT_f8e4m3fnuz, 240, 248, false, 0x80, 0x80},
    {DT_f8e5m2, 57344, 61440, false, 0x7c, 0xfc},
    {DT_f8e5m2fnuz, 57344, 61440, false, 0x80, 0x80},
};

static void store_narrow(const struct narrow *k, bool saturate, void *data, size_t at, double v) {
    double size = fabs(v);
    bool over = k->tie_is_max ? size > k->overflow : size >= k->overflow;
    if (over && !saturate) {
        ((uint8_t *)data)[at] = v < 0 ? k->negative : k->too_large;
        return;
    }
    if (size > k->max) v = copysign(k->max, v);
    ir_element_set_f64(k->type, data, at, v);
}

/* 2^(byte - 127); 255 is NaN. mode: "up" (default) to the larger power, "down" to the smaller, "nearest" (ties up). */
static uint8_t to_e8m0(const char *mode, bool saturate, double v) {
    if (isnan(v)) return 0xff;
    v = fabs(v);
    if (isinf(v)) return saturate ? 0xfe : 0xff;
    int exponent;
    double fraction = frexp(v, &exponent); /* v = fraction * 2^exponent, fraction in [0.5, 1) */
    if (v == 0) return 0;
    bool exact = fraction == 0.5;
    int64_t power = exponent - 1;
    if (!exact && strcmp(mode, "up") == 0) power++;
    if (strcmp(mode, "nearest") == 0 && fraction >= 0.75) power++;
    if (power > 127) return saturate ? 0xfe : 0xff;
    return power < -127 ? 0 : (uint8_t)(power + 127);
}

void ev_store_float(const ir_node *n, ir_dtype t, void *data, size_t at, double v) {
    bool saturate = ir_attr_int(n, "saturate", 1) != 0;
    if (t == DT_f8e8m0) {
        ((uint8_t *)data)[at] = to_e8m0(ir_attr_string(n, "round_mode", "up"), saturate, v);
        return;
    }
    for (size_t i = 0; i < sizeof narrows / sizeof *narrows; i++) {
        if (narrows[i].type != t) continue;
        store_narrow(&narrows[i], saturate, data, at, v);
        return;
    }
    if (t == DT_f4e2m1) v = v > 6 ? 6 : v < -6 ? -6 : v;
    ir_element_set_f64(t, data, at, v);
}

/* ---- strings --------------------------------------------------------------------------------------------------------- */

/* The shortest decimal that reads back as the same value of the type; INF, -INF, NaN as ONNX spells them. */
static tl_sv float_text(tl_arena *a, ir_dtype t, double v) {
    char text[40] = "NaN";
    if (isinf(v)) snprintf(text, sizeof text, v < 0 ? "-INF" : "INF");
    for (int digits = 1; isfinite(v) && digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (ev_round(t, strtod(text, NULL)) == v) break;
    }
    return tl_sv_from(tl_arena_strdup(a, text));
}

static tl_sv element_text(tl_arena *a, const ir_tensor *x, size_t i) {
    ir_dtype t = x->type->dtype;
    if (ir_dtype_is_float(t)) return float_text(a, t, ir_tensor_get_f64(x, i));
    int64_t v = ir_tensor_get_i64(x, i);
    if (t == DT_bool) return tl_sv_from(v ? "True" : "False");
    if (t == DT_u64) return tl_sv_from(tl_arena_printf(a, "%llu", (unsigned long long)v));
    return tl_sv_from(tl_arena_printf(a, "%lld", (long long)v));
}

static bool string_to_number(ir_eval *e, const ir_node *n, tl_sv s, ir_tensor *y, size_t i) {
    char *text = tl_arena_strndup(e->arena, s.data ? s.data : "", s.len), *end;
    ir_dtype t = y->type->dtype;
    bool is_float = ir_dtype_is_float(t);
    errno = 0;
    double v = is_float ? strtod(text, &end) : 0;
    int64_t k = is_float      ? 0
                : t == DT_u64 ? (int64_t)strtoull(text, &end, 10)
                              : strtoll(text, &end, 10);
    while (isspace((unsigned char)*end))
        end++;
    if (end == text || *end || (!is_float && errno == ERANGE))
        return ev_error(e, n, "cannot convert '%s' to %s", text, ir_dtype_name(t));
    if (is_float)
        ev_store_float(n, t, ir_tensor_data(y), i, v);
    else
        ir_tensor_set_i64(y, i, k);
    return true;
}

/* ---- any to any ------------------------------------------------------------------------------------------------------ */

static void cast_number(const ir_node *n, const ir_tensor *x, ir_tensor *y, size_t i) {
    ir_dtype from = x->type->dtype, to = y->type->dtype;
    bool from_float = ir_dtype_is_float(from), wide = ir_dtype_bits(from) == 64;
    if (!ir_dtype_is_float(to)) {
        sc_cell v = sc_host_load(from, x->data, i);
        int64_t k = from_float ? (to == DT_bool ? v.f != 0 : sc_host_to_int(to, v.f))
                               : sc_host_wrap(to, v.i);
        ir_tensor_set_i64(y, i, k);
        return;
    }
    /* A 64-bit integer does not fit a double: to f32 it must go at once. */
    int64_t k = from_float ? 0 : sc_host_load(from, x->data, i).i;
    double v = from_float ? ir_tensor_get_f64(x, i) : (double)k;
    if (from == DT_u64)
        v = to == DT_f32 ? (float)(uint64_t)k : (double)(uint64_t)k;
    else if (!from_float && wide && to == DT_f32)
        v = (float)k;
    ev_store_float(n, to, ir_tensor_data(y), i, v);
}

bool ev_cast(ir_eval *e, const ir_node *n, const ir_tensor *x, ir_tensor *y) {
    ir_dtype from = x->type->dtype, to = y->type->dtype;
    size_t count = ir_tensor_elements(x);
    bool complex = ir_dtype_get_class(from) == DTYPE_COMPLEX ||
                   ir_dtype_get_class(to) == DTYPE_COMPLEX;
    if (from == to) {
        ev_copy_run(from, ir_tensor_data(y), 0, x->data, 0, (int64_t)count);
        return true;
    }
    if (complex || to == DT_undefined)
        return ev_error(e, n, "no conversion from %s to %s", ir_dtype_name(from),
                        ir_dtype_name(to));
    for (size_t i = 0; i < count; i++) {
        if (to == DT_str)
            ((tl_sv *)ir_tensor_data(y))[i] = element_text(e->arena, x, i);
        else if (from != DT_str)
            cast_number(n, x, y, i);
        else if (!string_to_number(e, n, ((const tl_sv *)x->data)[i], y, i))
            return false;
    }
    return true;
}
