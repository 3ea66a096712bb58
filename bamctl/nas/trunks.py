"""The trunks of a search: trained once for each seed on its engine, and kept in its folder."""

from collections.abc import Callable, Iterable
from pathlib import Path

from bamctl.engines.engine import Engine, Shared, outcomes
from bamctl.files.atomic import atomic_path, make_folder
from bamctl.training.config import TrainingConfig
from bamctl.training.trunks import TrunkJob, kept, origin_of


class Trunks:
    """The files of the trunks of a search, which its jobs share.

    Args:
        training: the training of every candidate; `trunk_steps` is 0 for a search without trunks.
        folder: where the files are kept.
        engine: trains the missing ones.
        note: receives messages about the files, of one line.
    """

    def __init__(
        self,
        training: TrainingConfig,
        folder: Path,
        engine: Engine,
        note: Callable[[str], None],
    ) -> None:
        self._training, self._folder, self._engine, self._note = training, folder, engine, note
        self._shared: dict[int, Shared] = {}

    def of(self, seeds: Iterable[int]) -> tuple[Shared, ...]:
        """Return the trunks of some seeds, and train those that are not kept; none without trunks.

        Raises:
            BamctlError: one cannot be trained or written.
        """
        if not self._training.trunk_steps:
            return ()
        seeds = tuple(seeds)
        new = [seed for seed in seeds if seed not in self._shared]
        jobs = {seed: TrunkJob(seed) for seed in new if not self._is_kept(seed)}
        for seed, content in outcomes(self._engine, jobs):
            make_folder(self._folder)
            with atomic_path(self._path(seed)) as temporary:
                Path(temporary).write_bytes(content)
        self._shared |= {seed: self._engine.share(self._path(seed)) for seed in new}
        return tuple(self._shared[seed] for seed in seeds)

    def _path(self, seed: int) -> Path:
        return self._folder / f"seed-{seed}.safetensors"

    def _is_kept(self, seed: int) -> bool:
        return kept(self._path(seed), origin_of(self._training, seed), self._note) is not None
