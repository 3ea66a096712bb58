"""Numbers as people read them."""

_COUNT_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"))
_TIME_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "us"))
_BYTE_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def _scaled(value: float, scales: tuple[tuple[float, str], ...]) -> str | None:
    for scale, unit in scales:
        # The comparison is made on the rounded figure, so that 999,999 does not read "1000.0".
        if round(abs(value) / scale, 3) >= 1:
            return f"{value / scale:.2f} {unit}"
    return None


def count(value: int) -> str:
    """A number of parameters or operations, exact below a million.

    >>> count(17_747), count(25_557_032), count(4_089_184_256)
    ('17,747', '25.56 M', '4.09 G')
    """
    return _scaled(value, _COUNT_UNITS) or f"{value:,}"


def macs(value: int) -> str:
    """A number of multiply-adds.

    >>> macs(4_089_184_256), macs(27_354_096), macs(9_216)
    ('4.09 GMACs', '27.35 MMACs', '9,216 MACs')
    """
    text = count(value)
    return f"{text}MACs" if text[-1].isalpha() else f"{text} MACs"


def size(value: int) -> str:
    """A number of bytes, in powers of ten.

    >>> size(102_228_128), size(512)
    ('102.23 MB', '512 B')
    """
    return _scaled(value, _BYTE_UNITS) or f"{value:,} B"


def duration(nanoseconds: int) -> str:
    """A time.

    >>> duration(2_345_678), duration(987), duration(3_200_000_000)
    ('2.35 ms', '987 ns', '3.20 s')
    """
    return _scaled(nanoseconds, _TIME_UNITS) or f"{nanoseconds} ns"


def milliseconds(value: float) -> str:
    """A time in milliseconds, with its unit.

    >>> milliseconds(1.5), milliseconds(0.0125)
    ('1.50 ms', '12.50 us')
    """
    return duration(round(1e6 * value))


def percent(fraction: float) -> str:
    """A signed overhead.

    >>> percent(0.014115), percent(0.0)
    ('+1.41 %', '+0.00 %')
    """
    return f"{100 * fraction:+.2f} %"


def share(fraction: float) -> str:
    """A part of a whole.

    >>> share(0.97214)
    '97.21 %'
    """
    return f"{100 * fraction:.2f} %"


def shape(dims: tuple[int, ...]) -> str:
    """Extents joined as they are written on the command line.

    >>> shape((3, 224, 224))
    '3x224x224'
    """
    return "x".join(map(str, dims))
