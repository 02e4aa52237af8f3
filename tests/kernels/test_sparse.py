"""ec_sparse_f32 against numpy: tile widths, whole and broken blocks, rows that do not touch, no weights and all."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.kernels.packing_sparse import pack_sparse, starts_of
from edgec.kernels.table import ISAS, get_isa
from edgec.kernels.table_sparse import X_FLOATS, Y_FLOATS, SparseSize, choose_sparse, sparse_cycles, sparse_tiles

from .harness import Machine, machines
from .harness_i8 import Case, IntegerMachine, run_cases

STRING = "#include <string.h>\n"
GAP = 3  # elements between rows
# batch, out_h, out_w, in_c, out_c, density, vectors, block_k, block_c (vectors), stride of x in pixels
SHAPES = [
    (1, 1, 37, 16, 20, 0.3, 1, 16, 1, 1),
    (1, 5, 7, 24, 33, 0.2, 2, 10, 1, 1),
    (2, 3, 9, 19, 16, 0.5, 3, 19, 2, 1),
    (1, 6, 6, 40, 9, 0.1, 4, 13, 1, 2),
    (1, 1, 70, 8, 17, 1.0, 5, 8, 1, 1),
    (1, 4, 11, 12, 12, 0.0, 7, 5, 1, 1),
    (1, 9, 16, 33, 31, 0.25, 8, 32, 1, 1),
    (1, 1, 1, 5, 3, 0.6, 1, 5, 1, 1),
    (1, 2, 3, 300, 4, 0.3, 2, 150, 1, 1),
]


@machines
def test_products_equal_numpy(machine: Machine) -> None:
    cases, expected = [], []
    for n, h, w, k, c, density, nv, block_k, vectors, step in SHAPES:
        random = np.random.default_rng(k)
        x = random.standard_normal((n, h, w * step * k + GAP)).astype(np.float32)
        weights = np.where(random.random((k, c)) < density, random.standard_normal((k, c)), 0).astype(np.float32)
        bias = random.standard_normal(c).astype(np.float32)
        y_h, block_c = w * c + GAP, vectors * machine.lanes
        body = f"""    static const ec_sparse_shape s = {{{n}, {h}, {w}, {k}, {c}, {x[0].size}, {x[0, 0].size},
        {k * step}, {h * y_h}, {y_h}, {c}, {block_k}, {block_c}}};
    const size_t tasks = ec_sparse_f32_tasks(&s, {nv});
    for (size_t task = tasks; task-- > 0;)
        ec_sparse_f32(in[0], in[1], in[2], in[3], {"in[4]" if k % 2 else "NULL"}, out, &s, {nv}, ec_epilogue_none, NULL,
                      task, task + 1);"""
        cases.append(Case(body, (x, *pack_sparse(weights, block_k, block_c), bias), n * h * y_h, np.float32))
        pixels = x[:, :, : w * step * k].reshape(n, h, w, step, k)[:, :, :, 0]
        expected.append(pixels @ weights.astype(np.float64) + (bias if k % 2 else 0))
    outputs = run_cases(IntegerMachine(machine), ["ec_sparse_f32.h"], cases, STRING)
    for case, output, wanted in zip(cases, outputs, expected, strict=True):
        n, h, w, c = wanted.shape
        rows = output.reshape(n, h, w * c + GAP)
        np.testing.assert_allclose(rows[:, :, : w * c].reshape(wanted.shape), wanted, 1e-4, 1e-4, err_msg=case.body)
        assert len(np.unique(rows[:, :, w * c :])) == 1, "wrote between rows"


VECTORS = [(1, 1, 0.5, 1, 1), (37, 20, 0.3, 37, 1), (300, 70, 0.2, 150, 2), (64, 33, 0.0, 10, 1), (19, 40, 1.0, 4, 3)]


@machines
def test_single_pixels_equal_numpy(machine: Machine) -> None:
    cases, expected = [], []
    for k, c, density, block_k, vectors in VECTORS:
        random, block_c = np.random.default_rng(c), vectors * machine.lanes
        x, bias = random.standard_normal(k).astype(np.float32), random.standard_normal(c).astype(np.float32)
        weights = np.where(random.random((k, c)) < density, random.standard_normal((k, c)), 0).astype(np.float32)
        body = f"""    static const ec_sparse_shape s = {{1, 1, 1, {k}, {c}, 0, 0, {k}, 0, 0, {c}, {block_k},
        {block_c}}};
    for (size_t task = ec_sparse_vector_f32_tasks(&s); task-- > 0;)
        ec_sparse_vector_f32(in[0], in[1], in[2], in[3], in[4], {"in[5]" if k % 2 else "NULL"}, out, &s,
                             ec_epilogue_none, NULL, task, task + 1);"""
        inputs = (x, *pack_sparse(weights, block_k, block_c), starts_of(weights, block_c), bias)
        cases.append(Case(body, inputs, c, np.float32))
        expected.append(x @ weights.astype(np.float64) + (bias if k % 2 else 0))
    outputs = run_cases(IntegerMachine(machine), ["ec_sparse_f32.h"], cases, STRING)
    for case, output, wanted in zip(cases, outputs, expected, strict=True):
        np.testing.assert_allclose(output, wanted, 1e-4, 1e-4, err_msg=case.body)


PLACE = """static ec_f32 place(ec_f32 v, const void *x, size_t n, size_t h, size_t w, size_t c, size_t lanes)
{
    (void)v, (void)x, (void)lanes;
    return ec_f32_set((float)(1000 * n + 100 * h + 10 * w + c / EC_LANES));
}"""


@machines
def test_the_epilogue_is_told_the_place(machine: Machine) -> None:
    n, h, w, lanes = 2, 3, 5, machine.lanes
    c = 2 * lanes + 1
    body = f"""    static const ec_sparse_shape s = {{{n}, {h}, {w}, 1, {c}, {h * w}, {w}, 1, {h * w * c}, {w * c},
        {c}, 1, {lanes}}};
    ec_sparse_f32(in[0], in[1], in[2], in[3], NULL, out, &s, 1, place, NULL, 0, ec_sparse_f32_tasks(&s, 1));"""
    packed = pack_sparse(np.zeros((1, c), np.float32), 1, lanes)
    case = Case(body, (np.full(n * h * w, np.nan, np.float32), *packed), n * h * w * c, np.float32)
    (output,) = run_cases(IntegerMachine(machine), ["ec_sparse_f32.h"], [case], STRING + PLACE)
    index = np.indices((n, h, w, c))
    wanted = 1000 * index[0] + 100 * index[1] + 10 * index[2] + index[3] // lanes
    np.testing.assert_array_equal(output.reshape(wanted.shape), wanted)


def test_packing_goes_block_by_block() -> None:
    matrix = np.float32([[1, 0, 2], [0, 3, 0], [4, 5, 0]])
    packed = pack_sparse(matrix, 2, 2)
    assert packed.values.tolist() == [1, 3, 4, 5, 2]
    assert packed.places.tolist() == [0, 1, 0, 0, 0]
    assert packed.counts.tolist() == [1, 1, 1, 1, 1, 0]


def test_packing_refuses_blocks_that_a_byte_cannot_count() -> None:
    with pytest.raises(ValueError, match="1 to 256 inputs, not 257"):
        pack_sparse(np.zeros((300, 1), np.float32), 257, 1)


@pytest.mark.parametrize("name", [*ISAS, "armv7"])
def test_tiles_fit_the_arrays_of_the_kernel(name: str) -> None:
    isa = get_isa("neon", 16) if name == "armv7" else get_isa(name)
    for pixels, in_c, out_c in [(1, 1, 1), (49, 960, 320), (12544, 16, 96), (196, 2048, 4096)]:
        for tile in sparse_tiles(isa, SparseSize(pixels, in_c, out_c, in_c * out_c // 5)):
            width = tile.nv * isa.lanes
            assert tile.block_k * width <= X_FLOATS
            assert -(-tile.block_c // isa.lanes) * isa.lanes * width <= Y_FLOATS
            assert tile.block_k <= 256
            assert tile.block_c % isa.lanes == 0 or tile.block_c == out_c


@pytest.mark.parametrize("name", ISAS)
def test_fewer_weights_cost_less(name: str) -> None:
    isa, costs = get_isa(name), []
    for weights in (0, 6144, 30720, 61440):
        size = SparseSize(196, 384, 160, weights)
        costs.append(sparse_cycles(isa, choose_sparse(isa, size), size))
    assert costs == sorted(costs)
