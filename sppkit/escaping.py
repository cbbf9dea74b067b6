"""Make text of others harmless where it is shown: names of layers and runs may hold anything."""

import re

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def printable(text: str) -> str:
    r"""Escape what would steer a terminal.

    >>> printable("net\x1b[2J")
    'net\\x1b[2J'
    """
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    r"""Escape a name for the middle of a line.

    >>> one_line("a\nerror: b")
    'a\\nerror: b'
    """
    return printable(text).replace("\n", "\\n")


def without_control_characters(text: str) -> str:
    """Replace what no XML document may hold."""
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def log_line(text: str) -> str:
    r"""Escape a line of a log, in which GitHub's runner looks for commands too.

    It takes a line that begins with "::", and "##[" anywhere in a line, for one.

    >>> log_line(" ::error::gone"), log_line("a\n::error::b"), log_line("##[error]c")
    (' \\::error::gone', 'a\\n::error::b', '##\\[error]c')
    """
    line = one_line(text).replace("##[", r"##\[")
    bare = line.lstrip()
    return f"{line[: len(line) - len(bare)]}\\{bare}" if bare.startswith("::") else line
