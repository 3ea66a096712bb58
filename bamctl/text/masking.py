"""Masking of passwords in database URLs."""

import re
from collections.abc import Iterator

HIDDEN = "***"

# USER:PASSWORD@ in text that is not parsed as a URL. The length of a scheme is bounded, or a long
# word would take time quadratic in its length.
_CREDENTIALS = re.compile(r"([A-Za-z][\w+.-]{0,40}:/+[^\s:@/]*:)\S*@")


def url(text: str) -> str:
    """Mask the password in a database URL, or all of the URL if it cannot be parsed reliably.

    >>> url("mysql://me:secret@host/db?ssl_key=other")
    'mysql://me:***@host/db?ssl_key=***'
    >>> url("mysql:me:secret@host"), url("sqlite:///study.db")
    ('***', 'sqlite:///study.db')
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        found = make_url(text)
    except (ArgumentError, ValueError):
        return HIDDEN
    # A password with an unencoded @ or / would be parsed as part of the host or database.
    if "@" in (found.host or "") or (found.host and "@" in (found.database or "")):
        return HIDDEN
    if not found.password and not found.query:
        return text
    found = found.set(query=dict.fromkeys(found.query, HIDDEN))
    # SQLAlchemy percent-encodes query values.
    return found.render_as_string(hide_password=True).replace("%2A%2A%2A", HIDDEN)


def free_text(text: str) -> str:
    """Mask the passwords of URLs in a text.

    >>> free_text("unknown model 'mysql://me:secret@host/db'")
    "unknown model 'mysql://me:***@host/db'"
    """
    return _CREDENTIALS.sub(rf"\1{HIDDEN}@", text)


def without(text: str, secret_url: str) -> str:
    """Mask a URL and its passwords in a text, however a driver quotes them."""
    text = text.replace(secret_url, url(secret_url))
    for secret in _secrets(secret_url):
        text = text.replace(secret, HIDDEN)
    return free_text(text)


def _secrets(text: str) -> Iterator[str]:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        found = make_url(text)
    except (ArgumentError, ValueError):
        return
    values = [found.password, *(v for value in found.query.values() for v in _each(value))]
    for value in values:
        if value:
            yield str(value)


def _each(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
