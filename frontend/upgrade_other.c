/* Products, control flow, and operators of which only some are in ir/ops.def by now. */
#include "frontend/upgrade.h"

/* C was always broadcast where that was needed, whatever the flag said. */
static bool gemm_broadcast(fe_node *n) {
    fe_remove_attr(n, "broadcast");
    return true;
}

/* ---- Scan of opset 8 -------------------------------------------------------------------------- */

/* The inner scan: the body over axis 0 of one batch element. */
static bool scan_one_element(fe_node *outer, ir_region *r, const fe_scope *scope) {
    fe_node n = *outer;
    n.region = r;
    n.scope = scope;
    n.in.len = 0;
    n.in.data = NULL;
    n.in.cap = 0;
    for (uint32_t i = 0; i < r->n_params; i++)
        tl_vec_push(n.im->scratch, &n.in, r->params[i]);
    n.out = TL_NEW_ARRAY(n.im->scratch, ir_value *, n.n_out);
    const fe_attr *directions = fe_find_attr(&n, "directions");
    if (directions) {
        ir_attr a = directions->a;
        a.name = "scan_input_directions";
        fe_remove_attr(&n, "directions");
        fe_set_attr(&n, a);
    }
    if (!fe_emit(&n)) return false;
    ir_region_set_results(r, n.out, n.n_out);
    return true;
}

/* Opset 8 had a batch axis in front of everything, the sequence along axis 1:
 *   Scan-8("", s: f32[B,4], x: f32[B,T,4])  ->  Scan(s, x) over B { Scan(s_b, x_b) over T { body } } */
static bool scan_batched(fe_node *n) {
    if (fe_in(n, 0)) return fe_error(n, "input 0 'sequence_lens' is not supported");
    if (n->in.len < 2) return fe_error(n, "input 1 is missing");
    for (uint32_t i = 1; i < n->in.len; i++)
        if (!fe_in(n, i)) return fe_error(n, "input %u is missing", i);
    ir_module *m = n->im->m;
    uint32_t n_in = n->in.len - 1;
    ir_node *outer = ir_node_create(m, OP_Scan, n->in.data + 1, n_in, n->n_out);
    outer->loc = n->loc;
    ir_node_append(n->region, outer);
    ir_attr_set_int(m, outer, "num_scan_inputs", n_in);
    ir_region *r = ir_node_add_region(m, outer, "body");
    for (uint32_t i = 0; i < n_in; i++)
        ir_region_add_param(r, fe_slice_type(n->im, n->in.data[i + 1]->type, 0), NULL);
    if (!scan_one_element(n, r, n->scope) || !ir_infer_node(n->im->c, outer)) return false;
    for (uint32_t i = 0; i < n->n_out; i++)
        n->out[i] = &outer->out[i];
    n->done = true;
    return true;
}

/* ---- recurrent layers ------------------------------------------------------------------------- */

/* Results were only computed when asked for; now a result nobody reads says the same. */
static bool rnn_output_sequence(fe_node *n) {
    fe_remove_attr(n, "output_sequence");
    if (fe_attr_is(n, "direction", "foward")) fe_remove_attr(n, "direction"); /* sic, in GRU-1 */
    return true;
}

/* ---- sampling and transforms ------------------------------------------------------------------ */

/* Upsample and the first Resize: output pixel i reads input position i / scale. */
static bool resize_floor(fe_node *n) {
    if (!fe_attr_to_input(n, "scales", 1)) return false;
    ir_value *scales = fe_in(n, 1);
    fe_set_in(n, 1, NULL);
    fe_set_in(n, 2, scales);
    fe_set_attr_text(n, "coordinate_transformation_mode", "asymmetric");
    fe_set_attr_text(n, "nearest_mode", "floor");
    fe_rename(n, "Resize");
    return true;
}

static bool dft_axis(fe_node *n) {
    int64_t axis = fe_attr_int(n, "axis", 1);
    fe_remove_attr(n, "axis");
    fe_set_in(n, 2, fe_scalar(n, DT_i64, (double)axis));
    return true;
}

static bool grid_sample_mode(fe_node *n) {
    if (!fe_find_attr(n, "mode") || fe_attr_is(n, "mode", "bilinear"))
        fe_set_attr_text(n, "mode", "linear");
    if (fe_attr_is(n, "mode", "bicubic")) fe_set_attr_text(n, "mode", "cubic");
    return true;
}

static bool roi_align_pixels(fe_node *n) {
    fe_set_attr_text(n, "coordinate_transformation_mode", "output_half_pixel");
    return true;
}

/* p was a float. */
static bool integer_p(fe_node *n) {
    float p = fe_attr_float(n, "p", 2);
    if (!(p >= 1 && p < 1024) || p != (float)(int)p)
        return fe_error(n, "attribute 'p' is %g, only whole numbers are supported", (double)p);
    fe_set_attr_int(n, "p", (int)p);
    return true;
}

/* clang-format off */
const fe_rule fe_rules_other[] = {
    {"", "Gemm", 7, gemm_broadcast, NULL},
    {"", "Scan", 9, scan_batched, NULL},
    {"", "RNN", 7, rnn_output_sequence, NULL},
    {"", "GRU", 7, rnn_output_sequence, NULL},
    {"", "LSTM", 7, rnn_output_sequence, NULL},
    {"", "Upsample", FE_ALWAYS, resize_floor, "Resize"},
    {"", "Resize", 11, resize_floor, NULL},
    {"", "DFT", 20, dft_axis, NULL},
    {"", "GridSample", 20, grid_sample_mode, NULL},
    {"", "RoiAlign", 16, roi_align_pixels, NULL},
    {"", "LpPool", 2, integer_p, NULL},
    {"", "GlobalLpPool", 2, integer_p, NULL},
    {0},
};
/* clang-format on */
