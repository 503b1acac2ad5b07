/* Files and their names. Writing whole files: codegen/output.h. */
#ifndef TLBC_CLI_FILE_H
#define TLBC_CLI_FILE_H

#include "ir/base/diag.h"

/* 64-byte aligned. false after reporting. */
bool file_read(diag *d, tl_arena *a, const char *path, tl_sv *out);
bool file_exists(const char *path);
bool file_is_folder(const char *path);
bool file_make_folder(diag *d, const char *path); /* fine where it is there already */

/* ".npy" of "a/b.npy"; "" where there is none. */
const char *file_extension(const char *path);
/* "b" of "a/b.npy", in the arena. */
const char *file_stem(tl_arena *a, const char *path);
/* A name from a model as a plain file name: letters, digits, '.', '-' and '_' stay, the rest becomes '_'; no leading dot. */
const char *file_safe_name(tl_arena *a, const char *name);

#endif
