"""Device profiles: hardware, fitted coefficients, and the errors of estimates."""

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from bamctl.errors import InputError, did_you_mean
from bamctl.files import schemas, yaml_files
from bamctl.timing._kernels import Precision

MemoryFormat = Literal["contiguous", "channels_last"]

_STRICT = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
# Far beyond any real device, and such that computed times stay finite.
_Positive = Annotated[float, Field(gt=1e-9, lt=1e9, allow_inf_nan=False)]
_Fraction = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Hardware(BaseModel):
    """The data sheet of a device, or measurements where there is none."""

    model_config = _STRICT

    matrix_tflops: _Positive = Field(
        description="peak of dense matrix products in the precision; a multiply-add counts as two"
    )
    vector_tflops: _Positive = Field(description="peak outside of the matrix units")
    bandwidth_gbps: _Positive = Field(description="memory bandwidth in 10^9 bytes/s")
    cache_mb: _Positive = Field(description="last-level cache in 10^6 bytes")


class Coefficients(BaseModel):
    """The fractions of its hardware's peaks that a device reaches; found by a fit.

    A product reaches `efficiency · c/(c + width)` of the peak for each of its two channel counts
    c: narrow products leave units of the device idle.
    """

    model_config = _STRICT

    matmul: _Positive = Field(description="efficiency of linear layers and 1x1 convolutions")
    spatial: _Positive = Field(description="efficiency of other dense convolutions")
    grouped: _Positive = Field(description="efficiency of grouped convolutions")
    depthwise: _Positive = Field(
        description="efficiency of depthwise convolutions, of the vector units"
    )
    attention: _Positive = Field(description="efficiency of products of two feature maps")
    matmul_width: _Positive = Field(description="channels at which half the efficiency is reached")
    spatial_width: _Positive = Field(description="the same, of other dense convolutions")
    grouped_width: _Positive = Field(description="the same, within one group")
    grouped_alignment: _Positive = Field(
        description="exponent of the loss for group widths that are not powers of two"
    )
    bandwidth: _Positive = Field(description="fraction of the bandwidth that kernels reach")
    cache_speedup: _Positive = Field(description="speedup of data that fits in the cache")
    launch_us: _Positive = Field(
        description="minimum time of a kernel and its launch by PyTorch, in microseconds"
    )


class HeldOut(BaseModel):
    """Errors of estimates, as fractions, for networks whose family was held out of the fit."""

    model_config = _STRICT

    mean_error: _Fraction
    max_error: _Fraction
    rank_correlation: Annotated[float, Field(ge=-1, le=1)]
    families: dict[str, _Fraction] = Field(description="mean error of each family left out")


class Profile(schemas.Versioned):
    """A device for which latency can be estimated, and the errors of such estimates."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    precision: Precision
    memory_format: MemoryFormat
    hardware: Hardware
    coefficients: Coefficients
    assumed: list[str] = Field(
        default_factory=list, description="coefficients that the data barely constrain"
    )
    source: str = Field(description="source of the times of the fit")
    num_networks: Annotated[int, Field(ge=1, strict=True)]
    batch_sizes: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    mean_error: _Fraction = Field(description="of the networks that it was fitted on")
    held_out: HeldOut

    @classmethod
    def load(cls, path: Path) -> "Profile":
        """Read a profile.

        Raises:
            InputError: the file cannot be read or is no profile; names file, line and key.
        """
        return schemas.from_yaml(cls, yaml_files.load(path))

    def save(self, path: Path) -> None:
        """Write the profile as a file for `--device FILE`."""
        yaml_files.dump(path, self.model_dump(mode="json", by_alias=True))


def shipped_names() -> tuple[str, ...]:
    """Return the names of the shipped profiles."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def find(name: str) -> Profile:
    """Find a shipped profile by its name, or read one from a file.

    Raises:
        InputError: no profile has that name, or the file is no profile.
    """
    if name in shipped_names():
        return Profile.load(_folder() / f"{name}.yaml")
    if name.endswith((".yaml", ".yml")):
        return Profile.load(Path(name))
    known = shipped_names()
    near = did_you_mean(name, known) or f"; known are {', '.join(known)}"
    raise InputError(
        f"unknown device {name!r}{near}; use cpu, cuda, cuda:1 or mps to measure, or a profile's "
        "path ending in .yaml"
    )


def is_measurable(name: str) -> bool:
    """Return whether a name is that of a PyTorch device, rather than of a profile."""
    kind, colon, index = name.partition(":")
    return kind in ("cpu", "cuda", "mps") and (not colon or index.isdecimal())


def _folder() -> Path:
    return Path(str(resources.files("bamctl.timing"))) / "devices"


PRECISIONS: tuple[Precision, ...] = get_args(Precision)
