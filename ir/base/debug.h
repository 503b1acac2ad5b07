/* The environment variable TLBC_DEBUG, parsed: switches for people who work on the compiler. The list with its descriptions is
 * debug.def; there is no global state, the caller hands the struct on.
 *
 *   debug_flags d;
 *   if (!debug_parse(&d, arena, getenv("TLBC_DEBUG"), &error)) ...      // "print-changed,skip:cse,bisect=12" */
#ifndef TLBC_IR_BASE_DEBUG_H
#define TLBC_IR_BASE_DEBUG_H

#include "ir/base/str.h"

typedef struct debug_flags {
#define DEBUG_FLAG(field, spelling, summary)       bool field;
#define DEBUG_TEXT(field, spelling, what, summary) const char *field; /* NULL where absent */
#define DEBUG_NUMBER(field, spelling, summary)     int64_t field;     /* -1 where absent */
#include "ir/base/debug.def"
#undef DEBUG_FLAG
#undef DEBUG_TEXT
#undef DEBUG_NUMBER
} debug_flags;

/* text may be NULL (nothing set). false with *error (arena) naming the unknown flag or the bad number. */
bool debug_parse(debug_flags *d, tl_arena *a, const char *text, const char **error);
/* The list of all flags, a line each. */
void debug_print_help(tl_str *out);

#endif
