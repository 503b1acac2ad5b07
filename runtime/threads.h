/* A session's threads. The caller is thread 0; n-1 more sleep in the kernel while no run is going on.
 *
 *   tlbc_rt_team *team = tlbc_rt_team_create(4, false); // NULL: out of memory or of threads
 *   frame.team = team;
 *   tlbc_rt_team_run(team, variant->main, &frame, 4);   // main(frame, tid, n) for each tid < n, n <= 4; returns when all have returned
 *   tlbc_rt_team_free(team);
 *
 * Each of the n calls of `main` is a share of the run. Inside a run shares meet at tlbc_rt_barrier (abi.h). A share is not bound to a thread:
 * one that is put down at a barrier may be carried on by another, so a thread without a processor holds up nobody, unless it lost it
 * in the middle of a share's work. A thread that is seen to get none rests for a while, and runs have fewer shares meanwhile; in an exact
 * team they always have as many as asked for. A thread that has nothing to do looks for work a bounded number of times (none where the machine
 * has fewer processors than the team threads), then sleeps; a worker sleeps at once when the run is over.
 *
 * All threads of a run, the caller's included, compute with default rounding and with denormals, whatever the caller has set
 * (and gets back): results do not depend on which thread did the work.
 *
 * In a child of the process that has made the team its workers do not exist; runs go on the calling thread alone. */
#ifndef TLBC_RUNTIME_THREADS_H
#define TLBC_RUNTIME_THREADS_H

#include "runtime/abi.h"

#include <stdbool.h>

enum { TLBC_RT_MAX_THREADS = 1024 };

typedef struct tlbc_rt_team tlbc_rt_team;

tlbc_rt_team *tlbc_rt_team_create(uint32_t threads, bool exact); /* 1 ... TLBC_RT_MAX_THREADS */
void tlbc_rt_team_free(tlbc_rt_team *t); /* NULL is fine; no run may be going on */
/* On the first `active` of the team's threads. */
void tlbc_rt_team_run(tlbc_rt_team *t, tlbc_main_fn *fn, const tlbc_frame *frame, uint32_t active);
uint32_t tlbc_rt_team_size(const tlbc_rt_team *t);

#endif
