#!/usr/bin/env python3
"""Coefficients of codegen/vmath_*.c, fitted here and printed as C.

    pip install mpmath gmpy2
    python3 tools/fit_vmath.py > codegen/vmath_tables.h
    python3 tools/fit_vmath.py tanh log                    only these, to look at

Every table is a polynomial sum c[i] * x^e[i] that approximates a function on an interval with the least largest weighted error
(Remez exchange on a fine grid, 60 digits). Coefficients are then rounded to the element type one after the other, lowest power first,
the others fitted anew each time, so that they make up for the rounding. The number behind each table is its largest error, in units of
the element type's epsilon where the weight is 1/f."""
import sys
import textwrap

import mpmath as mp

mp.mp.dps = 60
BITS = {"f32": 24, "f64": 53}
GRID = 600


def rounded(x, dtype):
    """The nearest number of the element type."""
    mantissa, exponent = mp.frexp(x)
    return mp.ldexp(mp.nint(mp.ldexp(mantissa, BITS[dtype])), int(exponent) - BITS[dtype])


def chebyshev_grid(lo, hi, n):
    mid, half = (mp.mpf(lo) + hi) / 2, (mp.mpf(hi) - lo) / 2
    return [mid - half * mp.cos(mp.pi * (i + mp.mpf(1) / 2) / n) for i in range(n)]


def exchange(errors, n):
    """n grid points where the error alternates in sign and is large: the best of each run of one sign."""
    runs = []
    for i, e in enumerate(errors):
        if runs and (e > 0) == (errors[runs[-1]] > 0):
            if abs(e) > abs(errors[runs[-1]]):
                runs[-1] = i
        else:
            runs.append(i)
    while len(runs) > n:  # drop at the end that matters less
        runs = runs[1:] if abs(errors[runs[0]]) < abs(errors[runs[-1]]) else runs[:-1]
    return runs


def errors_of(c, target, weight, powers):
    return [(t - mp.fdot(p, c)) * w for t, p, w in zip(target, powers, weight)]


def least_squares(target, weight, powers):
    """On a Chebyshev grid close to the best; needs no alternation, which powers without the lowest need not have around zero."""
    rows = [[p * w for p in row] for row, w in zip(powers, weight)]
    right = [t * w for t, w in zip(target, weight)]
    columns = list(zip(*rows))
    normal = [[mp.fdot(a, b) for b in columns] for a in columns]
    return list(mp.lu_solve(mp.matrix(normal), mp.matrix([mp.fdot(a, right) for a in columns])))


def best(target, weight, points, exponents):
    powers = [[x**e for e in exponents] for x in points]
    squares = least_squares(target, weight, powers)
    try:
        c = remez(target, weight, powers)
    except ZeroDivisionError:
        return squares
    return min(c, squares, key=lambda k: max(abs(e) for e in errors_of(k, target, weight, powers)))


def remez(target, weight, powers):
    """Coefficients of the combination of the columns of powers that is nearest to target."""
    n = len(powers[0])
    chosen = [round((len(powers) - 1) * (0.5 - 0.5 * float(mp.cos(mp.pi * i / n)))) for i in range(n + 1)]
    for _ in range(40):
        rows = [powers[i] + [(-1) ** k / weight[i]] for k, i in enumerate(chosen)]
        solution = list(mp.lu_solve(mp.matrix(rows), mp.matrix([target[i] for i in chosen])))
        c = solution[:n]
        errors = errors_of(c, target, weight, powers)
        worst = max(abs(e) for e in errors)
        if worst <= abs(solution[n]) * (1 + mp.mpf(10) ** -4):
            break
        better = exchange(errors, n + 1)
        if len(better) <= n:
            break
        chosen = better
    return c


def fit(f, exponents, lo, hi, dtype, weight=None, fixed=()):
    """fixed: coefficients of the first exponents, given. Default weight: relative error."""
    points = [x for x in chebyshev_grid(lo, hi, GRID) if x != 0]
    values = [f(x) for x in points]
    weights = [weight(x) if weight else 1 / abs(v) for x, v in zip(points, values)]
    c = [mp.mpf(v) for v in fixed]
    rest = [v - sum(k * x**e for k, e in zip(c, exponents)) for x, v in zip(points, values)]
    while len(c) < len(exponents):
        k = rounded(best(rest, weights, points, exponents[len(c):])[0], dtype)
        e = exponents[len(c)]
        rest = [r - k * x**e for r, x in zip(rest, points)]
        c.append(k)
    worst = max(abs(r) * w for r, w in zip(rest, weights))
    return c, worst * 2 ** (BITS[dtype] - 1)


def words(c, dtype):
    return ", ".join(float(x).hex() if dtype == "f64" else f32_hex(x) for x in c)


def wrapped(text):
    return "\n".join(textwrap.wrap(text, 126, initial_indent="    ", subsequent_indent="     "))


def f32_hex(x):
    """Hexadecimal without the zeros that a single has at its end."""
    mantissa, exponent = float(x).hex().split("p")
    return mantissa.rstrip("0").rstrip(".") + "p" + exponent


TABLES = {}  # name -> [(dtype, arguments of fit)]
COMMENTS = {}


def spec(name, dtype, comment, f, exponents, lo, hi, **options):
    TABLES.setdefault(name, []).append((dtype, f, list(exponents), lo, hi, options))
    COMMENTS[name] = comment


LN2 = mp.log(2)
ROOT = mp.sqrt(2)

# Scaled by 2^n with n even: see vmath_exp.c
for t, degree in ("f32", 7), ("f64", 13):
    spec("exp", t, "exp(r), |r| <= ln 2", mp.exp, range(degree + 1), -LN2 * 1.0001, LN2 * 1.0001, fixed=[1, 1])
for t, degree in ("f32", 5), ("f64", 11):
    spec("expm1", t, "(exp(r) - 1 - r) / r^2, |r| <= ln 2 / 2", lambda r: (mp.expm1(r) - r) / r**2, range(degree), -LN2 / 2, LN2 / 2,
         weight=lambda r: r**2 / abs(mp.expm1(r)), fixed=[0.5])
for t, terms in ("f32", 3), ("f64", 7):
    spec("tanh", t, "(tanh(r) - r) / r^3 by r^2, |r| <= ln 2 / 4", lambda r: (mp.tanh(r) - r) / r**3, range(0, 2 * terms, 2),
         0, LN2 / 4, weight=lambda r: r**2)
for t, terms in ("f32", 8), ("f64", 20):
    spec("log", t, "(log(1 + f) - f) / f^2, sqrt(1/2) <= 1 + f <= sqrt(2)", lambda f: (mp.log1p(f) - f) / f**2,
         range(terms), 1 / ROOT - 1, ROOT - 1, weight=lambda f: f**2 / abs(mp.log1p(f)), fixed=[-0.5])
spec("erf_small", "f32", "erf(x) / x - 1 by x^2, |x| <= 1.08", lambda x: mp.erf(x) / x - 1, range(0, 14, 2), 0, 1.08,
     weight=lambda x: x / mp.erf(x))
spec("erf_large", "f32", "erf(z + 2.5) - 1, |z| <= 1.42", lambda z: -mp.erfc(z + mp.mpf("2.5")), range(14), -1.42, 1.42,
     weight=lambda z: 1)
QUARTER = mp.pi / 4 * mp.mpf("1.05")  # the quadrant of large arguments is chosen with some error
for t, terms in ("f32", 4), ("f64", 7):
    spec("sin", t, "(sin(r) - r) / r^3 by r^2, |r| <= 1.05 pi / 4", lambda r: (mp.sin(r) - r) / r**3, range(0, 2 * terms, 2), 0,
         QUARTER, weight=lambda r: r**3 / mp.sin(r))
for t, terms in ("f32", 5), ("f64", 8):
    spec("cos", t, "cos(r) by r^2, |r| <= 1.05 pi / 4", mp.cos, range(0, 2 * terms, 2), 0, QUARTER, fixed=[1, -0.5])
spec("asin", "f32", "(asin(x) - x) / x^3 by x^2, |x| <= 1/2", lambda x: (mp.asin(x) - x) / x**3, range(0, 10, 2), 0, 0.5,
     weight=lambda x: x**3 / mp.asin(x))
spec("atan", "f32", "(atan(x) - x) / x^3 by x^2, |x| <= 1", lambda x: (mp.atan(x) - x) / x**3, range(0, 18, 2), 0, 1,
     weight=lambda x: x**3 / mp.atan(x))
# pow of f32 is computed in f64; its polynomials need not have all of the precision.
spec("pow_log2", "f64", "log2(1 + f) / f, sqrt(1/2) <= 1 + f <= sqrt(2)", lambda f: mp.log(1 + f, 2) / f, range(13), 1 / ROOT - 1,
     ROOT - 1, weight=lambda f: f / mp.log(1 + f, 2))
spec("pow_exp2", "f64", "2^f, |f| <= 1/2", lambda f: mp.mpf(2) ** f, range(7), -0.5, 0.5, fixed=[1])

PARTS = {"ln2": LN2, "half_pi": mp.pi / 2}
HEADER = """/* Made by tools/fit_vmath.py > codegen/vmath_tables.h; do not edit. Polynomials, lowest power first: [0] for f32, [1] for f64. The
 * errors are those of the polynomial with its rounded coefficients, in units of the type's epsilon, weighted as the script says. */
#ifndef TLBC_CODEGEN_VMATH_TABLES_H
#define TLBC_CODEGEN_VMATH_TABLES_H

// clang-format off
typedef struct vm_table {
    int n;
    double c[24];
} vm_table;
"""


def print_parts(name, value):
    """value as a sum of numbers of the type, each the nearest to what is left. Those of pi/2 are cut off instead, so that all have one
    sign: reduction then keeps the sign of -0."""
    rows = []
    for dtype in BITS:
        left, parts = value, []
        for _ in range(4):
            part = rounded(left, dtype)
            if name == "half_pi" and part > left:
                part -= mp.ldexp(1, int(mp.frexp(part)[1]) - BITS[dtype])
            parts.append(part)
            left -= parts[-1]
        rows.append("    {" + words(parts, dtype) + "}")
    print(f"static const double vm_{name}[2][4] = {{\n" + ",\n".join(rows) + "};")


def print_table(name):
    rows, errors = [], []
    for dtype, f, exponents, lo, hi, options in TABLES[name]:
        c, error = fit(f, exponents, lo, hi, dtype, **options)
        rows.append(wrapped("{%d, {%s}}" % (len(c), words(c, dtype))))
        errors.append(mp.nstr(error, 2))
    print(f"\n/* {COMMENTS[name]}; errors {', '.join(errors)} */")
    print(f"static const vm_table vm_{name}_table[] = {{\n" + ",\n".join(rows) + "};")


def main():
    if len(sys.argv) > 1:
        for name in sys.argv[1:]:
            print_table(name)
        return
    print(HEADER)
    for name, value in PARTS.items():
        print_parts(name, value)
    for name in TABLES:
        print_table(name)
    print("// clang-format on\n\n#endif")


if __name__ == "__main__":
    main()
