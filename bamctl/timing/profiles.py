"""Device profiles: hardware, coefficients, and the errors of estimates."""

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field

from bamctl.errors import InputError, did_you_mean
from bamctl.files import schemas, yaml_files
from bamctl.timing._kernels import Precision
from bamctl.timing.hardware import STRICT, Coefficients, Fraction, Hardware, MemoryFormat
from bamctl.timing.population import Population, shipped_population
from bamctl.timing.sheets import data_sheets, known_sheet
from bamctl.timing.spread import Spread

# Nothing was published in FP32 that a fit could have seen: this further deviation is assumed.
_UNSEEN_FP32 = 0.2


class HeldOut(BaseModel):
    """Errors of estimates, as fractions, for networks whose family was held out of the fit.

    For a profile from a data sheet: of devices that were left out.
    """

    model_config = STRICT

    mean_error: Fraction
    max_error: Fraction
    rank_correlation: Annotated[float, Field(ge=-1, le=1)]
    families: dict[str, Fraction] = Field(description="mean error of each family left out")


class KnownFigure(BaseModel):
    """A published figure that a profile was fitted to, besides its data sheet."""

    model_config = STRICT

    model: str
    batch_size: Annotated[int, Field(ge=1)]
    images_per_second: Annotated[float, Field(gt=0)]


class Profile(schemas.Versioned):
    """A device for which latency can be estimated, and the errors of such estimates."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    precision: Precision
    memory_format: MemoryFormat
    known_from: Literal["times", "data_sheet"] = Field(
        default="times", description="times of the device, or its data sheet and other devices"
    )
    hardware: Hardware
    coefficients: Coefficients
    assumed: list[str] = Field(
        default_factory=list, description="coefficients that the data barely constrain"
    )
    source: str = Field(description="source of the times of the fit, or of the data sheet")
    known: list[KnownFigure] = Field(default_factory=list)
    num_networks: Annotated[int, Field(ge=1, strict=True)]
    batch_sizes: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    mean_error: Fraction = Field(
        description="of the networks that it was fitted on; from a data sheet, of devices left out"
    )
    held_out: HeldOut
    spread: Spread | None = None

    @classmethod
    def load(cls, path: Path) -> "Profile":
        """Read a profile.

        Raises:
            InputError: the file cannot be read or is no profile; names file, line and key.
        """
        return schemas.from_yaml(cls, yaml_files.load(path))

    def save(self, path: Path) -> None:
        """Write the profile as a file for `--device FILE`."""
        yaml_files.dump(path, self.model_dump(mode="json", by_alias=True, exclude_none=True))

    def varied(
        self, precision: Precision | None = None, memory_format: MemoryFormat | None = None
    ) -> "Profile":
        """Return the profile for another precision or memory format.

        Raises:
            InputError: the peaks of that precision are unknown.
        """
        changes: dict[str, object] = {}
        if memory_format is not None:
            changes["memory_format"] = memory_format
        if precision is not None and precision != self.precision:
            changes |= {"precision": precision, "hardware": self._hardware(precision)}
            if precision == "fp32" and self.spread is not None:
                changes["spread"] = self.spread.model_copy(update={"more": _UNSEEN_FP32})
        return self.model_copy(update=changes)

    def _hardware(self, precision: Precision) -> Hardware:
        sheet = known_sheet(self.name)
        if sheet is not None:
            return sheet.hardware(precision)
        if precision.endswith(self.precision.removeprefix("amp_")):
            return self.hardware
        raise InputError(
            f"{self.name} has peaks for {self.precision} only; calibrate a profile for {precision}"
        )


def from_data_sheet(
    name: str,
    hardware: Hardware,
    source: str,
    *,
    precision: Precision = "amp_fp16",
    memory_format: MemoryFormat = "contiguous",
    assumed: tuple[str, ...] = (),
    population: Population | None = None,
) -> Profile:
    """Make the profile of a device from its data sheet alone.

    Args:
        name: the name of the device.
        hardware: its peaks in the precision.
        source: where they are stated.
        precision: that of the estimates.
        memory_format: that of images and weights.
        assumed: what is not in the data sheet.
        population: what is known of other devices; that of the shipped profiles if left out.
    """
    known = population or shipped_population()
    left_out = known.left_out.values()
    unseen = _UNSEEN_FP32 if precision == "fp32" else 0.0
    return Profile(
        name=name,
        precision=precision,
        memory_format=memory_format,
        known_from="data_sheet",
        hardware=hardware,
        coefficients=known.coefficients,
        assumed=list(assumed),
        source=source,
        num_networks=known.num_networks,
        batch_sizes=known.batch_sizes,
        mean_error=round(known.mean_error, 4),
        held_out=HeldOut(
            mean_error=round(float(np.mean([each.mean_error for each in left_out])), 4),
            max_error=max(each.max_error for each in left_out),
            rank_correlation=min(each.rank_correlation for each in left_out),
            families={},
        ),
        spread=known.spread.model_copy(update={"more": unseen}),
    )


def fitted_names() -> tuple[str, ...]:
    """Return the names of the shipped profiles that were fitted to times of their device."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def shipped_names() -> tuple[str, ...]:
    """Return the names of the devices for which estimates work at once."""
    return tuple(sorted({*fitted_names(), *data_sheets()}))


def find(
    name: str,
    precision: Precision | None = None,
    memory_format: MemoryFormat | None = None,
) -> Profile:
    """Find the profile of a device by its name, or read one from a file.

    Args:
        name: a shipped profile, a device with a shipped data sheet, or a file.
        precision: that of the estimates; the profile's own, or automatic mixed precision with
            fp16 from a data sheet, if left out.
        memory_format: the same of images and weights; contiguous from a data sheet.

    Raises:
        InputError: no device has that name, the file is no profile, or the device has no rates
            in the precision.
    """
    if name in fitted_names():
        return Profile.load(_folder() / f"{name}.yaml").varied(precision, memory_format)
    if name.endswith((".yaml", ".yml")):
        return Profile.load(Path(name)).varied(precision, memory_format)
    sheet = known_sheet(name)
    if sheet is not None:
        precision = precision or "amp_fp16"
        return from_data_sheet(
            sheet.name,
            sheet.hardware(precision),
            sheet.source,
            precision=precision,
            memory_format=memory_format or "contiguous",
        )
    known = shipped_names()
    near = did_you_mean(name, known) or f"; known are {', '.join(known)}"
    raise InputError(
        f"unknown device {name!r}{near}; use cpu, cuda, cuda:1 or mps to measure, a profile's "
        "path ending in .yaml, or `bamctl calibrate --tflops` for another device"
    )


def is_measurable(name: str) -> bool:
    """Return whether a name is that of a PyTorch device, rather than of a profile."""
    kind, colon, index = name.partition(":")
    return kind in ("cpu", "cuda", "mps") and (not colon or index.isdecimal())


def _folder() -> Path:
    return Path(str(resources.files("bamctl.timing"))) / "devices"
