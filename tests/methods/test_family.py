"""The table of the family: its rows train, its parts have names, and its proofs are measured."""

import doctest
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from locoprop_ref import backprop, initialize, network_loss
from locoprop_ref.cli import main as cli
from locoprop_ref.methods import family
from locoprop_ref.methods.family import FAMILY, Member, build, member
from locoprop_ref.verify import verify
from locoprop_ref.verify.family import family_table, measured
from locoprop_ref.verify.measure import Identity, Measurement

TRAINED = [row.name for row in FAMILY if row.kind == "minibatch"]


@pytest.fixture(scope="module")
def results():
    return {result.id: result for result in verify(3)}


def problem(backend):
    """A network of three layers, twenty examples, and what it should say: a smooth function of its input."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 6))
    t = np.tanh(x @ rng.normal(size=(6, 3)))
    how = {"transfers": ["tanh", "tanh", "identity"], "output_loss": "squared_error", "seed": 1}
    network = initialize((6, 8, 7, 3), **how, xp=backend.xp, device=backend.device)
    return network, backend.asarray(x), backend.asarray(t)


def trained(ours, network, x, t, steps):
    state = ours.init(network)
    for _ in range(steps):
        network, state, _ = ours.step(network, state, x, t)
    return network


def test_names_are_unique_and_parts_are_known():
    assert len({row.name for row in FAMILY}) == len(FAMILY) > 30
    for row in FAMILY:
        if row.kind == "minibatch":
            assert row.targets in family.TARGETS
            assert row.regularizer in family.REGULARIZERS
            assert row.solver in family.SOLVERS


@pytest.mark.each("name")
@pytest.mark.parametrize("name", TRAINED)
def test_every_minibatch_row_trains(backend, name):
    network, x, t = problem(backend)
    ours = build(name, num_layers=3, parallel_layers=False)
    before, after = (float(network_loss(n, x, t)) for n in (network, trained(ours, network, x, t, 30)))
    assert after < 0.8 * before


def test_gradient_descent_is_three_rows(numpy_backend):
    """Rate 0.1: of BackProp, of the linear loss with ηγ, and of one inner step with sγ."""
    network, x, t = problem(numpy_backend)
    one, *others = [
        trained(ours, network, x, t, 10)
        for ours in (backprop("sgd", 0.1), build("SGD"), build("SGD by one inner step"))
    ]
    for other in others:
        for a, b in zip(one.layers, other.layers, strict=True):
            # ten steps of rounding, 1e-16 each
            assert_allclose(b.stacked, a.stacked, rtol=0, atol=1e-14)


def test_rows_that_are_the_same_algorithm_are(numpy_backend):
    network, x, t = problem(numpy_backend)
    names = ("LocoProp-S, closed form", "ProxProp", "FOOF of a batch")
    one, *others = [trained(build(name), network, x, t, 3) for name in names]
    for other in others:
        assert all(np.array_equal(a.W, b.W) for a, b in zip(one.layers, other.layers, strict=True))


def test_rows_that_are_not_the_same_algorithm_differ(numpy_backend):
    """Two steps of any two rows differ, but for those that are the same on every batch."""
    network, x, t = problem(numpy_backend)
    same = ({"SGD", "SGD by one inner step"}, {"LocoProp-S, closed form", "ProxProp", "FOOF of a batch"})
    moved = {name: trained(build(name, num_layers=3), network, x, t, 2).layers[0].W for name in TRAINED}
    for i, name in enumerate(TRAINED):
        for other in TRAINED[:i]:
            alike = bool(np.allclose(moved[name], moved[other], rtol=1e-9, atol=1e-12))
            assert alike is any({name, other} <= group for group in same), (name, other)


def test_settings_take_the_place_of_the_rows_own():
    assert build("K-FAC", solver=family.Descend()).solver == family.Descend()
    assert build("predictive coding, Z-IL", num_layers=3).targets.steps(3) == (0.25, 0.5, 1.0)


def test_a_row_is_one_line_where_its_parts_exist(monkeypatch, numpy_backend):
    row = Member(
        "another", "minibatch", "squared", "Kronecker", "forward", "L2 decay", "closed form", "", "-"
    )
    monkeypatch.setattr(family, "FAMILY", (*FAMILY, row))
    network, x, t = problem(numpy_backend)
    moved = trained(build("another"), network, x, t, 30)
    assert float(network_loss(moved, x, t)) < 0.8 * float(network_loss(network, x, t))


PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"


def test_the_page_on_extending_holds_and_its_rows_are_short():
    """A line for a row whose parts exist, and at most 40 for a new part; the table has neither row."""
    examples = doctest.DocTestParser().get_examples(PAGE.read_text(encoding="utf-8"))
    failures, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert failures == 0 and tried == len(examples) > 10
    rows = [example.source for example in examples if "Member(" in example.source]
    assert [row.count("\n") for row in rows] == [1, 1]
    assert not any(f'Member("{row.name}"' in text for row in FAMILY for text in rows)
    [part] = [example.source for example in examples if "class " in example.source]
    assert part.count("\n") <= 40


def test_normalized_eg_of_the_page_is_that_of_the_paper(numpy_backend):
    """One step of three units by the formula: w± e^{∓ηUg} over their sum, from the weights as they stand."""
    examples = doctest.DocTestParser().get_doctest(PAGE.read_text(encoding="utf-8"), {}, "page", None, 0)
    doctest.DocTestRunner(verbose=False).run(examples, clear_globs=False)
    rule, rng = examples.globs["NormalizedEG"](total=8.0), np.random.default_rng(0)
    W, gradient = rng.uniform(-0.5, 0.5, size=(4, 3)), rng.normal(size=(4, 3))
    change, _ = rule.update(gradient, rule.init(W), 0.05)
    for j in range(3):
        halves = [(max(w, 0) / 8, max(-w, 0) / 8) for w in W[:, j]]
        spare = (1 - sum(a + b for a, b in halves)) / 8
        moved = [
            ((a + spare) * np.exp(-0.4 * g), (b + spare) * np.exp(0.4 * g))
            for (a, b), g in zip(halves, gradient[:, j], strict=True)
        ]
        total = sum(a + b for a, b in moved)
        # roundings of numbers below 8
        assert_allclose(W[:, j] - change[:, j], [8 * (a - b) / total for a, b in moved], rtol=0, atol=1e-14)


def test_rows_of_ones_own_need_parts_that_are_known():
    row = Member("mine", "minibatch", "squared", "gradient", "forward", "none", "one leap", "", "-")
    assert build(row, solver=family.Descend()).solver == family.Descend()
    with pytest.raises(ValueError, match=r"^solver must be one of closed form, .*, got 'one leap'"):
        build(row)
    with pytest.raises(ValueError, match="got 'Winnow', which is marked 'theorem'"):
        build(member("Winnow"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("KFAC", r"name must be one of SGD, .*, got 'KFAC' \(did you mean 'K-FAC'\?\)"),
        ("Winnow", r"name must be of a minibatch method, got 'Winnow', which is marked 'theorem'"),
        ("ADMM", r"name must be of a minibatch method, got 'ADMM', which is marked 'offline'"),
    ],
)
def test_what_cannot_be_built(name, words):
    with pytest.raises(ValueError, match=words):
        build(name)


def test_every_proof_is_measured_and_holds(results):
    for row in FAMILY:
        if row.proof:
            assert results[row.proof].holds, row.name
            assert measured(row, results).startswith(f"{row.proof} holds, error ")


def test_the_table_has_a_line_for_every_row(results):
    lines = family_table(FAMILY, results).splitlines()
    assert len(lines) == 1 + len(FAMILY)
    for row, line in zip(FAMILY, lines[1:], strict=True):
        assert line.startswith(row.name) and line.endswith(row.reference)
    starts = {line.index(row.kind) for row, line in zip(FAMILY, lines[1:], strict=True)}
    assert len(starts) == 1, "the columns stand below each other"


def test_a_row_whose_identity_fails_says_so(results):
    broken = Identity("A1", "claim", (Measurement("part", 0.5, 1e-14, "reason"),))
    assert measured(member("SGD"), {**results, "A1": broken}) == "A1 FAILS, error 5e-01"


def test_the_error_is_that_of_the_equalities(results):
    """Not of limits and counterexamples, whose numbers are no rounding: their bounds are above 1e-7."""
    for result in results.values():
        for part in result.parts:
            assert (part.kind == "equality") == (part.bound < 1e-7), (result.id, part.claim)
    marked = {r.id: {p.kind for p in r.parts} - {"equality"} for r in results.values()}
    others = {"I10": {"limit"}, "I13": {"limit"}, "MAC": {"limit"}, "E3": {"counterexample"}}
    assert {name: kinds for name, kinds in marked.items() if kinds} == others
    for row in FAMILY:
        if row.proof:  # the largest bound of an equality is that of I7, and rounding is far below it
            assert float(measured(row, results).rpartition(" ")[2]) < 1e-9


def test_a_limit_or_counterexample_that_fails_is_shown():
    exact, apart = (
        Measurement("a", 1e-15, 1e-14, "rounding"),
        Measurement("b", 2.0, 1.0, "off", "counterexample"),
    )
    found = measured(member("Gauss–Newton targets"), {"E3": Identity("E3", "claim", (exact, apart))})
    assert found == "E3 FAILS, error 2e+00"
    undecided = replace(exact, error=float("nan"))
    found = measured(member("Gauss–Newton targets"), {"E3": Identity("E3", "claim", (undecided, exact))})
    assert found == "E3 FAILS, error nan"


def test_the_command(capsys, monkeypatch, results):
    monkeypatch.setattr("locoprop_ref.verify.verify", lambda seed: list(results.values()))
    assert cli.main(["family", "--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert "K-FAC" in out and "identities of the rows hold (seed 3, float64)" in out
    failing = [replace(r, parts=(replace(r.parts[0], error=9.0),)) for r in results.values()]
    monkeypatch.setattr("locoprop_ref.verify.verify", lambda seed: failing)
    assert cli.main(["family"]) == 1
    assert "0 of 31 identities" in capsys.readouterr().out
