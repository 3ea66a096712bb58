"""Verdicts on results of other training loops."""

import json
from collections.abc import Callable
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bamctl import judge
from bamctl.errors import InputError
from bamctl.training.evidence import compare
from tests.conftest import assert_one_line_error

BASE = {"0": 90.1, "1": 90.6, "2": 90.2, "3": 89.9}
ARM = {"0": 91.3, "1": 91.9, "2": 91.2, "3": 91.2}
TABLE = "seed,accuracy,arm\n" + "".join(
    f"{seed},{value},{arm}\n"
    for arm, values in (("baseline", BASE), ("se", ARM))
    for seed, value in values.items()
)


def test_pairs_are_judged_as_in_a_training(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(TABLE)
    found = judge(tmp_path / "r.csv")
    assert (found.metric, found.baseline, found.is_paired) == ("accuracy", "baseline", True)
    (own,) = (arm.evidence for arm in found.arms if arm.evidence)
    same = compare({"se": ([*BASE.values()], [*ARM.values()])})["se"]
    assert own == same
    assert own.verdict == "helps"
    # At its first look, the interval is that of a paired t test with 85 % of the level.
    differences = np.array([*ARM.values()]) - np.array([*BASE.values()])
    half = stats.t.ppf(1 - 0.85 * 0.05 / 2, 3) * differences.std(ddof=1) / sqrt(4)
    assert own.interval == pytest.approx((differences.mean() - half, differences.mean() + half))
    worse = judge(tmp_path / "r.csv", better="lower").arms[1].evidence
    assert worse.verdict == "hurts"
    close = judge(tmp_path / "r.csv", margin=5.0).arms[1].evidence
    assert close.verdict == "equivalent"


def test_any_order_of_rows_columns_and_formats_is_the_same(tmp_path: Path) -> None:
    rows = [
        {"accuracy": value, "seed": int(seed), "arm": arm, "step": step}
        for step, off in ((10, 5.0), (20, 0.0))
        for arm, values in (("se", ARM), ("baseline", BASE))
        for seed, value in ((s, v - off) for s, v in values.items())
    ]
    lines = tmp_path / "r.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    listed, excel = tmp_path / "r.json", tmp_path / "excel.csv"
    listed.write_text(json.dumps(rows))
    excel.write_text("\ufeff" + TABLE.replace(",", ";").replace("seed", "Seed"))
    expected = judge({"baseline": BASE, "se": ARM}, metric="accuracy").arms[1].evidence
    for file in (lines, listed, excel):
        assert judge(file, metric="accuracy").arms[1].evidence == expected


def test_runs_that_share_no_seed_are_independent() -> None:
    other = {f"1{seed}": value for seed, value in ARM.items()}
    for found in (
        judge({"baseline": BASE, "se": other}),
        judge({"baseline": [*BASE.values()], "se": [*ARM.values()]}),
        judge({"baseline": BASE, "se": ARM}, paired=False),
    ):
        assert not found.is_paired
        own = found.arms[1].evidence
        test = stats.ttest_ind([*ARM.values()], [*BASE.values()], equal_var=False)
        low, high = test.confidence_interval(0.95)
        assert own.interval == pytest.approx((low, high))
        assert own.p_value == pytest.approx(test.pvalue)
        assert own.verdict == "helps"
    # Holm: the smaller p-value has half of the level, the other one all of it.
    nothing = dict(zip(BASE, (90.2, 90.5, 90.3, 89.9), strict=True))
    three = judge({"baseline": BASE, "se": ARM, "none": nothing}, paired=False)
    assert [arm.evidence.confidence for arm in three.arms[1:]] == pytest.approx([0.975, 0.95])


def test_independent_tests_err_no_more_often_than_promised() -> None:
    drawn = np.random.default_rng(0).normal(size=(400, 2, 5))
    wrong = sum(
        judge({"baseline": list(a), "se": list(b)}).arms[1].evidence.verdict != "inconclusive"
        for a, b in drawn
    )
    # 20 are expected; 34 or more of 400 have a probability of 0.002.
    assert wrong < 34


def test_seeds_of_one_side_are_left_out_and_named(bamctl: Callable, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(f"{TABLE}9,80,se\n")
    found = bamctl("judge", "r.csv")
    assert found.returncode == 0, found.stderr
    assert "seeds 9 of se" in found.stdout
    assert (
        judge(tmp_path / "r.csv").arms[1].evidence
        == judge({"baseline": BASE, "se": ARM}).arms[1].evidence
    )


def test_a_look_after_more_seeds_is_paid_for() -> None:
    base = {str(seed): 90.0 for seed in range(10)}
    values = (0.9, -0.3, 0.8, 0.1, 0.7, 1.1, 0.2, 0.9, 0.4, 0.6)
    arm = {str(seed): 90.0 + each for seed, each in enumerate(values)}
    once, again = (judge({"baseline": base, "se": arm}, first=n) for n in (None, 5))
    low, high = once.arms[1].evidence.interval
    lower, higher = again.arms[1].evidence.interval
    assert lower < low
    assert higher > high


def test_tensorboards_folders(tmp_path: Path, bamctl: Callable) -> None:
    from torch.utils.tensorboard import SummaryWriter

    for arm, values in (("plain", BASE), ("with-se", ARM)):
        for seed, value in values.items():
            writer = SummaryWriter(str(tmp_path / f"logs/{arm}/seed-{seed}"))
            for step, off in ((1, 3.0), (2, 0.0)):
                writer.add_scalar("val/accuracy", value - off, step)
            writer.close()
    pattern = "logs/{arm}/seed-{seed}"
    options = ["--metric", "val/accuracy", "--baseline", "plain", "--format", "json"]
    found = bamctl("judge", pattern, *options)
    assert found.returncode == 0, found.stderr
    data = json.loads(found.stdout)
    assert data["paired"]
    assert data["arms"][1]["values"] == pytest.approx(ARM, rel=1e-6)
    assert data["arms"][1]["evidence"]["verdict"] == "helps"
    options[1] = "val/acc"
    assert_one_line_error(bamctl("judge", pattern, *options), "did you mean 'val/accuracy'")
    assert_one_line_error(bamctl("judge", pattern), "--metric val/accuracy")
    assert_one_line_error(bamctl("judge", "x/{arm}", "--metric", "m"), "no folder matches x/{arm}")


def test_what_a_training_wrote_gets_its_verdict(bamctl: Callable, tmp_path: Path) -> None:
    """From its metrics alone; only the size of the held-out split is not known there."""
    from bamctl import train

    result = train("tests.networks:Tiny", steps=12, seeds=3, out=tmp_path / "run")
    found = judge(tmp_path / "run" / "metrics.jsonl", metric="accuracy")
    own, theirs = found.arms[1].evidence, result.comparisons[0].evidence
    assert own.deltas == pytest.approx(theirs.deltas)
    assert own.mean == pytest.approx(theirs.mean)


def test_a_page_and_a_notebook_show_it(bamctl: Callable, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(TABLE)
    found = bamctl("judge", "r.csv", "--format", "html", "--output", "r.html")
    assert found.returncode == 0, found.stderr
    assert "difference in accuracy to baseline" in (tmp_path / "r.html").read_text()
    assert "<iframe" in judge(tmp_path / "r.csv")._repr_html_()
    assert bamctl("judge", "r.csv", "--format", "csv").stdout.startswith("arm,runs,mean,std")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "arm,seed,a,b\nx,1,2,3\n",
            [],
            "r.csv:2: name the column of the result with --metric: a, b",
        ),
        (
            "arm,seed,acc\nx,1,2\n",
            ["--metric", "acd"],
            "r.csv:2: no column 'acd' (did you mean 'acc'",
        ),
        ("seed,value\n1,2\n", [], "r.csv:2: no column 'arm'"),
        ("arm,seed,value\nx,1,high\n", [], "r.csv:2: value: 'high' is no number"),
        ("arm,seed,value\nx,1,nan\n", [], "value: nan is not finite"),
        ("arm,seed,value\nx,1,2\nx,1,3\n", [], "r.csv:3: x with seed 1 is in line 2 already"),
        ("arm,seed,value\n", [], "r.csv:1: no run in this file"),
        (TABLE, ["--baseline", "sse"], "no arm 'sse' (did you mean 'se'?)"),
        ("arm,seed,value\nx,1,2\nx,2,3\n", [], "name the arm to compare with by --baseline: x"),
        ("arm,seed,value\nbaseline,1,2\nbaseline,2,3\n", [], "only baseline is there"),
        (f"{TABLE}0,1,bam\n", [], "bam has one run, which shows no spread"),
        (TABLE, ["--margin", "0"], "margin must be above zero"),
        (TABLE, ["--better", "more"], "better"),
        ("\x00\xff", [], "r.csv:1: "),
    ],
)
def test_what_cannot_be_judged(
    text: str, options: list[str], message: str, bamctl: Callable, tmp_path: Path
) -> None:
    (tmp_path / "r.csv").write_bytes(text.encode("latin-1"))
    assert_one_line_error(bamctl("judge", "r.csv", *options), message)


def test_wrong_arguments_from_python() -> None:
    with pytest.raises(InputError, match="use 'higher' or 'lower'"):
        judge({"baseline": BASE, "se": ARM}, better="more")
    with pytest.raises(InputError, match="fewer than two seeds in common"):
        judge({"baseline": BASE, "se": {"0": 1.0, "9": 2.0}}, paired=True)
