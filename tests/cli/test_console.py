import io
import sys

from sppkit.cli.console import print_error, print_remark, progress_bar
from sppkit.escaping import one_line


class Terminal(io.StringIO):
    def isatty(self):
        return True


def be_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    return sys.stderr


def test_progress_is_shown_on_a_terminal(monkeypatch):
    terminal = be_a_terminal(monkeypatch)
    with progress_bar("net", 2, shown=True) as advance:
        advance(0)
        advance(1)
    assert "net" in terminal.getvalue()
    assert "seeds" in terminal.getvalue()


def test_a_bar_grows_where_more_seeds_are_drawn_than_were_asked_for(monkeypatch):
    terminal = be_a_terminal(monkeypatch)
    with progress_bar("net", 1, shown=True) as advance:
        for seed in range(3):
            advance(seed)
    assert "3/3" in terminal.getvalue()


def test_progress_is_hidden_on_request_and_where_there_is_nothing_to_wait_for(monkeypatch):
    terminal = be_a_terminal(monkeypatch)
    for steps, shown in ((2, False), (0, True)):
        with progress_bar("net", steps, shown=shown) as advance:
            advance(0)
    assert terminal.getvalue() == ""


def test_progress_is_hidden_in_a_pipe(capsys):
    with progress_bar("net", 2, shown=True) as advance:
        advance(0)
    assert capsys.readouterr().err == ""


def test_names_of_others_cannot_steer_the_terminal(capsys):
    print_error("no \x1b[2J\x07 layer\nnext")
    print_remark("a\nerror: b \u202e")
    printed = capsys.readouterr().err
    assert printed == "error: no \\x1b[2J\\x07 layer\nnext\na\\nerror: b \\u202e\n"
    assert one_line("a\nb\tc") == "a\\nb\\tc"
