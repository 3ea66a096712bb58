"""Data sheets of devices: the peaks that their vendors state, and where."""

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from bamctl.errors import InputError, did_you_mean
from bamctl.files import schemas, yaml_files
from bamctl.timing._kernels import Precision
from bamctl.timing.hardware import STRICT, Hardware, Positive

Number = Literal["fp16", "bf16", "tf32"]


class DataSheet(BaseModel):
    """What a vendor states of a device; rates are dense, with FP32 accumulation."""

    model_config = STRICT

    name: Annotated[str, Field(min_length=1)]
    aliases: list[str] = Field(default_factory=list)
    title: str
    multiprocessors: Annotated[int, Field(ge=1)]
    lanes: Annotated[int, Field(ge=1, description="FP32 lanes of a multiprocessor")]
    clock_ghz: Positive
    matrix_clock_ghz: Positive | None = Field(
        default=None, description="clock under matrix products, where it is another"
    )
    matrix_macs: dict[Number, int] = Field(
        description="multiply-adds of a multiprocessor's matrix units in a cycle"
    )
    matrix_tflops: dict[Number, Positive]
    vector_tflops: Positive
    bandwidth_gbps: Positive
    cache_mb: Positive
    memory_gb: Positive
    power_watts: Positive
    source: str
    stated: str = Field(description="the numbers as the source states them")

    def hardware(self, precision: Precision) -> Hardware:
        """Return the peaks in a precision.

        In FP32, convolutions run in TF32 where the device has it and linear layers on the vector
        units, as by PyTorch's defaults (`cudnn.allow_tf32`, `cuda.matmul.allow_tf32`).

        Raises:
            InputError: the device has no matrix units for it.
        """
        return Hardware(
            matrix_tflops=self._matrix_tflops(precision),
            vector_tflops=self.vector_tflops,
            bandwidth_gbps=self.bandwidth_gbps,
            cache_mb=self.cache_mb,
            linear_tflops=self.vector_tflops if precision == "fp32" else None,
            multiprocessor_ghz=round(self.multiprocessors * self.clock_ghz, 2),
            power_watts=self.power_watts,
        )

    def _matrix_tflops(self, precision: Precision) -> float:
        if precision == "fp32":
            return self.matrix_tflops.get("tf32", self.vector_tflops)
        number: Number = "bf16" if precision.endswith("bf16") else "fp16"
        if number not in self.matrix_tflops:
            raise InputError(
                f"{self.name} has no matrix units for {number}; its data sheet has "
                f"{', '.join(self.matrix_tflops)}"
            )
        return self.matrix_tflops[number]


class _Sheets(schemas.Versioned):
    devices: list[DataSheet]


@cache
def data_sheets() -> dict[str, DataSheet]:
    """Return the shipped data sheets, by name."""
    path = Path(str(resources.files("bamctl.timing"))) / "data" / "data_sheets.yaml"
    found = schemas.from_yaml(_Sheets, yaml_files.load(path))
    return {each.name: each for each in found.devices}


def data_sheet(name: str) -> DataSheet:
    """Find a shipped data sheet by the device's name or another name of it.

    Raises:
        InputError: there is none; names the nearest ones.
    """
    found = known_sheet(name)
    if found is not None:
        return found
    near = did_you_mean(name, data_sheets()) or f"; known are {', '.join(data_sheets())}"
    raise InputError(
        f"no data sheet of {name!r}{near}; for another device give --tflops, --bandwidth and "
        "--cache"
    )


def known_sheet(name: str) -> DataSheet | None:
    """Find a shipped data sheet, or return None."""
    sheets = data_sheets()
    return sheets.get(name) or next((s for s in sheets.values() if name in s.aliases), None)


# Ranges far around those of the shipped data sheets.
_PER_BYTE, _PER_VECTOR, _CACHE_MB = (5.0, 600.0), (0.9, 24.0), (0.1, 1024.0)


def check_plausible(hardware: Hardware) -> None:
    """Refuse a data sheet with ratios that no device has, as of numbers in another unit.

    Raises:
        InputError: says which ratio, and what may have been meant.
    """
    matrix = f"{hardware.matrix_tflops:g} TFLOPS of matrix units"
    dense = "give dense TFLOPS in half precision, not TOPS of INT8 nor a peak with sparsity"
    _check_ratio(
        f"{matrix} for {hardware.vector_tflops:g} of vector units",
        hardware.matrix_tflops / hardware.vector_tflops,
        _PER_VECTOR,
        dense,
    )
    _check_ratio(
        f"{matrix} for {hardware.bandwidth_gbps:g} GB/s, in operations for each byte,",
        1e3 * hardware.matrix_tflops / hardware.bandwidth_gbps,
        _PER_BYTE,
        f"{dense}, and the bandwidth in 10^9 bytes/s",
    )
    _check_ratio("the cache in MB", hardware.cache_mb, _CACHE_MB, "give it in 10^6 bytes")


def _check_ratio(what: str, value: float, limits: tuple[float, float], cure: str) -> None:
    low, high = limits
    if not low <= value <= high:
        raise InputError(
            f"implausible data sheet: {what} is {value:.4g}, and devices have {low:g} to "
            f"{high:g}; {cure}"
        )
