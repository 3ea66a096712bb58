"""Importances: those that noise alone would give are not shown."""

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial

from bamctl.nas.importance import importance

CHOICES = {f"site {i}": ["none", "r=4", "r=16"] for i in range(6)}


def trials(seed: int, effect: float, count: int = 24) -> list[FrozenTrial]:
    """Trials whose accuracy depends on the first site, by an effect in units of the noise."""
    drawn = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        params = {name: str(drawn.choice(values)) for name, values in CHOICES.items()}
        score = 0.9 + 0.01 * (effect * (params["site 0"] != "none") + drawn.normal())
        distributions = {
            name: optuna.distributions.CategoricalDistribution(values)
            for name, values in CHOICES.items()
        }
        found.append(
            optuna.create_trial(
                params=params,
                distributions=distributions,
                value=float(score),
                user_attrs={"steps": 50},
            )
        )
    return found


def test_a_strong_effect_is_shown_and_nothing_else() -> None:
    assert list(importance(trials(0, effect=4.0), 50).shown) == ["site 0"]


def test_noise_is_shown_as_rarely_as_is_promised() -> None:
    """In one of twenty studies of nothing but noise; more than two of eight in one of 170 cases."""
    shown = sum(bool(importance(trials(seed, effect=0.0), 50).shown) for seed in range(1, 9))
    print(f"{shown} of 8 studies of noise show an importance")
    assert shown <= 2


@pytest.mark.parametrize("count", [0, 9])
def test_few_trials_show_nothing(count: int) -> None:
    found = importance(trials(0, effect=4.0, count=count), 50)
    assert (found.shares, found.shown) == ({}, {})
