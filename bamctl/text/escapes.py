"""Text from outside, such as a file's name or a key, made safe for the format that shows it.

The views put text into reports as it is; each renderer passes all text through its function here.
"""

import re

# Control characters of ASCII and Latin-1, line and paragraph separators, marks that change the
# direction of writing, and what is not Unicode text. Newlines are the writers' own.
_UNSEEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
# What GitHub Actions' runner takes for a command, in whatever a step prints: `::` at the start of
# a line, and the older `##[` anywhere (actions/runner, src/Runner.Common/ActionCommand.cs).
_COMMAND = re.compile(r"^([^\S\n]*)(?=::)", re.MULTILINE)
_OLD_COMMAND = "##["

# What a spreadsheet takes for a formula (OWASP, "CSV Injection"), but for amounts such as +2 %.
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_AMOUNT = re.compile(r"[+-][\d.,]+ ?[%A-Za-z]*")

_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~&#])")
# Of a list, a heading's underline or a rule; an amount such as +2 % begins none of them.
_LIST_OR_RULE = re.compile(
    r"^(\s*\d+(?=[.)](?:\s|$))|\s*(?=[-+](?:\s|$)|[-=][-=\s]*$))", re.MULTILINE
)
# GitHub looks for these after Markdown is rendered, where a backslash is gone.
_MENTION = re.compile(r"(?<![A-Za-z0-9])@(?=\w)")
_REFERENCE = re.compile(r"#(?=\d)")


def terminal(text: str) -> str:
    r"""Lines for a screen or a log, which cannot move the cursor or command GitHub Actions.

    >>> terminal("a\x1b[2Jb\rc")
    'a\\x1b[2Jb\\rc'
    >>> terminal("::error::no")
    '\\::error::no'
    """
    return without_commands(_UNSEEN.sub(_escaped, text))


def without_commands(text: str) -> str:
    """Lines that GitHub Actions does not obey, with our own colours left in."""
    return _COMMAND.sub(r"\1\\", text).replace(_OLD_COMMAND, "#\\#[")


def line(text: str) -> str:
    r"""One line for a screen or a log.

    >>> line("a\n::error::b")
    'a\\n::error::b'
    """
    return terminal(text.replace("\n", r"\n"))


def csv(text: str) -> str:
    r"""A cell of a CSV file: one line, and never a formula.

    >>> csv("=cmd|' /C calc'!A0"), csv("+2 %")
    ("'=cmd|' /C calc'!A0", '+2 %')
    """
    text = line(text)
    is_formula = _FORMULA.match(text) and not _AMOUNT.fullmatch(text)
    return f"'{text}" if is_formula else text


def markdown(text: str) -> str:
    r"""Lines of Markdown without markup, and without mentions of people and issues of GitHub.

    >>> markdown("`x` by @someone")
    '\\`x\\` by @&#8203;someone'
    """
    text = _MARKUP.sub(r"\\\1", terminal(text))
    text = _LIST_OR_RULE.sub(r"\1\\", text)
    return _MENTION.sub("@&#8203;", _REFERENCE.sub("#&#8203;", text))


def json(document: str) -> str:
    r"""A JSON document in ASCII; the values are unchanged.

    >>> json('"##[error]"')
    '"#\\u0023[error]"'
    """
    return document.replace(_OLD_COMMAND, r"#\u0023[")


def github_data(text: str) -> str:
    """The message of a workflow command of GitHub Actions."""
    return terminal(text).replace("%", "%25").replace("\n", "%0A")


def github_property(text: str) -> str:
    """The value of a property of such a command."""
    return github_data(text).replace(":", "%3A").replace(",", "%2C")


def _escaped(found: re.Match[str]) -> str:
    return repr(found[0])[1:-1]
