/* CropAndResize (com.microsoft): parts of images, each brought to one size, as index arithmetic and gathers.
 *
 *   %y = CropAndResize(%x, %regions, %images, %size)    %x [n,c,h,w], regions [r,4] as y1 x1 y2 x2, of which 1 is the last row or column
 *
 *   rows    = y1*(h-1) ... y2*(h-1)  in size[0] steps, the middle of both where that is 1      [r,size0], columns the same way
 *   inside  = rows and columns that lie in the image; elsewhere attribute extrapolation_value is the result
 *   %y      = between the four pixels around, each a Gather of whole pixels from [n*h*w,c], at (image*h + row)*w + column
 *
 * Channels are last while pixels are gathered. The first and the last row are exact, so that a region that ends with the image does not
 * leave it by rounding. */
#include "frontend/upgrade.h"

typedef struct crop {
    fe_node *n;
    ir_dtype type;    /* of the coordinates, and of what is computed */
    ir_value *pixels; /* [n*h*w, c] */
    ir_value *images; /* [r,1,1], i64 */
    ir_value *height, *width;
} crop;

/* Points along one axis of all regions. */
typedef struct points {
    ir_value *inside;       /* bool */
    ir_value *first, *next; /* i64: the pixels around */
    ir_value *weight;       /* of the next one */
} points;

static ir_value *op2(const crop *c, op_id op, ir_value *x, ir_value *y) {
    return fe_build2(c->n, op, x, y);
}
static ir_value *number(const crop *c, double x) {
    return fe_scalar(c->n, c->type, x);
}
static ir_value *choose(const crop *c, ir_value *condition, ir_value *yes, ir_value *no) {
    return fe_build(c->n, OP_Where, (ir_value *[]){condition, yes, no}, 3, NULL, 0);
}
static ir_value *element(const crop *c, ir_value *list, int64_t i) {
    return op2(c, OP_Gather, list, fe_scalar(c->n, DT_i64, (double)i));
}
static ir_value *reshape(const crop *c, ir_value *x, const int64_t *dims, uint32_t count) {
    return op2(c, OP_Reshape, x, fe_i64s(c->n, dims, count));
}

/* Column i of the regions: [r,1]. */
static ir_value *corner(const crop *c, int64_t i) {
    const int64_t one = 1;
    ir_attr axis = {.name = "axis", .kind = ATTR_INT, .v.i = 1};
    ir_value *in[] = {fe_in(c->n, 1), fe_i64s(c->n, &i, one)};
    return fe_cast(c->n, fe_build(c->n, OP_Gather, in, 2, &axis, 1), c->type);
}

/* [r,count]: from one corner to the other, as coordinates of an axis whose last element is `last`. */
static ir_value *coordinates(const crop *c, int64_t from, int64_t to, ir_value *last,
                             ir_value *count) {
    fe_node *n = c->n;
    ir_value *zero = fe_scalar(n, DT_i64, 0), *one = fe_scalar(n, DT_i64, 1);
    ir_value *a = corner(c, from), *b = corner(c, to);
    ir_value *start = op2(c, OP_Mul, a, last), *end = op2(c, OP_Mul, b, last);
    ir_value *steps = op2(c, OP_Sub, count, one);
    ir_value *k = fe_build(n, OP_Range, (ir_value *[]){zero, count, one}, 3, NULL, 0);
    ir_value *divisor = fe_cast(n, op2(c, OP_Max, steps, one), c->type);
    ir_value *step = op2(c, OP_Div, op2(c, OP_Mul, op2(c, OP_Sub, b, a), last), divisor);
    ir_value *y = op2(c, OP_Add, start, op2(c, OP_Mul, fe_cast(n, k, c->type), step));
    y = choose(c, op2(c, OP_Equal, k, steps), end, y);
    y = choose(c, op2(c, OP_Equal, k, zero), start, y);
    ir_value *middle = op2(c, OP_Mul, op2(c, OP_Mul, op2(c, OP_Add, a, b), number(c, 0.5)), last);
    return choose(c, op2(c, OP_Greater, count, one), y, middle);
}

/* v >= 0 to the nearest whole number, halves up: floor(v + 0.5) may round the sum. */
static ir_value *nearest(const crop *c, ir_value *floor, ir_value *weight) {
    ir_value *up = op2(c, OP_GreaterOrEqual, weight, number(c, 0.5));
    return op2(c, OP_Add, floor, up ? fe_cast(c->n, up, c->type) : NULL);
}

/* corners: the regions' columns where this axis begins and ends. `unit`: where to put a dimension of 1, for the other axis. */
static points points_of(const crop *c, int64_t from, int64_t to, ir_value *size, ir_value *count,
                        int64_t unit) {
    fe_node *n = c->n;
    points p = {0};
    ir_value *one = fe_scalar(n, DT_i64, 1), *last, *at;
    last = size ? fe_cast(n, op2(c, OP_Sub, size, one), c->type) : NULL;
    at = coordinates(c, from, to, last, count);
    if (!at) return p;
    at = fe_unsqueeze(n, at, &unit, 1);
    ir_value *zero = number(c, 0);
    p.inside = op2(c, OP_And, op2(c, OP_GreaterOrEqual, at, zero),
                   op2(c, OP_LessOrEqual, at, last));
    at = choose(c, p.inside, at, zero);
    ir_value *floor = at ? fe_build1(n, OP_Floor, at) : NULL;
    p.weight = op2(c, OP_Sub, at, floor);
    if (fe_attr_is(n, "mode", "nearest")) floor = nearest(c, floor, p.weight);
    p.first = floor ? fe_cast(n, floor, DT_i64) : NULL;
    p.next = at ? fe_cast(n, fe_build1(n, OP_Ceil, at), DT_i64) : NULL;
    return p;
}

/* [r,rows,columns,c] */
static ir_value *gather(const crop *c, ir_value *row, ir_value *column) {
    ir_value *at = op2(c, OP_Add, op2(c, OP_Mul, c->images, c->height), row);
    at = op2(c, OP_Add, op2(c, OP_Mul, at, c->width), column);
    return fe_cast(c->n, op2(c, OP_Gather, c->pixels, at), c->type);
}

/* a + (b - a) * weight, for all channels */
static ir_value *between(const crop *c, ir_value *a, ir_value *b, ir_value *weight) {
    const int64_t channels = -1;
    if (!weight) return NULL;
    weight = fe_unsqueeze(c->n, weight, &channels, 1);
    return op2(c, OP_Add, a, op2(c, OP_Mul, op2(c, OP_Sub, b, a), weight));
}

static ir_value *values(const crop *c, const points *rows, const points *columns) {
    if (!rows->first || !rows->next || !columns->first || !columns->next) return NULL;
    ir_value *corner = gather(c, rows->first, columns->first);
    if (!corner || fe_attr_is(c->n, "mode", "nearest")) return corner;
    ir_value *top = between(c, corner, gather(c, rows->first, columns->next), columns->weight);
    ir_value *bottom = between(c, gather(c, rows->next, columns->first),
                               gather(c, rows->next, columns->next), columns->weight);
    return between(c, top, bottom, rows->weight);
}

/* The images' numbers; one below 0 becomes one that Gather refuses instead of counting from the end. */
static ir_value *image_numbers(const crop *c, ir_value *count) {
    fe_node *n = c->n;
    const int64_t column[] = {-1, 1, 1};
    ir_value *image = fe_cast(n, fe_in(n, 2), DT_i64), *zero = fe_scalar(n, DT_i64, 0);
    return reshape(c, choose(c, op2(c, OP_Less, image, zero), count, image), column, 3);
}

static bool check(fe_node *n) {
    if (!fe_need(n, 4)) return false;
    if (n->in.len > 4) return fe_error(n, "%u inputs, at most 4 are allowed", n->in.len);
    if (fe_find_attr(n, "mode") && !fe_attr_is(n, "mode", "bilinear") &&
        !fe_attr_is(n, "mode", "nearest"))
        return fe_error(n, "attribute 'mode' must be \"bilinear\" or \"nearest\"");
    static const int32_t ranks[] = {4, 2, 1, 1};
    for (uint32_t i = 0; i < 4; i++)
        if (fe_rank(fe_in(n, i)) >= 0 && fe_rank(fe_in(n, i)) != ranks[i])
            return fe_error(n, "input %u: rank is %d, expected %d", i, fe_rank(fe_in(n, i)),
                            ranks[i]);
    return true;
}

static bool crop_and_resize(fe_node *n) {
    const int64_t channels_last[] = {0, 2, 3, 1}, channels_first[] = {0, 3, 1, 2}, last = -1;
    ir_dtype element_type;
    if (!check(n) || !fe_in_dtype(n, 0, &element_type)) return false;
    crop c = {.n = n, .type = element_type == DT_f64 ? DT_f64 : DT_f32};
    ir_value *dims = fe_shape(n, fe_in(n, 0)), *size = fe_cast(n, fe_in(n, 3), DT_i64);
    if (!dims || !size) return false;
    c.height = element(&c, dims, 2), c.width = element(&c, dims, 3);
    ir_value *channels[] = {fe_i64s(n, &last, 1),
                            op2(&c, OP_Gather, dims, fe_i64s(n, (int64_t[]){1}, 1))};
    ir_value *flat = fe_build(n, OP_Concat, channels, 2,
                              &(ir_attr){.name = "axis", .kind = ATTR_INT}, 1);
    c.pixels = op2(&c, OP_Reshape, fe_transpose(n, fe_in(n, 0), channels_last, 4), flat);
    c.images = image_numbers(&c, element(&c, dims, 0));
    points rows = points_of(&c, 0, 2, c.height, element(&c, size, 0), 2),
           columns = points_of(&c, 1, 3, c.width, element(&c, size, 1), 1);
    ir_value *inside = op2(&c, OP_And, rows.inside, columns.inside);
    if (!inside) return false;
    ir_value *outside = number(&c, (double)fe_attr_float(n, "extrapolation_value", 0));
    ir_value *y = choose(&c, fe_unsqueeze(n, inside, &last, 1), values(&c, &rows, &columns),
                         outside);
    return y && fe_finish(n, fe_transpose(n, fe_cast(n, y, element_type), channels_first, 4));
}

/* clang-format off */
const fe_rule fe_rules_ms_crop[] = {
    {"com.microsoft", "CropAndResize", FE_ALWAYS, crop_and_resize, "Gather"},
    {0},
};
/* clang-format on */
