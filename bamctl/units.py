"""Formatting of numbers for reports."""

_COUNT_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"))
_TIME_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
_BYTE_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def _scaled(value: float, scales: tuple[tuple[float, str], ...]) -> str | None:
    for scale, unit in scales:
        # Compare the rounded figure, so that 999,999 is not shown as "1000.0".
        if round(abs(value) / scale, 3) >= 1:
            return f"{value / scale:.2f} {unit}"
    return None


def count(value: float) -> str:
    """Format a number of parameters or operations, exact below a million.

    >>> count(17_747), count(25_557_032), count(4_089_184_256)
    ('17,747', '25.56 M', '4.09 G')
    """
    return _scaled(value, _COUNT_UNITS) or f"{value:,}"


def macs(value: float) -> str:
    """Format a number of multiply-adds.

    >>> macs(4_089_184_256), macs(27_354_096), macs(9_216)
    ('4.09 GMACs', '27.35 MMACs', '9,216 MACs')
    """
    text = count(value)
    return f"{text}MACs" if text[-1].isalpha() else f"{text} MACs"


def size(value: float) -> str:
    """Format a number of bytes, in powers of ten.

    >>> size(102_228_128), size(512)
    ('102.23 MB', '512 B')
    """
    return _scaled(value, _BYTE_UNITS) or f"{value:,} B"


def duration(seconds: float) -> str:
    """Format a time in seconds.

    >>> duration(2.345678e-3), duration(987e-9), duration(3.2)
    ('2.35 ms', '987 ns', '3.20 s')
    """
    return _scaled(seconds, _TIME_UNITS) or f"{1e9 * seconds:.0f} ns"


def percent(fraction: float) -> str:
    """Format a signed overhead.

    >>> percent(0.014115), percent(0.0)
    ('+1.41 %', '+0.00 %')
    """
    return f"{100 * fraction:+.2f} %"


def share(fraction: float) -> str:
    """Format a part of a whole.

    >>> share(0.97214)
    '97.21 %'
    """
    return f"{100 * fraction:.2f} %"


def shape(dims: tuple[int, ...]) -> str:
    """Join extents as they are written on the command line.

    >>> shape((3, 224, 224))
    '3x224x224'
    """
    return "x".join(map(str, dims))
