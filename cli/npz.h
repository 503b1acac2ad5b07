/* NumPy's .npz archives: a zip file of .npy files. */
#ifndef TLBC_CLI_NPZ_H
#define TLBC_CLI_NPZ_H

#include "cli/npy.h"

typedef struct npz_entry {
    const char *name; /* without ".npy" */
    tlbc_tensor tensor;
} npz_entry;

/* All arrays of the archive, in its order. false after reporting. */
bool npz_read(diag *d, tl_arena *a, const char *path, npz_entry **entries, uint32_t *n);

#endif
