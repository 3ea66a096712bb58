import pytest

from bamctl.errors import InputError
from bamctl.nas.jobs import Job
from bamctl.nas.sensitivity import ALL, take_apart
from bamctl.training.measure import ACCURACY, Measure
from tests.nas.table import Scratch, Searched, score
from tests.nas.test_result import Counting

MEASURE = Measure(ACCURACY, "accuracy")


def test_each_site_is_judged_alone_and_added_last() -> None:
    space = Searched().space
    sites = space.sites(space.references["block"])
    engine, seeds = Counting(), (0, 1, 2)
    found = take_apart(
        sites,
        steps=90,
        seeds=seeds,
        measure=MEASURE,
        step_of_values=0.001,
        engine=engine,
        trunks=Scratch(),
    )
    # Without any, with all, each alone and all but each.
    assert len(engine.jobs) == 3 * (2 + 2 * 6)

    def worth(*chosen: object) -> list[float]:
        return [score(Job(tuple(chosen), 90, ()), seed) for seed in seeds]

    assert found.values[ALL] == tuple(worth(*sites))
    assert found.values["baseline"] == tuple(worth())
    for site, own in zip(sites, found.sites, strict=True):
        others = [each for each in sites if each is not site]
        pairs = zip(worth(site), worth(), worth(*sites), worth(*others), strict=True)
        alone, last = zip(*((a - b, c - d) for a, b, c, d in pairs), strict=True)
        assert own.site is site
        assert own.alone.deltas == pytest.approx(alone)
        assert own.added_last.deltas == pytest.approx(last)
    verdicts = {each.site.point.module: each.alone.verdict for each in found.sites}
    # The table's strongest site, by far more than its luck.
    assert verdicts["beta.1"] == "helps"


def test_one_site_cannot_be_taken_apart() -> None:
    space = Searched().space
    (site, *_) = space.sites(space.references["block"])
    with pytest.raises(InputError, match="1 site cannot be taken apart"):
        take_apart(
            [site],
            steps=1,
            seeds=(0,),
            measure=MEASURE,
            step_of_values=0.1,
            engine=Counting(),
            trunks=Scratch(),
        )
