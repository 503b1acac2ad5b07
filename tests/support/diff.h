/* Differences of two texts, line by line. */
#ifndef TLBC_TESTS_DIFF_H
#define TLBC_TESTS_DIFF_H

#include "ir/base/str.h"

/* Appends the lines with " ", "-" (only in a) or "+" (only in b) in front, unchanged stretches shortened. */
void diff_lines(tl_sv a, tl_sv b, tl_str *out);

#endif
