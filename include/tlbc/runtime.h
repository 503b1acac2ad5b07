/* How a program uses a model that tlbc compiled. C99, usable from C++. Nothing to link but the model itself: everything here is a
 * type or a static inline call through the model's function table, so that several models made by different versions can live in one
 * program.
 *
 *   const tlbc_model *model;
 *   tlbc_status s = tlbc_open("model.so", &model, message, sizeof message);     or: extern const tlbc_model NAME_model;
 *   tlbc_session *session;
 *   s = tlbc_session_create(model, NULL, &session);
 *   tlbc_tensor in = tlbc_tensor_f32(x, 2, (int64_t[]){1, 64}), out = tlbc_tensor_f32(y, 2, (int64_t[]){1, 10});
 *   s = tlbc_run(session, &in, &out);
 *   if (s) fprintf(stderr, "%s\n", tlbc_session_message(session));
 *   tlbc_session_free(session);
 *
 * A model with states is a step function: tlbc_step instead of tlbc_run, once for each part of a sequence. The session keeps the states
 * from step to step; tlbc_reset begins anew, tlbc_state_save and tlbc_state_load take them to another time or process.
 *
 * Ownership: tensors' memory is the caller's and is read or written only during a call; outputs must not overlap each other or the
 * inputs. A session is its creator's to free, before the model is closed. All else (models, names, descriptors) is constant data of the
 * model and lives until it is closed.
 * Threads: a session belongs to one thread at a time; everything else may be called from any thread, and different sessions of one
 * model may run at the same time.
 * Units: sizes in bytes unless they say elements; dimensions in elements, outermost first.
 * Errors: every function that can fail returns a tlbc_status; the session holds a message that names the input, the expected and the
 * given shape. After an error a session can be used as before. Pointers are not checked: NULL only where it says so. */
#ifndef TLBC_RUNTIME_H
#define TLBC_RUNTIME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes whenever a struct below changes incompatibly. tlbc_open refuses a model of another version. */
#define TLBC_ABI_VERSION 4
#define TLBC_MAX_RANK    16
#define TLBC_ALL_STREAMS UINT32_MAX /* for tlbc_reset */
#define TLBC_ANY_RANK    0xffffffffu

typedef enum tlbc_status {
    TLBC_OK = 0,
    TLBC_ERROR_MEMORY = 1,   /* out of memory, or the caller's workspace is too small */
    TLBC_ERROR_ARGUMENT = 2, /* wrong name, count, type, rank or shape */
    TLBC_ERROR_DATA = 3,     /* input data made the model fail: an index out of range */
    TLBC_ERROR_VERSION = 4,  /* model made by an incompatible version of tlbc */
    TLBC_ERROR_CPU = 5,      /* the machine lacks instructions the model was compiled for */
    TLBC_ERROR_IO = 6,       /* cannot open the file */
    TLBC_ERROR_MODEL = 7,    /* compile time: the model is invalid or not supported */
    TLBC_ERROR_INTERNAL = 8  /* a bug in tlbc */
} tlbc_status;

/* What a status means in general; a session's message says it in particular. */
static inline const char *tlbc_status_text(tlbc_status s) {
    switch (s) {
    case TLBC_OK:
        return "ok";
    case TLBC_ERROR_MEMORY:
        return "out of memory, or the workspace is too small";
    case TLBC_ERROR_ARGUMENT:
        return "wrong name, count, type, rank or shape";
    case TLBC_ERROR_DATA:
        return "the model cannot compute with these values";
    case TLBC_ERROR_VERSION:
        return "made by an incompatible version of tlbc, or a weights file of another compilation";
    case TLBC_ERROR_CPU:
        return "this processor lacks instructions that the model was compiled for";
    case TLBC_ERROR_IO:
        return "a file cannot be read or written";
    case TLBC_ERROR_MODEL:
        return "the model is invalid or not supported";
    case TLBC_ERROR_INTERNAL:
        return "a bug in tlbc";
    }
    return "unknown status";
}

/* Element types; numbers as in ONNX TensorProto.DataType. Types of 4 and 2 bits share bytes, low bits first. */
typedef enum tlbc_dtype {
    TLBC_F32 = 1,
    TLBC_U8 = 2,
    TLBC_I8 = 3,
    TLBC_U16 = 4,
    TLBC_I16 = 5,
    TLBC_I32 = 6,
    TLBC_I64 = 7,
    TLBC_STRING = 8,
    TLBC_BOOL = 9,
    TLBC_F16 = 10,
    TLBC_F64 = 11,
    TLBC_U32 = 12,
    TLBC_U64 = 13,
    TLBC_C64 = 14,
    TLBC_C128 = 15,
    TLBC_BF16 = 16,
    TLBC_F8E4M3FN = 17,
    TLBC_F8E4M3FNUZ = 18,
    TLBC_F8E5M2 = 19,
    TLBC_F8E5M2FNUZ = 20,
    TLBC_U4 = 21,
    TLBC_I4 = 22,
    TLBC_F4E2M1 = 23,
    TLBC_F8E8M0 = 24,
    TLBC_U2 = 25,
    TLBC_I2 = 26,
    /* Values that are no tensors, in the struct of one: `data` is an array of tlbc_tensor, dims[0] says of how many, rank is 1. A
     * sequence holds its elements, an optional none or one. A map holds two: a 1-D tensor of keys and one of as many values. */
    TLBC_SEQUENCE = 1001,
    TLBC_OPTIONAL = 1002,
    TLBC_MAP = 1003
} tlbc_dtype;

/* An element of type TLBC_STRING: bytes of UTF-8, not terminated; data may be NULL where len is 0. */
typedef struct tlbc_string {
    const char *data;
    size_t len;
} tlbc_string;

/* One dimension of an input or output: a constant, or an expression over the model's symbols. */
typedef struct tlbc_dim {
    int64_t value;      /* -1 where it is not a constant */
    const char *symbol; /* "batch", "2*time"; NULL for constants */
    int32_t expr;       /* private: number of the expression; -1 for constants */
    int32_t
        bind; /* private: number of the symbol this dimension defines; -1 = it is only checked */
} tlbc_dim;

/* An input or output. A dimension of an output whose `value` and private numbers are all -1 depends on data: the run tells it. */
typedef struct tlbc_tensor_info {
    const char *name;
    tlbc_dtype dtype;
    uint32_t rank; /* TLBC_ANY_RANK: the run tells it */
    const tlbc_dim *dims;
    uint32_t
        sequence; /* 1 + the axis along which a step gets, or makes, the next part of a sequence; 0: none */
    uint32_t
        delay; /* of an output that is such a part: an element depends on inputs up to so many positions behind its own, found from
                * what the model computes from what; the step itself comes when all its positions are there */
    const struct tlbc_tensor_info *
        element; /* of a sequence or optional: what is inside; of a map: two of them, key and value; else NULL */
} tlbc_tensor_info;

/* What a step function carries from call to call. A dimension that is a symbol counts streams. */
typedef struct tlbc_state_info {
    tlbc_tensor_info tensor;
    int32_t stream_axis; /* the dimension that counts streams; -1: none */
    uint16_t kept;       /* 1: the model reads it and leaves it as it is */
    uint16_t in_place;   /* 1: a step writes the rows that are new, not the whole state */
    uint64_t bytes;      /* of one stream; of one that grows: at its limit */
    const void *initial; /* of one stream, dense; NULL: zeros */
} tlbc_state_info;

/* A dense row-major tensor in the caller's memory, aligned as its elements need (64 bytes are best). `bytes` is what is there: at least
 * the tensor's size. For outputs it is the room at `data`; rank, dims and dtype are filled in by the run (a dtype that is set already
 * must be the right one). `data` may be NULL where the tensor has no elements, and for an output whose shape depends on data (or that is
 * no tensor): the run then sets it to memory of the session that is good until the next call. */
typedef struct tlbc_tensor {
    void *data;
    size_t bytes;
    tlbc_dtype dtype;
    uint32_t rank;
    int64_t dims[TLBC_MAX_RANK];
} tlbc_tensor;

typedef struct tlbc_session tlbc_session;
typedef struct tlbc_model tlbc_model;

typedef struct tlbc_session_options {
    uint32_t struct_size; /* sizeof(tlbc_session_options), or 0 */
    uint32_t
        threads; /* 0 or 1: the calling thread alone; n: up to n-1 more, as far as there are processors, asleep while no run is going on; at most 1024 */
    void *
        workspace; /* caller's memory, 64-byte aligned, of this session alone until it is freed, as much as tlbc_shapes says (of a
                             * session without it and with as many threads); NULL: the session allocates its own */
    size_t workspace_bytes;
    uint32_t
        streams; /* models with states: how many independent streams the session holds; 0 = 1. Not more than one where a run
                     * leaves its outputs in memory of the session (below). */
    /* Memory for values whose size only the data tells (results of NonZero, Reshape to a computed shape, strings, sequences): 64-byte
     * aligned pieces, asked for by one thread at a time while a run is going on, given back when a later run or the end of the session
     * no longer needs them. A model without such values never asks. NULL: aligned_alloc and free. */
    void *(*allocate)(void *context, size_t bytes); /* NULL where there is no more */
    void (*release)(void *context, void *memory);
    void *allocator_context;
    /* A session of another entry point of the same library, or NULL: this session's states are its states of the same names, and a
     * step of either moves them on. All of this model's states must be there, with equal types, and `streams` is the other one's. Both
     * sessions belong to one thread at a time, and the other one is freed last. */
    tlbc_session *states_of;
    uint32_t
        exact_threads; /* 1: all threads take part in every run, however little there is to do; for tests. 0: so many as pay */
    /* Random operators (RandomNormal, Bernoulli, Dropout in training, ...) that have no seed of their own in the model make their numbers
     * from this one. One seed, one set of numbers: in every run of the session, with any number of threads. Another seed,
     * others. */
    uint64_t seed;
} tlbc_session_options;

/* The functions of a compiled model; call them through the wrappers below. */
typedef struct tlbc_api {
    tlbc_status (*session_create)(const tlbc_model *, const tlbc_session_options *,
                                  tlbc_session **);
    void (*session_free)(tlbc_session *);
    const char *(*session_message)(const tlbc_session *);
    tlbc_status (*shapes)(tlbc_session *, const tlbc_tensor *inputs, tlbc_tensor *outputs,
                          size_t *workspace_bytes);
    tlbc_status (*run)(tlbc_session *, const tlbc_tensor *inputs, tlbc_tensor *outputs);
    const char *(*library_path)(
        const tlbc_model *); /* file the model is loaded from, NULL where not known */
    tlbc_status (*step)(tlbc_session *, const tlbc_tensor *inputs, tlbc_tensor *outputs);
    tlbc_status (*step_many)(tlbc_session *, uint32_t n, const uint32_t *streams,
                             const tlbc_tensor *inputs, tlbc_tensor *outputs);
    tlbc_status (*reset)(tlbc_session *, uint32_t stream);
    tlbc_status (*clone)(tlbc_session *to, uint32_t to_stream, const tlbc_session *from,
                         uint32_t from_stream);
    tlbc_status (*state_save)(tlbc_session *, uint32_t stream, void *data, size_t *bytes);
    tlbc_status (*state_load)(tlbc_session *, uint32_t stream, const void *data, size_t bytes);
} tlbc_api;

typedef struct tlbc_entry_info {
    const char *name;
    const tlbc_model *model;
} tlbc_entry_info;

/* The descriptor of a compiled model; constant data inside the .so. */
struct tlbc_model {
    uint32_t abi_version, struct_size;
    const char *name;
    const char *compiler; /* "tlbc 0.1.0" */
    const char *target;   /* "x86-64-v3" or a list, in order of preference */
    const char *options;  /* the compile flags that shaped it */
    uint8_t sha256[32];   /* of the ONNX file */
    uint32_t n_inputs, n_outputs, n_symbols, n_states;
    const tlbc_tensor_info *inputs, *outputs;
    const char *const *symbols;    /* names, in the order of the dimension bindings */
    const tlbc_state_info *states; /* n_states > 0: a step function */
    uint32_t chunk,
        delay; /* positions of the sequence that a step takes, 0 where none is cut up or their number is free; the largest
                            * delay of an output */
    double
        flops; /* of the products of one run, a multiply-add is two; 0 where it depends on symbols */
    uint64_t weight_bytes; /* of all constants */
    const tlbc_api *api;
    const struct tlbc_program *program; /* private: runtime/abi.h */
    const tlbc_entry_info *
        entries; /* of a library with several entry points: all of them, the first one too; else NULL */
    uint32_t n_entries, reserved;
    const tlbc_model *
        tail; /* what a step with fewer positions runs, at the end of a sequence (its inputs have a symbol there); NULL: none */
    const char *no_tail; /* why; NULL where none is needed */
};

/* An entry point of the library that m is one of; NULL where none has this name. */
static inline const tlbc_model *tlbc_entry(const tlbc_model *m, const char *name) {
    for (uint32_t i = 0; i < m->n_entries; i++)
        if (!strcmp(m->entries[i].name, name)) return m->entries[i].model;
    return NULL;
}

/* A session starts with a pointer to its model: all wrappers below work on any model of this ABI. */
static inline const tlbc_model *tlbc_session_model(const tlbc_session *s) {
    return *(const tlbc_model *const *)s;
}

/* Creates a session. options may be NULL: one thread, own workspace. *out is NULL on failure, and the status is all there is to know:
 * TLBC_ERROR_CPU, _MEMORY (also for threads), _ARGUMENT (workspace not aligned, too many threads), _IO or _VERSION (the model's file of
 * weights is missing, or belongs to another compilation; or the model to another version). After fork() parent and child may both go on
 * with the session, if no call on it was going on; in the child the calling thread does all the work. */
static inline tlbc_status
tlbc_session_create(const tlbc_model *m, const tlbc_session_options *options, tlbc_session **out) {
    *out = NULL;
    if (m->abi_version != TLBC_ABI_VERSION) return TLBC_ERROR_VERSION;
    return m->api->session_create(m, options, out);
}
/* Frees the session, its threads and its own workspace. NULL is fine; no call on it may be going on. */
static inline void tlbc_session_free(tlbc_session *s) {
    if (s) tlbc_session_model(s)->api->session_free(s);
}
/* What went wrong in the last call on this session; "" after success. Lives until the next call. */
static inline const char *tlbc_session_message(const tlbc_session *s) {
    return tlbc_session_model(s)->api->session_message(s);
}
/* Fills rank, dims, dtype and needed `bytes` of all outputs for inputs of these shapes (data and bytes are not looked at), and the
 * workspace a session needs for them (workspace_bytes may be NULL). What depends on data is left open: such dims are -1, the output's
 * bytes 0. Does not run, does not allocate. TLBC_ERROR_ARGUMENT where the
 * inputs do not fit the model or each other, TLBC_ERROR_MEMORY where the sizes overflow. */
static inline tlbc_status tlbc_shapes(tlbc_session *s, const tlbc_tensor *inputs,
                                      tlbc_tensor *outputs, size_t *workspace_bytes) {
    return tlbc_session_model(s)->api->shapes(s, inputs, outputs, workspace_bytes);
}
/* Runs the model: n_inputs and n_outputs tensors in the descriptor's order. Allocates nothing, except that a session with its own
 * workspace grows it when symbolic dimensions ask for more than any run before, and what session options say of values sized by data. Fails as tlbc_shapes does, and with TLBC_ERROR_MEMORY
 * where the workspace is too small or cannot grow: outputs' data are untouched then. TLBC_ERROR_DATA: their contents are of no use. */
static inline tlbc_status tlbc_run(tlbc_session *s, const tlbc_tensor *inputs,
                                   tlbc_tensor *outputs) {
    return tlbc_session_model(s)->api->run(s, inputs, outputs);
}

/* ---- step functions ---------------------------------------------------------------------------------------------
 * Whatever fails, and for whatever reason, the states are what they were before the call. Nothing below allocates, unless inputs have
 * symbolic dimensions beside the number of streams: those are as with tlbc_run. */

/* One step: as tlbc_run, but the session's states are read, and replaced by what the model makes of them. Where the inputs hold a batch
 * of n, these are streams 0 to n-1. On a model without states it is tlbc_run; tlbc_run on a model with states is refused. */
static inline tlbc_status tlbc_step(tlbc_session *s, const tlbc_tensor *inputs,
                                    tlbc_tensor *outputs) {
    return tlbc_session_model(s)->api->step(s, inputs, outputs);
}
/* The last step of a sequence may have fewer positions than `chunk`, where the model has a `tail`: outputs are then what the model gives
 * for the whole sequence, bit by bit, and have as many positions as that. The streams have ended with it: a further step of them is
 * TLBC_ERROR_ARGUMENT, until tlbc_reset, or states from tlbc_clone or tlbc_state_load of a stream that has not ended. */

/* One step of n streams, in one batch: row i of inputs and outputs belongs to streams[i]. Streams are numbered below the options'
 * `streams`; any of them may take part, in any order, none twice; the others wait. A stream joins with tlbc_reset and leaves by not being
 * named any more. Each gets the same bits as in a session of its own.
 * Where the model's states have a dimension that counts streams (a symbolic batch; tlbc compile --batch-streams) it is one run, in which
 * each weight is read once for all of them; else a run for each, and inputs and outputs hold as many rows as streams: rows take the place
 * of a first dimension that is 1 in the model (f32[1,4]: f32[n,4]), else they have a dimension of their own in front (f32[3]: f32[n,3]). */
static inline tlbc_status tlbc_step_many(tlbc_session *s, uint32_t n, const uint32_t *streams,
                                         const tlbc_tensor *inputs, tlbc_tensor *outputs) {
    return tlbc_session_model(s)->api->step_many(s, n, streams, inputs, outputs);
}
/* The stream's states get their initial values, as they have them in a fresh session. TLBC_ALL_STREAMS: of all. */
static inline tlbc_status tlbc_reset(tlbc_session *s, uint32_t stream) {
    return tlbc_session_model(s)->api->reset(s, stream);
}
/* Copies the states of a stream to another one, of this session or another of the same model. */
static inline tlbc_status tlbc_clone(tlbc_session *to, uint32_t to_stream, const tlbc_session *from,
                                     uint32_t from_stream) {
    return tlbc_session_model(to)->api->clone(to, to_stream, from, from_stream);
}
/* Writes a stream's states into `data`. *bytes: the room there; what is needed afterwards. data NULL only asks for that.
 * TLBC_ERROR_ARGUMENT where the room is too small: nothing is written. */
static inline tlbc_status tlbc_state_save(tlbc_session *s, uint32_t stream, void *data,
                                          size_t *bytes) {
    return tlbc_session_model(s)->api->state_save(s, stream, data, bytes);
}
/* Reads what tlbc_state_save wrote, for the same model, whichever processor or weights file it was compiled for. TLBC_ERROR_VERSION: of
 * another model or another version of the form; TLBC_ERROR_ARGUMENT: cut off or damaged. */
static inline tlbc_status tlbc_state_load(tlbc_session *s, uint32_t stream, const void *data,
                                          size_t bytes) {
    return tlbc_session_model(s)->api->state_load(s, stream, data, bytes);
}

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

/* A tensor over caller's memory, which must hold that many elements of element_bytes each; rank at most TLBC_MAX_RANK. */
static inline tlbc_tensor tlbc_tensor_of(void *data, tlbc_dtype dtype, size_t element_bytes,
                                         uint32_t rank, const int64_t *dims) {
    tlbc_tensor t;
    size_t n = element_bytes;
    t.data = data;
    t.dtype = dtype;
    t.rank = rank;
    for (uint32_t i = 0; i < TLBC_MAX_RANK; i++)
        t.dims[i] = i < rank ? dims[i] : 0;
    for (uint32_t i = 0; i < rank; i++)
        n *= (size_t)dims[i];
    t.bytes = n;
    return t;
}
static inline tlbc_tensor tlbc_tensor_f32(float *data, uint32_t rank, const int64_t *dims) {
    return tlbc_tensor_of(data, TLBC_F32, sizeof(float), rank, dims);
}

#ifdef __cplusplus
}
#endif

#ifndef TLBC_NO_DLOPEN
#include "tlbc/open.h" /* tlbc_open, tlbc_close: needs dlopen */
#endif

#endif
