/* See fiber.h. A computation that does not run is a pointer into its stack, where the rest of it lies. rt_switch(&here, there, f) leaves
 * one at `here` and takes up the one at `there`; a fiber that has not begun has a stack that looks as if it had been left at its first
 * instruction.
 *
 * The sanitizers keep books of each thread's stack, and are told of every switch. That a thread enters a fiber orders nothing for the
 * thread sanitizer: what one fiber does after another on the same thread might have happened at the same time on two, and is checked as
 * if it had. */
#define _GNU_SOURCE /* MAP_STACK */
#include "runtime/fiber.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__) && !defined(TLBC_RT_UCONTEXT)
/* The registers a function must preserve. `data` goes where a function finds its first argument: the first switch into a fiber
 * begins rt_begin. */
__attribute__((visibility("hidden"))) void tlbc_rt_switch(void **here, void *there, void *data);
__asm__(".pushsection .text.tlbc_rt_switch,\"ax\",@progbits\n"
        ".p2align 4\n"
        ".globl tlbc_rt_switch\n"
        ".hidden tlbc_rt_switch\n"
        ".type tlbc_rt_switch,@function\n"
        "tlbc_rt_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    movq %rdx, %rdi\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size tlbc_rt_switch,.-tlbc_rt_switch\n"
        ".popsection\n");
#define rt_switch tlbc_rt_switch

/* Six registers, where to go on, and what rt_begin takes for its return address. */
static void *rt_first_context(const tlbc_rt_fiber *f, char *top, void (*begin)(tlbc_rt_fiber *)) {
    (void)f;
    uintptr_t *sp = (uintptr_t *)(void *)top - 8;
    for (int i = 0; i < 8; i++)
        sp[i] = 0;
    sp[6] = (uintptr_t)begin;
    return sp;
}

#else
#include <ucontext.h>

static void rt_switch(void **here, void *there, void *data) {
    (void)data;
    ucontext_t context;
    *here = &context;
    swapcontext(&context, there);
}

/* makecontext hands over nothing wider than an int. */
static void rt_begin_halves(unsigned begin_low, unsigned begin_high, unsigned low, unsigned high) {
    uintptr_t begin = (uintptr_t)((uint64_t)begin_high << 32 | begin_low);
    uintptr_t fiber = (uintptr_t)((uint64_t)high << 32 | low);
    ((void (*)(tlbc_rt_fiber *))begin)((tlbc_rt_fiber *)fiber);
}

static void *rt_first_context(const tlbc_rt_fiber *f, char *top, void (*begin)(tlbc_rt_fiber *)) {
    ucontext_t *c = (ucontext_t *)(void *)(top - (sizeof *c + 63) / 64 * 64);
    uint64_t b = (uintptr_t)begin, d = (uintptr_t)f;
    getcontext(c);
    c->uc_stack.ss_sp = f->memory;
    c->uc_stack.ss_size = (size_t)((char *)c - f->memory);
    c->uc_link = NULL;
    makecontext(c, (void (*)(void))rt_begin_halves, 4, (unsigned)b, (unsigned)(b >> 32),
                (unsigned)d, (unsigned)(d >> 32));
    return c;
}
#endif

/* ---- sanitizers ------------------------------------------------------------------------------------------------- */

/* To be part of the function that switches, and not watched themselves: they begin on one stack and end on another. */
#define RT_UNWATCHED __attribute__((no_sanitize_thread))
#define RT_INLINE    static inline __attribute__((always_inline)) RT_UNWATCHED

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>

RT_INLINE void rt_watch_open(tlbc_rt_fiber *f) {
    (void)f;
}
RT_INLINE void rt_watch_close(tlbc_rt_fiber *f) {
    (void)f;
}
RT_INLINE void rt_watch_enter(tlbc_rt_fiber *f) {
    __sanitizer_start_switch_fiber(&f->thread_watch, f->memory, f->bytes);
}
RT_INLINE void rt_watch_entered(tlbc_rt_fiber *f) {
    __sanitizer_finish_switch_fiber(f->watch, &f->thread_stack, &f->thread_bytes);
}
RT_INLINE void rt_watch_leave(tlbc_rt_fiber *f) {
    __sanitizer_start_switch_fiber(&f->watch, f->thread_stack, f->thread_bytes);
}
RT_INLINE void rt_watch_left(tlbc_rt_fiber *f) {
    __sanitizer_finish_switch_fiber(f->thread_watch, NULL, NULL);
}

#elif defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>

RT_INLINE void rt_watch_open(tlbc_rt_fiber *f) {
    f->watch = __tsan_create_fiber(0);
}
RT_INLINE void rt_watch_close(tlbc_rt_fiber *f) {
    __tsan_destroy_fiber(f->watch);
}
RT_INLINE void rt_watch_enter(tlbc_rt_fiber *f) {
    f->thread_watch = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->watch, __tsan_switch_to_fiber_no_sync);
}
RT_INLINE void rt_watch_entered(tlbc_rt_fiber *f) {
    (void)f;
}
RT_INLINE void rt_watch_leave(tlbc_rt_fiber *f) {
    __tsan_switch_to_fiber(f->thread_watch, __tsan_switch_to_fiber_no_sync);
}
RT_INLINE void rt_watch_left(tlbc_rt_fiber *f) {
    (void)f;
}

#else
#define rt_watch_open(f)    ((void)(f))
#define rt_watch_close(f)   ((void)(f))
#define rt_watch_enter(f)   ((void)(f))
#define rt_watch_entered(f) ((void)(f))
#define rt_watch_leave(f)   ((void)(f))
#define rt_watch_left(f)    ((void)(f))
#endif

/* ---- the four functions ----------------------------------------------------------------------------------------- */

static void rt_begin(tlbc_rt_fiber *f) {
    rt_watch_entered(f);
    f->fn(f->data);
    __builtin_trap(); /* it has returned */
}

bool tlbc_rt_fiber_open(tlbc_rt_fiber *f, size_t bytes, tlbc_rt_fiber_fn *fn, void *data) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *f = (tlbc_rt_fiber){.fn = fn, .data = data, .bytes = (bytes + page - 1) / page * page + page};
    char *memory = mmap(NULL, f->bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) return false;
    f->memory = memory;
    mprotect(memory, page, PROT_NONE);
    f->inside = rt_first_context(f, memory + f->bytes, rt_begin);
    rt_watch_open(f);
    return true;
}

void tlbc_rt_fiber_close(tlbc_rt_fiber *f) {
    if (!f->memory) return;
    rt_watch_close(f);
    munmap(f->memory, f->bytes);
    f->memory = NULL;
}

RT_UNWATCHED void tlbc_rt_fiber_enter(tlbc_rt_fiber *f) {
    rt_watch_enter(f);
    rt_switch(&f->outside, f->inside, f);
    rt_watch_left(f);
}

RT_UNWATCHED void tlbc_rt_fiber_leave(tlbc_rt_fiber *f) {
    rt_watch_leave(f);
    rt_switch(&f->inside, f->outside, f);
    rt_watch_entered(f);
}
