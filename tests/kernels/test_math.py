"""ec_math.h against double precision, and the vector layer against numpy, bit for bit."""

from __future__ import annotations

import numpy as np
from scipy import special

from .harness import Case, Floats, Machine, machines, run_cases

SPECIAL = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 3e38, -3e38, 1e-30, -1e-30], np.float32)
FUNCTIONS = {
    "exp": (np.exp, 4, (-87.3, 88.7)),
    "log": (np.log, 4, (0, 3e38)),
    "tanh": (np.tanh, 4, (-10, 10)),
    "sigmoid": (special.expit, 4, (-87, 87)),
    "erf": (special.erf, 8, (-5, 5)),
    "sin": (np.sin, 4, (-1e4, 1e4)),
    "cos": (np.cos, 4, (-1e4, 1e4)),
}
EXACT = {
    "neg": np.negative, "abs": np.abs, "sqrt": np.sqrt,
    "floor": np.floor, "ceil": np.ceil, "round": np.rint, "trunc": np.trunc,
}  # fmt: skip
PAIRS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
    "min": lambda a, b: np.where(a < b, a, b), "max": lambda a, b: np.where(a > b, a, b),
    "min_nan": np.minimum, "max_nan": np.maximum,
}  # fmt: skip
COMPARISONS = {
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
MAP = """
#define MAP(size, expression)                                                                    \\
    const volatile size_t total = size; /* or gcc warns of a comparison that is false for 0 */   \\
    for (size_t i = 0; i < total; i += EC_LANES) {                                               \\
        size_t n = ec_min_size(total - i, EC_LANES);                                             \\
        ec_f32 a = ec_f32_load_lanes(in[0] + i, n), b = ec_f32_load_lanes(in[1] + i, n);          \\
        (void)b;                                                                                 \\
        ec_f32_store_lanes(out + i, expression, n);                                              \\
    }
"""
HEADERS = ["ec_math.h", "ec_shape.h"]


def _map(expression: str, a: Floats, b: Floats | None = None) -> Case:
    return Case(f"    MAP({a.size}, {expression})", (a, a if b is None else b), a.size, expression)


def _samples(low: float, high: float) -> Floats:
    random = np.random.default_rng(1)
    linear = random.uniform(low, high, 20000)
    near_zero = np.exp(random.uniform(-60, 0, 2000)) * (1 if low >= 0 else random.choice([-1, 1], 2000))
    multiples = np.arange(0, 6366) * (np.pi / 2) if high == 1e4 else np.linspace(0.3, 3, 6366)
    return np.concatenate([linear, near_zero, multiples]).astype(np.float32)


def _ulps(actual: Floats, expected: Floats) -> Floats:
    spacing = np.spacing(np.maximum(np.abs(expected), np.float64(2.0**-126)).astype(np.float32))
    return np.abs(actual.astype(np.float64) - expected) / spacing


@machines
def test_functions_are_accurate(machine: Machine) -> None:
    samples = {name: _samples(*limits) for name, (_, _, limits) in FUNCTIONS.items()}
    outputs = run_cases(machine, HEADERS, [_map(f"ec_f32_{name}(a)", samples[name]) for name in FUNCTIONS], MAP)
    for (name, (reference, bound, _)), output in zip(FUNCTIONS.items(), outputs, strict=True):
        worst = _ulps(output, reference(samples[name].astype(np.float64))).max()
        assert worst <= bound, f"{name}: {worst:.2f} ULP"


@machines
def test_functions_at_the_limits(machine: Machine) -> None:
    outputs = run_cases(machine, HEADERS, [_map(f"ec_f32_{name}(a)", SPECIAL) for name in FUNCTIONS], MAP)
    for (name, (reference, _, _)), output in zip(FUNCTIONS.items(), outputs, strict=True):
        use = np.abs(SPECIAL) < 1e4 if name in ("sin", "cos") else np.ones(SPECIAL.size, bool)
        use |= ~np.isfinite(SPECIAL)
        with np.errstate(all="ignore"):
            expected = reference(SPECIAL.astype(np.float64)).astype(np.float32)
        np.testing.assert_allclose(output[use], expected[use], rtol=1e-6, atol=1e-38, err_msg=name)


@machines
def test_pow(machine: Machine) -> None:
    random = np.random.default_rng(2)
    x = np.exp(random.uniform(-4, 4, 3000)).astype(np.float32)
    y = random.uniform(-15, 15, 3000).astype(np.float32)
    a, b = (grid.ravel().astype(np.float32) for grid in np.meshgrid([*SPECIAL, 2, -2, 0.5], [*SPECIAL, 2, 3, -3, 0.5]))
    usual, limits = run_cases(machine, HEADERS, [_map("ec_f32_pow(a, b)", x, y), _map("ec_f32_pow(a, b)", a, b)], MAP)
    np.testing.assert_allclose(usual, np.power(x.astype(np.float64), y), rtol=2e-5, atol=2e-38)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(limits, np.power(a, b), rtol=2e-5, atol=2e-38)


@machines
def test_every_length_and_nothing_beyond_it(machine: Machine) -> None:
    lengths = range(0, 2 * machine.lanes + 2)
    values = [np.linspace(-3, 3, length, dtype=np.float32) for length in lengths]
    outputs = run_cases(machine, HEADERS, [_map("ec_f32_exp(a)", value) for value in values], MAP)
    for value, output in zip(values, outputs, strict=True):
        np.testing.assert_allclose(output, np.exp(value), rtol=1e-6)


@machines
def test_vector_layer_gives_numpy_bits(machine: Machine) -> None:
    random = np.random.default_rng(3)
    a, b = (np.concatenate([SPECIAL, random.normal(0, 4, 301).astype(np.float32)]) for _ in range(2))
    a = np.concatenate([a, np.arange(-4, 4, 0.5, dtype=np.float32), np.repeat(SPECIAL, SPECIAL.size)])
    b = np.concatenate([b, np.arange(-4, 4, 0.5, dtype=np.float32)[::-1], np.tile(SPECIAL, SPECIAL.size)])
    one, zero = "ec_f32_set(1.0f)", "ec_f32_set(0.0f)"
    cases = [_map(f"ec_f32_{name}(a)", a) for name in EXACT] + [_map(f"ec_f32_{name}(a, b)", a, b) for name in PAIRS]
    cases += [_map(f"ec_f32_select(ec_f32_{name}(a, b), {one}, {zero})", a, b) for name in COMPARISONS]
    outputs = run_cases(machine, HEADERS, cases, MAP)
    with np.errstate(all="ignore"):
        expected = [function(a) for function in EXACT.values()]
        expected += [function(a, b) for function in (*PAIRS.values(), *COMPARISONS.values())]
    for case, output, wanted in zip(cases, outputs, expected, strict=True):
        wanted = wanted.astype(np.float32)
        same = (output.view(np.uint32) == wanted.view(np.uint32)) | (np.isnan(output) & np.isnan(wanted))
        same |= ("nan(" in case.name) & (output == wanted)  # numpy leaves open which zero is the larger
        if machine.flushes:
            same |= np.abs(wanted) < 2.0**-126
        assert same.all(), (case.name, a[~same][:4], b[~same][:4], output[~same][:4], wanted[~same][:4])


@machines
def test_strides_and_reductions(machine: Machine) -> None:
    lanes = machine.lanes
    values = np.random.default_rng(4).standard_normal(lanes * 3).astype(np.float32)
    body = """    ec_f32 v = ec_f32_load_strided(in[0], 3);
    ec_f32_store_strided(out, 2, v);
    ec_f32_store_strided_tail(out + 1, 2, ec_f32_load_strided_tail(in[0], 3, (EC_LANES + 1) / 2), EC_LANES);
    out[2 * EC_LANES] = ec_f32_reduce_add(v);
    out[2 * EC_LANES + 1] = ec_f32_reduce_max(v);
    out[2 * EC_LANES + 2] = ec_f32_reduce_min(v);"""
    (output,) = run_cases(machine, HEADERS, [Case(body, (values,), 2 * lanes + 3)], MAP)
    picked = values[::3]
    half = np.where(np.arange(lanes) < (lanes + 1) // 2, picked, np.float32(0))
    np.testing.assert_array_equal(output[: 2 * lanes], np.stack([picked, half], 1).ravel())
    np.testing.assert_allclose(output[2 * lanes :], [picked.sum(), picked.max(), picked.min()], rtol=1e-5)
