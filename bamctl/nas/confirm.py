"""Confirmation on fresh seeds, since the best of many candidates may be so by chance."""

from collections.abc import Mapping, Sequence

from bamctl.engines.engine import Engine
from bamctl.nas.records import Codes, Records
from bamctl.training.arms import BASELINE
from bamctl.training.evidence import Evidence, compare
from bamctl.training.measure import Measure


def confirm(
    members: Mapping[str, Codes],
    records: Records,
    engine: Engine,
    *,
    seeds: Sequence[int],
    measure: Measure,
    resolution: float,
    first_look: int | None = None,
) -> dict[str, Evidence]:
    """Train candidates and the baseline with seeds that chose nothing, and judge each.

    The verdicts hold simultaneously; see `evidence.compare`.

    Args:
        members: the candidates by name, without the baseline; one or more.
        records: the runs, which are not repeated.
        engine: runs the others.
        seeds: one run per candidate and seed.
        measure: what the scores are of.
        resolution: the smallest difference of two values.
        first_look: the number of seeds at the first confirmation; all of them if left out.

    Raises:
        BamctlError: a candidate cannot be trained, or the records cannot be written.
    """
    baseline = (0,) * len(next(iter(members.values())))
    arms = {BASELINE: baseline, **members}
    found = records.scores(((codes, s) for s in seeds for codes in arms.values()), engine)
    values = {
        name: [measure.goodness(found[codes, s]) for s in seeds] for name, codes in arms.items()
    }
    pairs = {name: (values[BASELINE], values[name]) for name in members}
    return compare(
        pairs,
        first=first_look,
        resolution=resolution,
        lower_is_better=measure.lower_is_better,
    )
