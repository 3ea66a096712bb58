"""The trunks of many runs on an engine: trained once for each seed, and kept in a folder."""

from collections.abc import Callable, Iterable
from pathlib import Path

from bamctl.engines.engine import Engine, Shared, outcomes
from bamctl.files.atomic import write_bytes
from bamctl.training.config import TrainingConfig
from bamctl.training.run_folder import trunk_file
from bamctl.training.trunks import TrunkJob, kept, origin_of


class SharedTrunks:
    """The files of trunks, which the jobs of an engine share.

    Args:
        training: the training of every run; `trunk_steps` is 0 for one without trunks.
        folder: where the files are kept.
        engine: trains the missing ones.
        note: receives messages about the files, of one line.
        weights: the checksum of the pretrained weights, if the trunks start from some.
    """

    def __init__(
        self,
        training: TrainingConfig,
        folder: Path,
        engine: Engine,
        note: Callable[[str], None],
        weights: int | None = None,
    ) -> None:
        self._training, self._folder, self._engine, self._note = training, folder, engine, note
        self._weights = weights
        self._shared: dict[int, Shared] = {}

    def of(self, seeds: Iterable[int]) -> tuple[Shared, ...]:
        """Return the trunks of some seeds, and train those that are not kept; none without trunks.

        Raises:
            InputError: one that is kept was trained from another configuration.
            BamctlError: one cannot be trained or written.
        """
        if not self._training.trunk_steps:
            return ()
        seeds = tuple(seeds)
        new = [seed for seed in seeds if seed not in self._shared]
        jobs = {seed: TrunkJob(seed) for seed in new if not self._is_kept(seed)}
        for seed, content in outcomes(self._engine, jobs):
            write_bytes(trunk_file(self._folder, seed), content)
        self._shared |= {seed: self._engine.share(trunk_file(self._folder, seed)) for seed in new}
        return tuple(self._shared[seed] for seed in seeds)

    def _is_kept(self, seed: int) -> bool:
        origin = origin_of(self._training, seed, self._weights)
        return kept(trunk_file(self._folder, seed), origin, self._note) is not None
