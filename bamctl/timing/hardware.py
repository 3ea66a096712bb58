"""The hardware of a device, and the coefficients of its time model."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MemoryFormat = Literal["contiguous", "channels_last"]

STRICT = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
# Far beyond any real device, and such that computed times stay finite.
Positive = Annotated[float, Field(gt=1e-9, lt=1e9, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, lt=1e3, allow_inf_nan=False)]

# FP32 lanes of a multiprocessor, where a data sheet does not tell their number.
_LANES = 128


class Hardware(BaseModel):
    """The data sheet of a device, or measurements where there is none."""

    model_config = STRICT

    matrix_tflops: Positive = Field(
        description="peak of dense matrix products in the precision; a multiply-add counts as two"
    )
    vector_tflops: Positive = Field(description="peak outside of the matrix units")
    bandwidth_gbps: Positive = Field(description="memory bandwidth in 10^9 bytes/s")
    cache_mb: Positive = Field(description="last-level cache in 10^6 bytes")
    linear_tflops: Positive | None = Field(
        default=None, description="peak of linear layers, where it is not that of convolutions"
    )
    multiprocessor_ghz: Positive | None = Field(
        default=None, description="multiprocessors times their clock in 10^9/s"
    )
    power_watts: Positive | None = Field(
        default=None, description="power limit, which bounds products"
    )

    @property
    def issue_tflops(self) -> float:
        """The rate of products if each multiprocessor did 256 multiply-adds in a cycle.

        The matrix units of the consumer devices that coefficients were learnt on do that many.
        """
        ghz = self.multiprocessor_ghz or 1e3 * self.vector_tflops / (2 * _LANES)
        return 0.512 * ghz


class Coefficients(BaseModel):
    """The fractions of its hardware's peaks that a device reaches; found by a fit.

    A product reaches `efficiency · c/(c + width)` of the peak for each of its two channel counts
    c: narrow products leave units of the device idle.
    """

    model_config = STRICT

    matmul: Positive = Field(description="efficiency of linear layers and 1x1 convolutions")
    spatial: Positive = Field(description="efficiency of other dense convolutions")
    grouped: Positive = Field(description="efficiency of grouped convolutions")
    depthwise: Positive = Field(
        description="efficiency of depthwise convolutions, of the vector units"
    )
    attention: Positive = Field(description="efficiency of products of two feature maps")
    matmul_width: Positive = Field(description="channels at which half the efficiency is reached")
    spatial_width: Positive = Field(description="the same, of other dense convolutions")
    grouped_width: Positive = Field(description="the same, within one group")
    grouped_alignment: Positive = Field(
        description="exponent of the loss for group widths that are not powers of two"
    )
    issue: _Share = Field(
        default=0.0,
        description="how far multiprocessors, not matrix units, bound convolutions (0 to 1)",
    )
    watt_tflops: Positive = Field(default=1e6, description="TFLOPS of products for each watt")
    bandwidth: Positive = Field(description="fraction of the bandwidth that kernels reach")
    cache_speedup: Positive = Field(description="speedup of data that fits in the cache")
    layout: _Share = Field(
        default=0.0,
        description="copies of the contiguous maps of a convolution, as a fraction of them",
    )
    layout_pointwise: _Share = Field(default=0.0, description="the same, of 1x1 convolutions")
    layout_depthwise: _Share = Field(default=0.0, description="the same, of depthwise ones")
    common: Positive = Field(default=1.0, description="factor of all times on the device")
    floor_us: Positive = Field(default=4.0, description="minimum time of a kernel in microseconds")
    launch_us: Positive = Field(
        description="time in which PyTorch launches a kernel, in microseconds"
    )
