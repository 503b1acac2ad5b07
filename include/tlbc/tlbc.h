/* The compiler behind the program `tlbc`: the interface between the command line and everything below it. C99, usable from C++.
 * It is not installed, and may change between versions: programs outside this tree run `tlbc`, and use compiled models through
 * tlbc/runtime.h. Inside the tree, link the target tlbc_driver.
 *
 *   tlbc_compile_options o = {0};
 *   o.struct_size = sizeof o;
 *   o.cpu = "x86-64-v3";
 *   char *message;
 *   if (tlbc_compile_file("model.onnx", "model.so", &o, &message)) fprintf(stderr, "%s", message);
 *   tlbc_message_free(message);
 *
 * Calls are independent of each other and may run at the same time in several threads; nothing is kept between them. What is
 * wrong with a model comes back as text, one diagnostic a line, warnings included; nothing is printed, nothing aborts. The one
 * exception: LLVM ends the process when the system itself is out of memory. */
#ifndef TLBC_TLBC_H
#define TLBC_TLBC_H

#include "tlbc/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What tlbc_compile_file writes. One bit: exactly to the output path. Several: beside it, with its name and these extensions. */
enum tlbc_emit {
    TLBC_EMIT_SO = 1, /* .so    shared object: one exported symbol, tlbc_model */
    TLBC_EMIT_OBJ =
        2, /* .o     object file for static linking with libtlbc_rt.a; its descriptor is called NAME_model */
    TLBC_EMIT_HEADER = 4, /* .h     typed prototypes and sizes of this model */
    TLBC_EMIT_ASM = 8,    /* .s     assembly */
    TLBC_EMIT_LLVM = 16,  /* .ll    LLVM IR */
    TLBC_EMIT_LOOP = 32,  /* .loop  loop IR */
    TLBC_EMIT_GRAPH =
        64 /* .tl    graph IR after all passes; code beside it has debug information that points into it */
};

/* How far rewrites may change rounding. */
typedef enum tlbc_math {
    TLBC_MATH_DEFAULT = 0, /* bounded effects: scales folded into weights */
    TLBC_MATH_STRICT = 1,  /* every bit as the model's operators say */
    TLBC_MATH_FAST = 2     /* also what ignores NaN, infinities and cancellation */
} tlbc_math;

/* Where the weights go. */
typedef enum tlbc_weights {
    TLBC_WEIGHTS_EMBED = 0, /* into the .so */
    TLBC_WEIGHTS_FILE = 1   /* into STEM.weights beside it, mapped when a session is created */
} tlbc_weights;

/* How the rewrite rules are run. */
typedef enum tlbc_simplify {
    TLBC_SIMPLIFY_EGRAPH =
        0, /* each as soon as it applies, then all at once, by equality saturation: the cheapest form that they reach */
    TLBC_SIMPLIFY_NONE = 1,
    TLBC_SIMPLIFY_CLASSIC = 2 /* each as soon as it applies, no more */
} tlbc_simplify;

/* What a state of a step function begins with, where that is not zeros: its values, or fewer that are repeated as in broadcasting. */
typedef struct tlbc_state_value {
    const char *name;
    tlbc_tensor value;
} tlbc_state_value;

/* Zero means the default everywhere. Strings are borrowed during the call. */
typedef struct tlbc_compile_options {
    uint32_t struct_size; /* sizeof(tlbc_compile_options) */
    uint32_t emit;        /* enum tlbc_emit; 0 = TLBC_EMIT_SO */
    const char *name;     /* of the model, a C identifier; NULL = made from the file's name */
    const char *
        cpu; /* "native", or a list like "x86-64-v2,x86-64-v4": one .so with several versions; NULL = "native" */
    const char *const *dims; /* "batch=1": pins a symbolic dimension of the inputs */
    uint32_t n_dims;
    tlbc_math math;
    tlbc_weights weights;
    const char *passes;       /* pass pipeline; NULL = "default" */
    const char *skip;         /* passes to leave out, comma separated */
    const char *command_line; /* recorded in the model (tlbc_model.options) and in reproducers */
    /* Called from time to time with the name of the stage that begins ("import", "passes", "codegen", "llvm", "link"). */
    void (*progress)(void *data, const char *stage);
    void *progress_data;
    uint64_t fail_allocation; /* tests: the n-th allocation of the compiler fails; 0 = none */
    const char *const
        *states; /* "h0=hn,c0=cn": an input and an output that are one state of a step function */
    uint32_t n_states;
    const char *explain; /* passes that say on standard error what they found, comma separated */
    const char *const
        *streams; /* "x:1:4": a step function that takes 4 positions along axis 1 of input x */
    uint32_t n_streams;
    const char *const *
        entries; /* "aggregate=aggregate.onnx": another entry point, with the weights and states that are alike in common */
    uint32_t n_entries;
    tlbc_simplify simplify;
    const tlbc_state_value *state_values;
    uint32_t n_state_values;
    uint32_t
        batch_streams; /* 1: a step function for one stream takes many at once; tlbc_step_many multiplies their rows together */
} tlbc_compile_options;

/* Compiles a model file. `options` may be NULL. `message` may be NULL; else it gets NULL or text to be freed by tlbc_message_free: errors,
 * or warnings after success. A file appears under its name only when it is whole, and an older one stays until then. TLBC_ERROR_MODEL: the
 * model cannot be read, is invalid or not supported; _ARGUMENT: an option; _IO: an output cannot be written; _MEMORY. */
tlbc_status tlbc_compile_file(const char *onnx, const char *output,
                              const tlbc_compile_options *options, char **message);

/* A model compiled into this process, without files. *out is the caller's to free, NULL on failure; statuses and message as above.
 * Sessions of the model may run in any thread. */
typedef struct tlbc_loaded tlbc_loaded;
tlbc_status tlbc_compile_memory(const char *onnx, const tlbc_compile_options *options,
                                tlbc_loaded **out, char **message);
const tlbc_model *tlbc_loaded_model(const tlbc_loaded *l); /* lives as long as l */
void tlbc_loaded_free(tlbc_loaded *l); /* NULL is fine; all sessions must have been freed */

void tlbc_message_free(char *message); /* NULL is fine */
const char *tlbc_version(void);        /* "0.1.0" */

#ifdef __cplusplus
}
#endif

#endif
