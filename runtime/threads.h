/* A session's threads. The caller is thread 0; n-1 more sleep in the kernel while no run is going on.
 *
 *   tlbc_rt_team *team = tlbc_rt_team_create(4);        // NULL: out of memory or of threads
 *   frame.team = team;
 *   tlbc_rt_team_run(team, variant->main, &frame, 4);   // main(frame, tid, 4) on all four; returns when all have returned
 *   tlbc_rt_team_free(team);
 *
 * Inside a run threads meet at tlbc_rt_barrier (abi.h). Waiting there goes in three steps: a bounded number of looks at the
 * flag (none where the machine has fewer processors than the team threads), a bounded number of yields, then sleep. A worker
 * that has returned from `main` sleeps at once, so nothing spins after tlbc_rt_team_run has returned.
 *
 * All threads of a run, the caller's included, compute with default rounding and with denormals, whatever the caller has set
 * (and gets back): results do not depend on which thread did the work. */
#ifndef TLBC_RUNTIME_THREADS_H
#define TLBC_RUNTIME_THREADS_H

#include "runtime/abi.h"

enum { TLBC_RT_MAX_THREADS = 1024 };

typedef struct tlbc_rt_team tlbc_rt_team;

tlbc_rt_team *tlbc_rt_team_create(uint32_t threads); /* 1 ... TLBC_RT_MAX_THREADS */
void tlbc_rt_team_free(tlbc_rt_team *t);             /* NULL is fine; no run may be going on */
/* On the first `active` of the team's threads. */
void tlbc_rt_team_run(tlbc_rt_team *t, tlbc_main_fn *fn, const tlbc_frame *frame, uint32_t active);
uint32_t tlbc_rt_team_size(const tlbc_rt_team *t);

#endif
