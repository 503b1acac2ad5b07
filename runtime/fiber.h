/* A function with a stack of its own, which can be left in the middle and carried on later, also by another thread.
 *
 *   static void greet(void *data) {                    // in the fiber
 *       puts("hello");
 *       tlbc_rt_fiber_leave(data);                     // back to who entered it
 *       puts("again");                                 // where the second tlbc_rt_fiber_enter comes
 *   }
 *   tlbc_rt_fiber f;
 *   tlbc_rt_fiber_open(&f, 1 << 20, greet, &f);        // false: out of memory
 *   tlbc_rt_fiber_enter(&f); tlbc_rt_fiber_enter(&f);
 *   tlbc_rt_fiber_close(&f);                           // also in the middle: nothing of the function runs any more
 *
 * One thread at a time may be in a fiber; who hands it from thread to thread orders their accesses. The function must not return
 * but leave for good: there is nothing to return to. Registers that functions keep for their callers are all that a switch saves
 * (on x86-64 some 3 ns); floating-point control is the thread's. */
#ifndef TLBC_RUNTIME_FIBER_H
#define TLBC_RUNTIME_FIBER_H

#include <stdbool.h>
#include <stddef.h>

typedef void tlbc_rt_fiber_fn(void *data);

typedef struct tlbc_rt_fiber {
    void *inside, *outside; /* where the fiber goes on; where the thread that has entered it does */
    tlbc_rt_fiber_fn *fn;
    void *data;
    char *memory; /* a page that nobody may touch, and the stack above it */
    size_t bytes;
    /* What the sanitizers know of the fiber and of the thread in it (fiber.c). */
    void *watch, *thread_watch;
    const void *thread_stack;
    size_t thread_bytes;
} tlbc_rt_fiber;

bool tlbc_rt_fiber_open(tlbc_rt_fiber *f, size_t bytes, tlbc_rt_fiber_fn *fn, void *data);
void tlbc_rt_fiber_close(tlbc_rt_fiber *f);
void tlbc_rt_fiber_enter(tlbc_rt_fiber *f);
void tlbc_rt_fiber_leave(tlbc_rt_fiber *f);

#endif
