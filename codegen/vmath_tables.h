/* Made by tools/fit_vmath.py > codegen/vmath_tables.h; do not edit. Polynomials, lowest power first: [0] for f32, [1] for f64. The
 * errors are those of the polynomial with its rounded coefficients, in units of the type's epsilon, weighted as the script says. */
#ifndef TLBC_CODEGEN_VMATH_TABLES_H
#define TLBC_CODEGEN_VMATH_TABLES_H

// clang-format off
typedef struct vm_table {
    int n;
    double c[24];
} vm_table;

static const double vm_ln2[2][4] = {
    {0x1.62e43p-1, -0x1.05c61p-29, -0x1.950d88p-54, 0x1.d9cc02p-79},
    {0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56, 0x1.7b57a079a1934p-111, -0x1.ace93a4ec0000p-165}};
static const double vm_half_pi[2][4] = {
    {0x1.921fb4p+0, 0x1.4442dp-24, 0x1.846988p-48, 0x1.8cc516p-72},
    {0x1.921fb54442d18p+0, 0x1.1a62633145c06p-54, 0x1.c1cd129024e08p-107, 0x1.14cf98e804000p-160}};

/* exp(r), |r| <= ln 2; errors 0.12, 0.046 */
static const vm_table vm_exp_table[] = {
    {8, {0x1p+0, 0x1p+0, 0x1.00000cp-1, 0x1.555512p-3, 0x1.5549cep-5, 0x1.1126d2p-7, 0x1.71c882p-10, 0x1.9bd928p-13}},
    {14, {0x1.0000000000000p+0, 0x1.0000000000000p+0, 0x1.ffffffffffff3p-2, 0x1.55555555555b6p-3, 0x1.555555555693ep-5,
     0x1.111111110827ap-7, 0x1.6c16c169c1e10p-10, 0x1.a01a01b244157p-13, 0x1.a01a057f92215p-16, 0x1.71de29e871f93p-19,
     0x1.27e1cb4f845abp-22, 0x1.ae7150b1c1519p-26, 0x1.217a1c261b041p-29, 0x1.5e614c6bff15fp-33}}};

/* (exp(r) - 1 - r) / r^2, |r| <= ln 2 / 2; errors 0.12, 0.0014 */
static const vm_table vm_expm1_table[] = {
    {5, {0x1p-1, 0x1.5554aep-3, 0x1.555514p-5, 0x1.1228bep-7, 0x1.6d16b8p-10}},
    {11, {0x1.0000000000000p-1, 0x1.5555555555559p-3, 0x1.555555555554cp-5, 0x1.111111110f65bp-7, 0x1.6c16c16c1b325p-10,
     0x1.a01a01afff406p-13, 0x1.a01a018b42992p-16, 0x1.71ddf81dc16bbp-19, 0x1.27e5198d2f157p-22, 0x1.af5f0dedded80p-26,
     0x1.1f1040a29c84dp-29}}};

/* (tanh(r) - r) / r^3 by r^2, |r| <= ln 2 / 4; errors 0.0014, 6.3e-5 */
static const vm_table vm_tanh_table[] = {
    {3, {-0x1.55554ep-2, 0x1.110592p-3, -0x1.afd662p-5}},
    {7, {-0x1.5555555555555p-2, 0x1.1111111110e26p-3, -0x1.ba1ba1b92e7d5p-5, 0x1.664f4773c30e5p-6, -0x1.226d939ae032fp-7,
     0x1.d66ae57167d9fp-9, -0x1.6c1071e15eab5p-10}}};

/* (log(1 + f) - f) / f^2, sqrt(1/2) <= 1 + f <= sqrt(2); errors 0.28, 0.054 */
static const vm_table vm_log_table[] = {
    {8, {-0x1p-1, 0x1.555702p-2, -0x1.00028ap-2, 0x1.98cb16p-3, -0x1.53b8c8p-3, 0x1.3231b2p-3, -0x1.22c258p-3, 0x1.5c76fep-4}},
    {20, {-0x1.0000000000000p-1, 0x1.5555555555500p-2, -0x1.ffffffffff47ap-3, 0x1.99999999a7989p-3, -0x1.555555563048dp-3,
     0x1.2492491eecf2bp-3, -0x1.ffffff480a749p-4, 0x1.c71c738e8e1efp-4, -0x1.9999bfadffdafp-4, 0x1.745d08a453c71p-4,
     -0x1.5550f880974d9p-4, 0x1.3b0f8a218025dp-4, -0x1.24dac53232363p-4, 0x1.11a2602fe3ab0p-4, -0x1.fb0e01362817cp-5,
     0x1.d217f2245553bp-5, -0x1.d5e596bf62508p-5, 0x1.0966edc8ef6d9p-4, -0x1.db6426c36c8a2p-5, 0x1.95eda7e6f946cp-6}}};

/* erf(x) / x - 1 by x^2, |x| <= 1.08; errors 0.032 */
static const vm_table vm_erf_small_table[] = {
    {7, {0x1.06eba8p-3, -0x1.812736p-2, 0x1.ce2b1ep-4, -0x1.b7d658p-6, 0x1.52eccp-8, -0x1.9bf502p-11, 0x1.33c91ap-14}}};

/* erf(z + 2.5) - 1, |z| <= 1.42; errors 0.16 */
static const vm_table vm_erf_large_table[] = {
    {14, {-0x1.aab4dp-12, 0x1.1d8168p-9, -0x1.64ef34p-8, 0x1.11a586p-7, -0x1.1a5ca2p-7, 0x1.909202p-8, -0x1.70e0f6p-9,
     0x1.22e29p-11, 0x1.2849c8p-12, -0x1.16c674p-12, 0x1.0b4cdep-14, 0x1.095046p-16, -0x1.3ce6f2p-17, 0x1.af1a48p-21}}};

/* (sin(r) - r) / r^3 by r^2, |r| <= 1.05 pi / 4; errors 0.0016, 0.00046 */
static const vm_table vm_sin_table[] = {
    {4, {-0x1.555556p-3, 0x1.11116ap-7, -0x1.a04c1cp-13, 0x1.783706p-19}},
    {7, {-0x1.5555555555555p-3, 0x1.1111111111076p-7, -0x1.a01a01a0026b1p-13, 0x1.71de3a3ac012dp-19, -0x1.ae6437607fe1fp-26,
     0x1.6111acdcfc40bp-33, -0x1.a443df0284186p-41}}};

/* cos(r) by r^2, |r| <= 1.05 pi / 4; errors 0.0016, 0.00056 */
static const vm_table vm_cos_table[] = {
    {5, {0x1p+0, -0x1p-1, 0x1.555546p-5, -0x1.6c09cep-10, 0x1.9941eep-16}},
    {8, {0x1.0000000000000p+0, -0x1.0000000000000p-1, 0x1.5555555555542p-5, -0x1.6c16c16c13d2dp-10, 0x1.a01a019ac47edp-16,
     -0x1.27e4f6afd161fp-22, 0x1.1ee9076674238p-29, -0x1.8f3bb22d2f4b0p-37}}};

/* (asin(x) - x) / x^3 by x^2, |x| <= 1/2; errors 0.041 */
static const vm_table vm_asin_table[] = {
    {5, {0x1.5555c8p-3, 0x1.330204p-4, 0x1.747bbap-5, 0x1.8c3e2ap-6, 0x1.595c8cp-5}}};

/* (atan(x) - x) / x^3 by x^2, |x| <= 1; errors 0.023 */
static const vm_table vm_atan_table[] = {
    {9, {-0x1.55553ep-2, 0x1.9991e4p-3, -0x1.242076p-3, 0x1.c08ad8p-4, -0x1.580268p-4, 0x1.da0ad6p-5, -0x1.fd2fe4p-6,
     0x1.63c08ap-7, -0x1.d28b62p-10}}};

/* log2(1 + f) / f, sqrt(1/2) <= 1 + f <= sqrt(2); errors 8.3e+4 */
static const vm_table vm_pow_log2_table[] = {
    {13, {0x1.71547652a1e9ap+0, -0x1.7154765733a8cp-1, 0x1.ec709ead98a49p-2, -0x1.71546f41fdf3cp-2, 0x1.2776574c9238ap-2,
     -0x1.ec7353f680a9bp-3, 0x1.a63e33845cb1ap-3, -0x1.7131f62e7f822p-3, 0x1.452d962d3cfc5p-3, -0x1.25dcd9950defap-3,
     0x1.28e7b0674d4a8p-3, -0x1.21b8b3ed41125p-3, 0x1.355379a90d036p-4}}};

/* 2^f, |f| <= 1/2; errors 9.9e+6 */
static const vm_table vm_pow_exp2_table[] = {
    {7, {0x1.0000000000000p+0, 0x1.62e430c688ed4p-1, 0x1.ebfbdcf8b4486p-3, 0x1.c6aed61c2af16p-5, 0x1.3b2cc347135d2p-7,
     0x1.5f44dc126b0e5p-10, 0x1.4258d7d758223p-13}}};
// clang-format on

#endif
