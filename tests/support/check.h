/* The unit test harness: checks that count, print where they fail, and go on.
 *
 *   int main(void) {
 *       CHECK_EQ(1 + 1, 2);
 *       return check_done();
 *   } */
#ifndef TLBC_TESTS_CHECK_H
#define TLBC_TESTS_CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int check_passed, check_failed;

static inline bool check_record(bool ok, const char *file, int line, const char *what) {
    if (ok)
        check_passed++;
    else
        check_failed++, fprintf(stderr, "%s:%d: check failed: %s\n", file, line, what);
    return ok;
}

static inline bool check_strings(const char *a, const char *b, const char *file, int line) {
    bool ok = a && b ? strcmp(a, b) == 0 : a == b;
    check_record(ok, file, line, "strings are equal");
    if (!ok)
        fprintf(stderr, "  found:    %s\n  expected: %s\n", a ? a : "(null)", b ? b : "(null)");
    return ok;
}

static inline bool check_ints(long long a, long long b, const char *what, const char *file,
                              int line) {
    bool ok = a == b;
    check_record(ok, file, line, what);
    if (!ok) fprintf(stderr, "  found:    %lld\n  expected: %lld\n", a, b);
    return ok;
}

#define CHECK(cond) check_record((cond), __FILE__, __LINE__, #cond)
#define CHECK_EQ(found, expected)                                                            \
    check_ints((long long)(found), (long long)(expected), #found " == " #expected, __FILE__, \
               __LINE__)
#define CHECK_STR(found, expected) check_strings((found), (expected), __FILE__, __LINE__)

static inline int check_done(void) {
    printf("%d passed, %d failed\n", check_passed, check_failed);
    return check_failed != 0 || check_passed == 0;
}

#endif
