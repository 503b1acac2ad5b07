/* A session for tests: all its threads take part in each run, however little there is to do. */
#ifndef TLBC_TESTS_SUPPORT_SESSION_H
#define TLBC_TESTS_SUPPORT_SESSION_H

#include "include/tlbc/runtime.h"
#include "tests/support/check.h"

static inline tlbc_session *session(const tlbc_model *m, uint32_t streams, uint32_t threads) {
    tlbc_session *s = NULL;
    tlbc_session_options o = {
        .struct_size = sizeof o, .threads = threads, .exact_threads = 1, .streams = streams};
    CHECK_EQ(tlbc_session_create(m, &o, &s), TLBC_OK);
    return s;
}

#endif
