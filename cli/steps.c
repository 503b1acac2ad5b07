#include "cli/steps.h"

#include "ir/tensor.h"

/* ---- which parts ---------------------------------------------------------------------------------------------- */

static bool set_steps(cli *c, step_plan *p, const tlbc_tensor_info *info, int64_t steps) {
    if (p->steps < 0 || p->steps == steps) {
        p->steps = steps;
        return true;
    }
    return diag_error(c->diag, NULL, "input '%s' is of %lld steps, an input before of %lld",
                      info->name, (long long)steps, (long long)p->steps);
}

static bool plan_along(cli *c, step_plan *p, uint32_t i, const tlbc_tensor_info *info,
                       const tlbc_tensor *t) {
    uint32_t axis = info->sequence - 1;
    int64_t chunk = info->dims[axis].value, n = t->dims[axis];
    const tlbc_model *m = p->part.model;
    if (chunk <= 0 || (n % chunk && !m->tail))
        return diag_error(c->diag, NULL,
                          "input '%s' has %lld positions along axis %u, which are no multiple of "
                          "the %lld of a step%s%s",
                          info->name, (long long)n, axis, (long long)chunk, m->no_tail ? ": " : "",
                          m->no_tail ? m->no_tail : "");
    p->in[i] = (step_cut){STEP_ALONG, axis};
    p->rest = n % chunk;
    return set_steps(c, p, info, n / chunk + (p->rest > 0));
}

static bool plan_input(cli *c, step_plan *p, uint32_t i, const tlbc_tensor *t) {
    const tlbc_tensor_info *info = &p->part.model->inputs[i];
    p->in[i] = (step_cut){STEP_SAME, 0};
    if (t->rank == info->rank + 1 && t->rank <= TLBC_MAX_RANK) {
        p->in[i].how = STEP_STACKED;
        p->stacked = true;
        return set_steps(c, p, info, t->dims[0]);
    }
    return !info->sequence || t->rank != info->rank || plan_along(c, p, i, info, t);
}

bool steps_plan(cli *c, const model_tensors *whole, step_plan *p) {
    *p = (step_plan){.steps = -1};
    model_tensors_init(c, whole->model, &p->part);
    model_tensors_init(c, whole->model, &p->last);
    p->in = TL_NEW_ARRAY(c->arena, step_cut, whole->model->n_inputs);
    for (uint32_t i = 0; i < whole->model->n_inputs; i++)
        if (!plan_input(c, p, i, &whole->in[i])) return false;
    if (p->steps < 0) p->steps = 1;
    return true;
}

/* ---- moving parts --------------------------------------------------------------------------------------------- */

/* Bytes of what is `behind` an axis, and how many such pieces lie in front of it. */
typedef struct step_stride {
    size_t outer, part, whole; /* pieces; bytes of one step's in a piece; of all steps' */
} step_stride;

static step_stride stride_of(const tlbc_tensor *part, const tlbc_tensor *whole, uint32_t axis) {
    size_t bytes = ir_dtype_bits((ir_dtype)part->dtype) / 8;
    step_stride s = {.outer = 1};
    for (uint32_t d = 0; d < axis; d++)
        s.outer *= (size_t)part->dims[d];
    for (uint32_t d = axis + 1; d < part->rank; d++)
        bytes *= (size_t)part->dims[d];
    s.part = bytes * (size_t)part->dims[axis];
    s.whole = bytes * (size_t)whole->dims[axis];
    return s;
}

/* first: where the part begins. */
static void move(tlbc_tensor *part, tlbc_tensor *whole, uint32_t axis, int64_t first, bool out) {
    step_stride s = stride_of(part, whole, axis);
    size_t before = whole->dims[axis] ? s.whole / (size_t)whole->dims[axis] * (size_t)first : 0;
    for (size_t o = 0; o < s.outer; o++) {
        char *w = (char *)whole->data + o * s.whole + before;
        char *p = (char *)part->data + o * s.part;
        if (out)
            memcpy(w, p, s.part);
        else
            memcpy(p, w, s.part);
    }
}

static model_tensors *part_of(step_plan *p, int64_t step) {
    return p->rest && step == p->steps - 1 ? &p->last : &p->part;
}

/* The input of step `step`: memory of its own where it is cut along an axis, else a place in the whole. */
static void take_input(step_plan *p, const model_tensors *whole, uint32_t i, int64_t step) {
    tlbc_tensor *t = &part_of(p, step)->in[i], *w = &whole->in[i];
    uint32_t axis = p->in[i].axis;
    if (p->in[i].how == STEP_ALONG) move(t, w, axis, step * p->part.in[i].dims[axis], false);
    if (p->in[i].how == STEP_STACKED) t->data = (char *)w->data + (size_t)step * t->bytes;
}

static void shape_input(cli *c, step_plan *p, const model_tensors *whole, bool last, uint32_t i) {
    tlbc_tensor *t = last ? &p->last.in[i] : &p->part.in[i];
    const tlbc_tensor *w = &whole->in[i];
    uint32_t axis = p->in[i].axis;
    *t = *w;
    if (p->in[i].how == STEP_STACKED) {
        t->rank--;
        memmove(t->dims, t->dims + 1, sizeof t->dims - sizeof t->dims[0]);
        t->bytes = w->dims[0] ? w->bytes / (size_t)w->dims[0] : 0;
    } else if (p->in[i].how == STEP_ALONG) {
        t->dims[axis] = last ? p->rest : p->part.model->inputs[i].dims[axis].value;
        t->bytes = w->dims[axis] ? w->bytes / (size_t)w->dims[axis] * (size_t)t->dims[axis] : 0;
        t->data = tl_arena_alloc(c->arena, t->bytes ? t->bytes : 1, 64);
    }
}

/* ---- outputs -------------------------------------------------------------------------------------------------- */

static step_cut output_cut(const step_plan *p, uint32_t i) {
    const tlbc_tensor_info *info = &p->part.model->outputs[i];
    if (info->sequence) return (step_cut){STEP_ALONG, info->sequence - 1};
    return (step_cut){p->stacked && info->rank < TLBC_MAX_RANK ? STEP_STACKED : STEP_SAME, 0};
}

/* Elements of all steps along the axis. */
static int64_t output_length(const step_plan *p, uint32_t i, uint32_t axis) {
    int64_t whole = p->steps - (p->rest > 0), last = p->rest ? p->last.out[i].dims[axis] : 0;
    return p->part.out[i].dims[axis] * whole + last;
}

static bool alloc_output(cli *c, const step_plan *p, model_tensors *whole, uint32_t i) {
    const tlbc_tensor *part = &p->part.out[i];
    tlbc_tensor *w = &whole->out[i];
    step_cut cut = output_cut(p, i);
    *w = *part;
    if (cut.how == STEP_ALONG) w->dims[cut.axis] = output_length(p, i, cut.axis);
    if (cut.how == STEP_STACKED) {
        memmove(w->dims + 1, part->dims, part->rank * sizeof w->dims[0]);
        w->dims[0] = p->steps;
        w->rank++;
    }
    if (cut.how != STEP_SAME && !tl_mul_size(part->bytes, (size_t)p->steps, &w->bytes))
        return diag_error(c->diag, NULL, "output %u: its size overflows", i);
    if (cut.how == STEP_ALONG && part->dims[cut.axis]) /* of fewer than that in the last step */
        w->bytes = part->bytes / (size_t)part->dims[cut.axis] * (size_t)w->dims[cut.axis];
    if (cut.how != STEP_SAME) w->data = tl_arena_alloc(c->arena, w->bytes ? w->bytes : 1, 64);
    return true;
}

static void place_output(step_plan *p, model_tensors *whole, uint32_t i, int64_t step) {
    tlbc_tensor *part = &part_of(p, step)->out[i], *w = &whole->out[i];
    step_cut cut = output_cut(p, i);
    int64_t first = step * p->part.out[i].dims[cut.axis];
    if (cut.how == STEP_SAME) *w = *part;
    if (cut.how == STEP_ALONG) move(part, w, cut.axis, first, true);
    if (cut.how == STEP_STACKED && part->bytes)
        memcpy((char *)w->data + (size_t)step * part->bytes, part->data, part->bytes);
}

bool steps_run(cli *c, tlbc_session *s, step_plan *p, model_tensors *whole) {
    const tlbc_model *m = whole->model;
    for (uint32_t i = 0; i < m->n_inputs; i++) {
        shape_input(c, p, whole, false, i);
        shape_input(c, p, whole, true, i);
    }
    if (!model_alloc_outputs(c, s, &p->part)) return false;
    if (p->rest && !model_alloc_outputs(c, s, &p->last)) return false;
    for (uint32_t i = 0; i < m->n_outputs; i++)
        if (!alloc_output(c, p, whole, i)) return false;
    for (int64_t step = 0; step < p->steps; step++) {
        for (uint32_t i = 0; i < m->n_inputs; i++)
            take_input(p, whole, i, step);
        tlbc_status status = tlbc_step(s, part_of(p, step)->in, part_of(p, step)->out);
        if (status) {
            model_report(c, s, status,
                         tl_arena_printf(c->arena, "%s, step %lld", m->name, (long long)step));
            return false;
        }
        for (uint32_t i = 0; i < m->n_outputs; i++)
            place_output(p, whole, i, step);
    }
    return true;
}
