"""Escaping of untrusted text, such as file names and keys, for each output format.

Views put text into reports unescaped; each renderer passes all text through its function here.
"""

import re

# Control characters of ASCII and Latin-1, line and paragraph separators, bidirectional controls,
# and lone surrogates. Newlines are kept; the renderers handle them.
_UNSEEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
# Workflow commands, which GitHub Actions' runner parses from any step's output: `::` at the start
# of a line, and the older `##[` anywhere (actions/runner, src/Runner.Common/ActionCommand.cs).
_COMMAND = re.compile(r"^([^\S\n]*)(?=::)", re.MULTILINE)
_OLD_COMMAND = "##["

# What a spreadsheet interprets as a formula (OWASP, "CSV Injection"), except amounts such as +2 %.
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_AMOUNT = re.compile(r"[+-][\d.,]+ ?[%A-Za-z]*")

_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~&#])")
# A list item, a heading's underline or a rule; an amount such as +2 % is none of them.
_LIST_OR_RULE = re.compile(
    r"^(\s*\d+(?=[.)](?:\s|$))|\s*(?=[-+](?:\s|$)|[-=][-=\s]*$))", re.MULTILINE
)
# GitHub finds these after Markdown is rendered, when backslash escapes are gone.
_MENTION = re.compile(r"(?<![A-Za-z0-9])@(?=\w)")
_REFERENCE = re.compile(r"#(?=\d)")


def terminal(text: str) -> str:
    r"""Escape lines for a terminal or log: no control characters or GitHub Actions commands.

    >>> terminal("a\x1b[2Jb\rc")
    'a\\x1b[2Jb\\rc'
    >>> terminal("::error::no")
    '\\::error::no'
    """
    return without_commands(_UNSEEN.sub(_escaped, text))


def without_commands(text: str) -> str:
    """Escape GitHub Actions commands only, so that our colours stay."""
    return _COMMAND.sub(r"\1\\", text).replace(_OLD_COMMAND, "#\\#[")


def line(text: str) -> str:
    r"""Escape text for a single line of a terminal or log.

    >>> line("a\n::error::b")
    'a\\n::error::b'
    """
    return terminal(text.replace("\n", r"\n"))


def csv(text: str) -> str:
    r"""Escape a cell of a CSV file: one line, and never a formula.

    >>> csv("=cmd|' /C calc'!A0"), csv("+2 %")
    ("'=cmd|' /C calc'!A0", '+2 %')
    """
    text = line(text)
    is_formula = _FORMULA.match(text) and not _AMOUNT.fullmatch(text)
    return f"'{text}" if is_formula else text


def markdown(text: str) -> str:
    r"""Escape lines for Markdown, including GitHub's mentions of users and issues.

    >>> markdown("`x` by @someone")
    '\\`x\\` by @&#8203;someone'
    """
    text = _MARKUP.sub(r"\\\1", terminal(text))
    text = _LIST_OR_RULE.sub(r"\1\\", text)
    return _MENTION.sub("@&#8203;", _REFERENCE.sub("#&#8203;", text))


def json(document: str) -> str:
    r"""Escape GitHub Actions commands in a JSON document in ASCII; the values are unchanged.

    >>> json('"##[error]"')
    '"#\\u0023[error]"'
    """
    return document.replace(_OLD_COMMAND, r"#\u0023[")


def github_data(text: str) -> str:
    """Escape the message of a GitHub Actions workflow command."""
    return terminal(text).replace("%", "%25").replace("\n", "%0A")


def github_property(text: str) -> str:
    """Escape a property value of a GitHub Actions workflow command."""
    return github_data(text).replace(":", "%3A").replace(",", "%2C")


def _escaped(found: re.Match[str]) -> str:
    return repr(found[0])[1:-1]
