/* NumPy's .npy files (format versions 1.0, 2.0 and 3.0), read from and written to memory.
 *
 *   tlbc_tensor t;
 *   if (!npy_read(&diag, &arena, "x.npy", bytes, size, &t)) return 1;      // data: dense, row-major, in the arena
 *
 * Reads bool, integers, f16, f32, f64, complex and two-byte void (what NumPy makes of bfloat16) of either byte order; Fortran
 * order is turned into row-major. Python objects, records and strings are refused. Every size of the header is checked against
 * the bytes that are there, so a hostile file ends in a message.
 *
 * Writes version 1.0, little endian, row-major. bf16 becomes '<V2', eight-bit floats '|V1'; elements of 4 and 2 bits get a
 * byte each. */
#ifndef TLBC_CLI_NPY_H
#define TLBC_CLI_NPY_H

#include "ir/base/diag.h"

#include "tlbc/runtime.h"

bool npy_read(diag *d, tl_arena *a, const char *name, const void *bytes, size_t size,
              tlbc_tensor *out);
/* Appends the file's bytes. false (after reporting) for element types that .npy has no name for: strings. */
bool npy_write(diag *d, const char *name, const tlbc_tensor *t, tl_str *out);

#endif
