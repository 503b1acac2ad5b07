/* Shared objects before they are loaded.
 *
 *   if (library_is_cut("m.so")) return diag_error(d, NULL, "'%s' is cut short", path); */
#ifndef TLBC_CLI_LIBRARY_H
#define TLBC_CLI_LIBRARY_H

#include <stdbool.h>

/* An ELF file that lacks bytes its headers promise: dlopen would map it, and the process end with SIGBUS. false for everything
 * else, of which dlopen itself says what is wrong. */
bool library_is_cut(const char *path);

#endif
