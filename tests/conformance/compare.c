/* Comparison of results with expected ones; see compare.h. */
#include "tests/conformance/compare.h"

#include <math.h>

static bool close_to(double found, double expected, tolerance t) {
    if (isnan(expected) || isnan(found)) return isnan(expected) && isnan(found);
    if (isinf(expected) || isinf(found)) return found == expected;
    return fabs(found - expected) <= t.absolute + t.relative * fabs(expected);
}

static bool compare_numbers(const ir_tensor *found, const ir_tensor *expected, tolerance t,
                            tl_str *why) {
    bool complex = ir_dtype_get_class(expected->type->dtype) == DTYPE_COMPLEX;
    ir_dtype part = expected->type->dtype == DT_c64 ? DT_f32 : DT_f64;
    size_t n = ir_tensor_elements(expected) * (complex ? 2 : 1), wrong = 0;
    for (size_t i = 0; i < n; i++) {
        double a = complex ? ir_element_get_f64(part, found->data, i) : ir_tensor_get_f64(found, i);
        double b = complex ? ir_element_get_f64(part, expected->data, i)
                           : ir_tensor_get_f64(expected, i);
        if (close_to(a, b, t)) continue;
        if (!wrong++) tl_str_printf(why, "element %zu is %.9g, expected %.9g", i, a, b);
    }
    if (wrong) tl_str_printf(why, " (%zu of %zu elements differ)", wrong, n);
    return wrong == 0;
}

static bool compare_strings(const ir_tensor *found, const ir_tensor *expected, tl_str *why) {
    const tl_sv *a = found->data, *b = expected->data;
    for (size_t i = 0; i < ir_tensor_elements(expected); i++) {
        if (tl_sv_equal(a[i], b[i])) continue;
        tl_str_printf(why, "string %zu is '%.*s', expected '%.*s'", i, (int)a[i].len, a[i].data,
                      (int)b[i].len, b[i].data);
        return false;
    }
    return true;
}

static bool compare_tensors(const ir_tensor *found, const ir_tensor *expected, tolerance t,
                            tl_str *why) {
    if (found->type != expected->type) { /* both static and of one context: interned */
        ir_type_print(found->type, why);
        tl_str_puts(why, ", expected ");
        ir_type_print(expected->type, why);
        return false;
    }
    return expected->type->dtype == DT_str ? compare_strings(found, expected, why)
                                           : compare_numbers(found, expected, t, why);
}

bool compare_data(const ir_datum *found, const ir_datum *expected, tolerance t, tl_str *why) {
    if (!found->tensor != !expected->tensor || found->n != expected->n) {
        tl_str_printf(why, "a %s of %u items, expected a %s of %u",
                      found->tensor ? "tensor" : "sequence", found->n,
                      expected->tensor ? "tensor" : "sequence", expected->n);
        return false;
    }
    if (expected->tensor) return compare_tensors(found->tensor, expected->tensor, t, why);
    for (uint32_t i = 0; i < expected->n; i++) {
        if (compare_data(&found->items[i], &expected->items[i], t, why)) continue;
        tl_str_printf(why, " in item %u", i);
        return false;
    }
    return true;
}
