/* Tensors in files: .npy, .npz and ONNX's .pb. */
#ifndef TLBC_CLI_DATA_H
#define TLBC_CLI_DATA_H

#include "cli/cli.h"
#include "cli/npz.h"

/* One tensor. `name`: the entry of an .npz (which may also be the only one). false after reporting. */
bool data_read(cli *c, const char *path, const char *name, tlbc_tensor *out);
/* A .pb file that holds what `info` says: a tensor, a sequence or an optional. */
bool data_read_value(cli *c, const char *path, const tlbc_tensor_info *info, tlbc_tensor *out);
/* Writes FOLDER/NAME.npy; false after reporting. */
bool data_write(cli *c, const char *folder, const char *name, const tlbc_tensor *t);

/* The same tensor in the compiler's terms and back; the bytes are shared. */
const struct ir_tensor *data_to_ir(cli *c, const tlbc_tensor *t);
tlbc_tensor data_from_ir(const struct ir_tensor *t);

/* First difference between two values, as the tests of ONNX judge it: |got - want| <= atol + rtol*|want|, NaN equals NaN,
 * infinities must agree, types and shapes must be equal. True when equal; else `text` (in the arena) says what differs. */
typedef struct data_tolerance {
    double rtol, atol;
} data_tolerance;
bool data_compare(tl_arena *a, const tlbc_tensor *got, const tlbc_tensor *want, data_tolerance tol,
                  const char **text);
/* Not a bit differs, not even the sign of a zero. */
bool data_same_bits(tl_arena *a, const tlbc_tensor *got, const tlbc_tensor *want,
                    const char **text);
/* "[1,2]" of the element with this number. */
const char *data_index_text(tl_arena *a, const tlbc_tensor *t, size_t number);

#endif
