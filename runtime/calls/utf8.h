/* Characters of UTF-8 text. */
#ifndef TLBC_RUNTIME_UTF8_H
#define TLBC_RUNTIME_UTF8_H

#include "tlbc/runtime.h"

#include <stdbool.h>

/* The code point at *at, which moves behind it. Bytes that are no UTF-8 are taken one by one, as 0xDC80 + byte - 0x80. */
uint32_t tlbc_rt_utf8_next(tlbc_string s, size_t *at);
/* Writes a code point (or such a byte); the number of bytes, at most 4. */
size_t tlbc_rt_utf8_put(char *to, uint32_t c);
bool tlbc_rt_is_space(uint32_t c); /* White_Space of Unicode, and the separators 0x1c to 0x1f */
/* Unicode's simple case mappings: one character to one, in any locale. */
uint32_t tlbc_rt_lower(uint32_t c);
uint32_t tlbc_rt_upper(uint32_t c);

#endif
