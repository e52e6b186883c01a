"""The verdicts on the three claims, on made-up numbers."""

import made_up
from numpy.testing import assert_equal

from locoprop_ref.experiments.compare import summary
from locoprop_ref.experiments.compare.claims import SECOND_ORDER, claims, sentences
from locoprop_ref.experiments.compare.folder import read_results


def rows_with(tmp_path, losses, *, tests=None, seconds=None, peaks=None, states=None, spread=0.1):
    """Rows of entries with these final losses, seeds `spread` to either side; fall from 100 in a line."""
    runs = {
        name: [
            made_up.run(
                [100, (100 + loss + d) / 2, loss + d], [100, 90, (tests or losses)[name] + d], seed=seed
            )
            for seed, d in enumerate((-spread, 0, spread))
        ]
        for name, loss in losses.items()
    }  # fmt: skip
    clocks = {
        name: made_up.clock(
            (seconds or {}).get(name, 0.1),
            peak=(peaks or {}).get(name, 500),
            state=(states or {}).get(name, 0),
        )
        for name in losses
    }
    return summary.rows_of(read_results(made_up.write(tmp_path, runs, clocks, epochs=2)))


FIELD = {"sgd": 60, "rmsprop": 50, "kfac": 40, "shampoo": 42}


DEAR = {"kfac": 1.0, "shampoo": 2.0}


def verdicts(rows):
    return [
        (claim.verdict, [variant.verdict for variant in claim.variants.values()]) for claim in claims(rows)
    ]


def test_claims_where_locoprop_wins(tmp_path):
    rows = rows_with(
        tmp_path, {**FIELD, "locoprop-s": 41, "locoprop-m": 30}, seconds=DEAR,
        peaks={"kfac": 5000, "shampoo": 6000}, states={"kfac": 900, "shampoo": 900},
    )  # fmt: skip
    assert_equal(verdicts(rows), [("held", ["held", "held"])] * 3)
    lines = sentences(claims(rows))
    assert_equal(len(lines), 9)
    assert_equal([line[:4] for line in lines[::3]], ["(1) ", "(2) ", "(3) "])
    loss = next(line for line in lines if "LocoProp-M" in line)
    # 30 against 50 and against 40
    assert "train loss 40.0 % less than the best first-order method, RMSProp, the spreads apart" in loss
    assert "train loss 25.0 % less than the best second-order method, K-FAC, the spreads apart" in loss


def test_claims_where_locoprop_loses(tmp_path):
    rows = rows_with(
        tmp_path, {**FIELD, "locoprop-s": 70, "locoprop-m": 55}, seconds={"locoprop-s": 3, "locoprop-m": 4},
        peaks={"locoprop-s": 9000, "locoprop-m": 9000}, states={"locoprop-s": 10, "locoprop-m": 10},
    )  # fmt: skip
    assert_equal(verdicts(rows), [("not", ["not", "not"])] * 3)
    lines = sentences(claims(rows))
    assert any(
        "train loss 10.0 % more than the best first-order method, RMSProp, the spreads apart" in line
        for line in lines
    )
    assert any(
        "final train loss never reached; the best second-order method, K-FAC: 2" in line for line in lines
    )
    assert any("peak of a step 1700.0 % more than the best second-order method" in line for line in lines)


def test_claims_where_it_is_a_tie(tmp_path):
    """Overlapping seeds are not better; as quick or as large is not less."""
    rows = rows_with(tmp_path, {**FIELD, "locoprop-m": 49.9})
    loss, time_claim, memory_claim = claims(rows)
    found = {(test.what, i): test for i, test in enumerate(loss.variants["LocoProp-M, K steps"].tests)}
    assert_equal([test.holds for test in found.values()], [False, False, False, False])
    assert (
        "0.2 % less than the best first-order method, RMSProp, the spreads overlap"
        in found["train loss", 0].sentence
    )
    assert_equal((time_claim.verdict, memory_claim.verdict), ("not", "not"))  # as quick, as large: not less


def test_claims_in_part(tmp_path):
    rows = rows_with(
        tmp_path, {**FIELD, "locoprop-m": 41, "locoprop-s": 60}, seconds={**DEAR, "locoprop-s": 9},
        tests={**FIELD, "locoprop-m": 55, "locoprop-s": 60}, peaks=dict.fromkeys(SECOND_ORDER, 5000),
    )  # fmt: skip
    loss, time_claim, memory_claim = claims(rows)
    assert_equal(loss.variants["LocoProp-M, K steps"].verdict, "partly")  # train yes, test no
    assert_equal(loss.variants["LocoProp-S, K steps"].verdict, "not")
    assert_equal([time_claim.variants[name].verdict for name in time_claim.variants], ["held", "not"])
    assert_equal((loss.verdict, time_claim.verdict), ("partly", "partly"))
    assert_equal(memory_claim.verdict, "partly")  # a smaller peak, the same state


def test_comparable_is_within_five_per_cent(tmp_path):
    for loss, holds in ((41.9, True), (42.1, False)):
        rows = rows_with(tmp_path / str(loss), {"rmsprop": 50, "kfac": 40, "locoprop-m": loss}, spread=0.01)
        tests = claims(rows)[0].variants["LocoProp-M, K steps"].tests
        assert_equal([test.holds for test in tests], [True, holds, True, holds])


def test_the_rule_is_blind_to_who_wins(tmp_path):
    """Swap the numbers of a LocoProp variant and of the best second-order method: the opposite comes out."""
    for mine, theirs, verdict in ((0.1, 0.5, "held"), (0.5, 0.1, "not")):
        rows = rows_with(
            tmp_path / verdict, {"rmsprop": 50, "kfac": 40, "locoprop-m": 40},
            seconds={"locoprop-m": mine, "kfac": theirs},
            peaks={"locoprop-m": 1000 * mine, "kfac": 1000 * theirs},
            states={"locoprop-m": 100 * mine, "kfac": 100 * theirs},
        )  # fmt: skip
        assert_equal([claim.verdict for claim in claims(rows)[1:]], [verdict] * 2)


def test_the_clock_against_first_order_is_said_but_does_not_count(tmp_path):
    rows = rows_with(tmp_path, {**FIELD, "locoprop-m": 30}, seconds={**DEAR, "locoprop-m": 0.5})
    variant = claims(rows)[1].variants["LocoProp-M, K steps"]
    verdict, tests = variant.verdict, variant.tests
    assert_equal(
        (verdict, [(test.holds, test.counts) for test in tests]),
        ("held", [(True, True)] * 2 + [(False, False)]),
    )
    # two epochs of 5 s against RMSProp's two of 1 s
    assert "400.0 % more than the best first-order method, RMSProp" in tests[2].sentence


def test_claims_without_opponents_are_not_measured(tmp_path):
    rows = rows_with(tmp_path, {"locoprop-m": 30, "locoprop-s": 20})
    assert_equal([claim.verdict for claim in claims(rows)], ["not measured"] * 3)
    rows = rows_with(tmp_path / "2", {"rmsprop": 50, "locoprop-m": 30})
    assert_equal([claim.verdict for claim in claims(rows)], ["held", "not measured", "not measured"])


def test_a_variant_that_diverges_is_not_better(tmp_path):
    runs = {
        "rmsprop": [made_up.run([9, 5, 4])] * 2,
        "locoprop-m": [made_up.run([9, 1, 1]), made_up.run([9], status="diverged")],
    }
    rows = summary.rows_of(read_results(made_up.write(tmp_path, runs, seeds=(0, 1), epochs=2)))
    assert_equal(claims(rows)[0].verdict, "not")
