/* ONNX test-data folders: a model and test_data_set_N/ with input_I.pb and output_J.pb. */
#ifndef TLBC_CLI_CASE_H
#define TLBC_CLI_CASE_H

#include "cli/data.h"
#include "cli/model.h"

typedef struct case_options {
    data_tolerance tolerance;
    int64_t threads;     /* the sets are run with one thread and with each number up to this one */
    bool evaluator;      /* the reference evaluator instead of compiled code */
    model_source source; /* without the path */
} case_options;

/* One model with its data. */
typedef struct test_case {
    const char *model;  /* path of the .onnx or .so */
    const char *folder; /* where the data sets are */
    const char *name;   /* last part of the folder's path */
} test_case;

/* Runs all sets and prints a line for each: "PASS folder/test_data_set_0", "FAIL …: reason", "SKIP …: reason". */
void case_run(cli *c, const test_case *t, const case_options *o);
/* Names of the entries of a folder with this prefix, sorted by number and name; false where it cannot be read. */
bool case_list(tl_arena *a, const char *folder, const char *prefix, cli_list *out);

#endif
