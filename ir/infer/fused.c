/* The compiler's own operators: Dims, and those whose results are what their region yields. */
#include "ir/infer/infer.h"
#include "ir/window.h"

bool infer_dims(ir_ctx *c, ir_node *n) {
    const ir_attr *dims = ir_attr_find(n, "dims");
    int64_t rank = ir_attr_int(n, "rank", 1), dtype = ir_attr_int(n, "dtype", DT_i64);
    if (!dims || dims->kind != ATTR_DIMS)
        return diag_error(&c->diag, n->loc, "attribute 'dims' is missing");
    if (rank != 1 && (rank != 0 || dims->n != 1))
        return diag_error(&c->diag, n->loc, "%u dims of rank %lld, expected rank 1, or 0 for one",
                          dims->n, (long long)rank);
    if (dtype <= 0 || dtype >= DT_COUNT || !ir_dtype_is_int((ir_dtype)dtype))
        return diag_error(&c->diag, n->loc, "attribute 'dtype' is %lld, expected an integer type",
                          (long long)dtype);
    int64_t length = dims->n;
    return infer_set(c, n, 0, ir_type_tensor_static(c, (ir_dtype)dtype, (int32_t)rank, &length));
}

/* Gives a region's parameters these types and infers its nodes. How many there are the verifier has compared. */
static bool infer_inside(ir_ctx *c, const ir_node *n, ir_region *r, const ir_type *const *types,
                         uint32_t n_types) {
    for (uint32_t i = 0; i < n_types; i++) {
        if (!types[i])
            return diag_error(&c->diag, n->loc, "parameter %u of '%s' has no operand with a type",
                              i, r->name);
        r->params[i]->type = types[i];
    }
    return infer_region(c, r);
}

/* The same; the node's results are what the region yields. */
static bool infer_through_region(ir_ctx *c, ir_node *n, ir_region *r, const ir_type *const *types,
                                 uint32_t n_types) {
    if (!infer_inside(c, n, r, types, n_types)) return false;
    for (uint32_t i = 0; i < n->n_out; i++) {
        const ir_value *v = ir_region_result(r, i);
        if (!v || !v->type)
            return diag_error(&c->diag, n->loc, "result %u of '%s' has no type", i, r->name);
        if (!infer_set(c, n, i, v->type)) return false;
    }
    return true;
}

bool infer_fused(ir_ctx *c, ir_node *n) {
    const ir_type **types = TL_NEW_ARRAY(&c->arena, const ir_type *, n->n_in);
    for (uint32_t i = 0; i < n->n_in; i++)
        types[i] = infer_in(n, i);
    return infer_through_region(c, n, ir_node_find_region(n, "body"), types, n->n_in);
}

/* Lookup(X u8 or i8, table[256]): as many elements of the table. */
bool infer_lookup(ir_ctx *c, ir_node *n) {
    const ir_type *x = infer_in(n, 0), *table = infer_in(n, 1);
    if (!x || !table) return diag_error(&c->diag, n->loc, "operand or table is missing");
    if (x->dtype != DT_u8 && x->dtype != DT_i8)
        return infer_error(c, n, 0, "expected elements of one byte");
    const ir_dim *size = ir_dim_const(c, 256);
    if (!infer_expect_dims(c, n, 1, &size, 1)) return false;
    if (!infer_is_ranked(n, 0)) return infer_set_unranked(c, n, 0, table->dtype);
    ir_shape s = infer_in_shape(n, 0);
    return infer_set_shape(c, n, 0, table->dtype, &s);
}

/* Requantize<scale, zero, to>(X f32) */
bool infer_requantize(ir_ctx *c, ir_node *n) {
    int64_t to = ir_attr_int(n, "to", 0);
    const ir_type *x = infer_in(n, 0);
    if (to != DT_u8 && to != DT_i8)
        return diag_error(&c->diag, n->loc, "attribute 'to' is %lld, expected a byte's type",
                          (long long)to);
    if (!x || x->dtype != DT_f32) return infer_error(c, n, 0, "expected f32");
    return infer_set(c, n, 0, ir_type_with_dtype(c, x, (ir_dtype)to));
}

/* [...,M,K] x [K,N], N being attribute n; NULL after reporting. Weights of i8 are packed four of k to a lane of i32, of i16 to one of i64. */
static const ir_type *packed_product(ir_ctx *c, const ir_node *n) {
    int64_t columns = ir_attr_int(n, "n", -1);
    const ir_type *a = infer_in(n, 0);
    if (columns < 0) return diag_error(&c->diag, n->loc, "attribute 'n' is missing"), NULL;
    if (!ir_type_is_ranked(a)) return ir_type_unranked(c, a->dtype == DT_u8 ? DT_i32 : a->dtype);
    if (a->rank == 0) return infer_error(c, n, 0, "rank is 0, expected 1 at least"), NULL;
    ir_shape s = infer_in_shape(n, 0);
    const ir_type *w = infer_in(n, 1);
    const ir_dim *rows = s.dims[s.rank - 1];
    s.dims[s.rank - 1] = ir_dim_const(c, columns);
    if (ir_attr_find(n, "bits")) return ir_type_tensor(c, a->dtype, s.rank, s.dims);
    bool quads = w->dtype == DT_i32 || w->dtype == DT_i64;
    if (quads && a->dtype == DT_u8) rows = ir_dim_ceildiv(c, rows, ir_dim_const(c, 4));
    if (ir_type_is_ranked(w) && !infer_expect_dim(c, n, 1, w->rank - 2, rows)) return NULL;
    return ir_type_tensor(c, a->dtype == DT_u8 ? DT_i32 : a->dtype, s.rank, s.dims);
}

/* Types of the epilogue's parameters: the product and the operands from 2 on; NULL after reporting. */
static const ir_type **epilogue_types(ir_ctx *c, const ir_node *n, const ir_region *epilogue,
                                      const ir_type *product) {
    const ir_type **types = TL_NEW_ARRAY(&c->arena, const ir_type *, n->n_in);
    types[0] = product;
    for (uint32_t i = 2; i < n->n_in; i++)
        types[i - 1] = infer_in(n, i);
    if (epilogue->n_params == n->n_in - 1) return types;
    return diag_error(&c->diag, n->loc, "'epilogue' has %u parameters, expected %u",
                      epilogue->n_params, n->n_in - 1),
           NULL;
}

/* What the epilogue makes of the product and the operands from 2 on; without one the product is the result. */
static bool infer_epilogue(ir_ctx *c, ir_node *n, const ir_type *product) {
    ir_region *epilogue = ir_node_find_region(n, "epilogue");
    if (!epilogue) return infer_set(c, n, 0, product);
    const ir_type **types = epilogue_types(c, n, epilogue, product);
    return types && infer_through_region(c, n, epilogue, types, n->n_in - 1);
}

static bool check_product_operands(ir_ctx *c, const ir_node *n) {
    if (n->n_in >= 2 && ir_type_is_tensor(infer_in(n, 0)) && infer_in(n, 1)) return true;
    return diag_error(&c->diag, n->loc, "%u inputs, expected a tensor and a packed one at least",
                      n->n_in);
}

/* MatMulPacked(A[...,M,K], weight[panels,K,panel] or, before pack_weights, [K,N], extras...) */
bool infer_matmul_packed(ir_ctx *c, ir_node *n) {
    if (!check_product_operands(c, n)) return false;
    if (infer_is_ranked(n, 1) && infer_in(n, 1)->rank != 2 && !infer_expect_rank(c, n, 1, 3))
        return false;
    const ir_type *product = packed_product(c, n);
    return product && infer_epilogue(c, n, product);
}

/* MatMulArg(A[...,M,K], B[...,K,N], extras...): i64[...,M], positions in what the epilogue makes of the product. */
bool infer_matmul_arg(ir_ctx *c, ir_node *n) {
    ir_region *epilogue = ir_node_find_region(n, "epilogue");
    if (!check_product_operands(c, n)) return false;
    if (!infer_is_ranked(n, 0) || !infer_is_ranked(n, 1))
        return infer_set_unranked(c, n, 0, DT_i64);
    ir_shape s;
    if (!infer_product_shape(c, n, &s)) return false;
    if (infer_in(n, 0)->rank < 2 || infer_in(n, 1)->rank < 2)
        return infer_error(c, n, 0, "expected matrices");
    const ir_type *product = ir_type_tensor(c, infer_in(n, 0)->dtype, s.rank, s.dims);
    if (epilogue) {
        const ir_type **types = epilogue_types(c, n, epilogue, product);
        if (!types || !infer_inside(c, n, epilogue, types, n->n_in - 1)) return false;
    }
    s.rank--;
    return infer_set_shape(c, n, 0, DT_i64, &s);
}

/* ConvPacked(X[N,C,...], weight[rows,...] or, before pack_weights, [M,C/group,...], extras...); M is attribute features. */
bool infer_conv_packed(ir_ctx *c, ir_node *n) {
    if (!check_product_operands(c, n)) return false;
    ir_dtype dtype = infer_in(n, 0)->dtype;
    if (!infer_is_ranked(n, 0)) return infer_epilogue(c, n, ir_type_unranked(c, dtype));
    ir_shape x = infer_in_shape(n, 0);
    if (x.rank < 3) return infer_error(c, n, 0, "rank is %d, expected 3 or more", x.rank);
    if (infer_is_ranked(n, 1) && infer_in(n, 1)->rank != 2 && !infer_expect_rank(c, n, 1, x.rank))
        return false;
    int64_t features = ir_attr_int(n, "features", -1);
    if (features < 0) return diag_error(&c->diag, n->loc, "attribute 'features' is missing");
    ir_window w;
    const char *problem = ir_window_init(&w, c, n, x.rank - 2, x.dims + 2, NULL);
    if (problem) return diag_error(&c->diag, n->loc, "%s", problem);
    x.dims[1] = ir_dim_const(c, features);
    memcpy(x.dims + 2, w.out, (size_t)w.axes * sizeof *x.dims);
    return infer_epilogue(c, n, ir_type_tensor(c, dtype, x.rank, x.dims));
}

/* ConvBytes(X u8[N,...,C], weight, extras...); M is attribute features. */
bool infer_conv_bytes(ir_ctx *c, ir_node *n) {
    if (!check_product_operands(c, n)) return false;
    if (infer_in(n, 0)->dtype != DT_u8) return infer_error(c, n, 0, "expected unsigned bytes");
    if (!infer_is_ranked(n, 0)) return infer_epilogue(c, n, ir_type_unranked(c, DT_i32));
    ir_shape x = infer_in_shape(n, 0);
    if (x.rank < 3) return infer_error(c, n, 0, "rank is %d, expected 3 or more", x.rank);
    int64_t features = ir_attr_int(n, "features", -1);
    if (features < 0) return diag_error(&c->diag, n->loc, "attribute 'features' is missing");
    ir_window w;
    const char *problem = ir_window_init(&w, c, n, x.rank - 2, x.dims + 1, NULL);
    if (problem) return diag_error(&c->diag, n->loc, "%s", problem);
    memcpy(x.dims + 1, w.out, (size_t)w.axes * sizeof *x.dims);
    x.dims[x.rank - 1] = ir_dim_const(c, features);
    return infer_epilogue(c, n, ir_type_tensor(c, DT_i32, x.rank, x.dims));
}
