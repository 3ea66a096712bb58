"""Set-up of a study: create or join it, and queue the references of every search."""

import json
import warnings

import optuna
from optuna import Study as OptunaStudy
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection

from bamctl.errors import InputError
from bamctl.nas._trials import OVER_BUDGET, REASON, Trials
from bamctl.nas.config import SearchConfig
from bamctl.nas.costs import Costs
from bamctl.training.config import difference

_IDENTITY = "bamctl"


def open_study(config: SearchConfig, storage: RDBStorage, *, alone: bool) -> OptunaStudy:
    """Create the study of a search, or join an existing one.

    Raises:
        InputError: a study of that name exists, and belongs to another search.
    """
    study = _made(config, storage)
    known = study.user_attrs.get(_IDENTITY)
    if known is None:
        if study.get_trials(deepcopy=False):
            raise InputError(
                f"the study {config.study!r} was not created by bamctl; choose another with --study"
            )
        study.set_user_attr(_IDENTITY, json.dumps(config.identity()))
    elif other := difference(config.identity(), json.loads(known)):
        # Without other drivers, the configuration in the folder of the study was changed.
        cure = "restore config.yaml" if alone else "choose another name with --study"
        raise InputError(f"the study {config.study!r} belongs to another search: {other}; {cure}")
    return study


def _made(config: SearchConfig, storage: RDBStorage) -> OptunaStudy:
    directions = [StudyDirection.MAXIMIZE, *[StudyDirection.MINIMIZE] * len(config.objectives)]
    try:
        study = optuna.create_study(storage=storage, study_name=config.study, directions=directions)
    except DuplicatedStudyError:
        return optuna.load_study(storage=storage, study_name=config.study)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(["accuracy", *config.objectives])
    return study


def queue_references(trials: Trials, costs: Costs) -> None:
    """Queue the baseline and the paper's strategies; one over budget is recorded, not run."""
    there = {trials.candidate(trial) for trial in trials.all()}
    for name, codes in trials.space.references.items():
        if codes in there:
            continue
        there.add(codes)
        if costs.fits(codes):
            trials.queue(codes, {"name": name})
        else:
            trials.add_failed(codes, {"name": name, REASON: OVER_BUDGET})
