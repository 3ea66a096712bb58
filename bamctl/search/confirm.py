"""A last comparison on fresh seeds: what won among many may have won by luck."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bamctl.evidence import Evidence, compare
from bamctl.search.engines import Engine, Job, outcomes
from bamctl.search.space import Space
from bamctl.training.arms import BASELINE
from bamctl.training.lines import ConfirmationLine
from bamctl.training.run_folder import JsonLines


def confirm(
    space: Space,
    members: Mapping[str, tuple[int, ...]],
    *,
    steps: int,
    seeds: Sequence[int],
    num_held_out: int,
    engine: Engine,
    file: Path,
) -> dict[str, Evidence]:
    """Train candidates and the baseline with seeds that chose nothing, and judge each.

    The verdicts are sure together, as `evidence.compare` says.

    Args:
        space: of the candidates.
        members: the candidates by name, without the baseline.
        steps: how long each run is.
        seeds: one run of each for each.
        num_held_out: images that accuracies are of.
        engine: what runs them.
        file: where each run's accuracy is written down; what is there is not run again.

    Raises:
        BamctlError: a candidate cannot be trained, or the file cannot be written.
    """
    arms = {BASELINE: (0,) * len(space.places), **members}
    lines = JsonLines(file, ("codes", "seed"), ConfirmationLine)
    known = {(tuple(line["codes"]), line["seed"]): line["accuracy"] for line in lines.lines}
    jobs = {
        (codes, seed): Job(space.sites(codes), steps, (seed,))
        for seed in seeds
        for codes in arms.values()
        if (codes, seed) not in known
    }
    for (codes, seed), outcome in outcomes(engine, jobs):
        (known[codes, seed],) = outcome.accuracy
        lines.append({"codes": list(codes), "seed": seed, "accuracy": known[codes, seed]})

    def accuracies(name: str) -> list[float]:
        return [known[arms[name], seed] for seed in seeds]

    pairs = {name: (accuracies(BASELINE), accuracies(name)) for name in members}
    return compare(pairs, resolution=1 / num_held_out)
