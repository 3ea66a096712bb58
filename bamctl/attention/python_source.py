"""Python expressions as text, for exported source code."""

import json


class Code(str):
    """An expression that is inserted verbatim, such as `model.layer1`."""

    __slots__ = ()


def call(function: str, *positional: object, **named: object) -> str:
    """Return the source of a call.

    >>> call("build", Code("model.layer1"), 64, name="x")
    'build(model.layer1, 64, name="x")'
    """
    keywords = (f"{name}={literal(value)}" for name, value in named.items())
    return f"{function}({', '.join([*map(literal, positional), *keywords])})"


def literal(value: object) -> str:
    """Return the literal of a value in Python source, with strings in double quotes.

    >>> literal("a"), literal((1, None))
    ('"a"', '(1, None)')
    """
    if isinstance(value, Code):
        return str(value)
    return json.dumps(value) if isinstance(value, str) else repr(value)
