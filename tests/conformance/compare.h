/* Compares results as ONNX's own test runner does. */
#ifndef TLBC_TESTS_CONFORMANCE_COMPARE_H
#define TLBC_TESTS_CONFORMANCE_COMPARE_H

#include "ir/eval.h"

typedef struct tolerance {
    double relative, absolute;
} tolerance;

/* Types, shapes and the numbers of items must agree exactly, strings too; numbers within absolute + relative * |expected|,
 * NaN with NaN, infinities with their like. On a difference: false, and what differs is appended to *why. */
bool compare_data(const ir_datum *found, const ir_datum *expected, tolerance t, tl_str *why);

#endif
