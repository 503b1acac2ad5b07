/* Step functions on whole sequences: cuts inputs into what each step takes, runs the steps, puts the outputs together.
 *
 *   step_plan p;
 *   ok = steps_plan(c, &whole, &p) && steps_run(c, session, &p, &whole);        whole: inputs of p.steps steps
 *
 * An input that the model calls part of a sequence is cut along its axis, the last step gets what is left; another one is the same in every step, or has one more axis in
 * front that counts steps. Outputs are joined likewise: along their axis, else the last step's alone, or one behind the other in front where
 * an input was given so. */
#ifndef TLBC_CLI_STEPS_H
#define TLBC_CLI_STEPS_H

#include "cli/model.h"

/* How one tensor of all steps is made of those of one. */
typedef struct step_cut {
    enum { STEP_SAME, STEP_ALONG, STEP_STACKED } how;
    uint32_t axis;
} step_cut;

typedef struct step_plan {
    int64_t steps, rest; /* positions in the last one, 0 where it is a whole one */
    bool stacked;        /* an input has an axis that counts steps */
    step_cut *in;
    model_tensors part, last; /* of one step, of one that has fewer positions */
} step_plan;

/* From the shapes of the inputs; false after reporting. */
bool steps_plan(cli *c, const model_tensors *whole, step_plan *p);
/* Runs all steps from the session's states on; whole->out gets fresh memory. false after reporting. */
bool steps_run(cli *c, tlbc_session *s, step_plan *p, model_tensors *whole);

#endif
