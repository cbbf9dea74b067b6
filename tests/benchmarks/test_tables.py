import csv
import io

import pytest

from benchmarks.clocks import Reading
from benchmarks.measurement import Measurement, Request, Status
from benchmarks.memory import Footprint, Memory
from benchmarks.pairs import Effort, Pair, Timing
from benchmarks.profile import Share
from benchmarks.report import print_report, write_report
from benchmarks.tables import memory_report, overhead_report, profile_report

FACTS = {"date": "2000-01-01", "processor": "abacus"}
TIMING = Timing(
    1, tuple(Pair(Reading(1.0, 1.0), Reading(r, 2 * r)) for r in (1.0, 1.1, 1.2, 1.3, 1.4, 1.5))
)
ROWS = {"activation": 3, "gradient": 2, "weight": 4, "weight gradient": 4, "update": 4}
MEASURED = Measurement(
    Request("mlp", "update", "torch", effort=Effort(6, 30)),
    Status.MEASURED,
    TIMING,
    "torch operations",
    ROWS,
    ("be | warned",),
)
ABSENT = Measurement(Request("mlp", "timm"), Status.ABSENT, notes=("not there", "be | warned"))


def cells_of(line):
    return [cell.strip() for cell in line.replace("\\|", "/").strip("| \n").split(" | ")]


def test_markdown_names_machine_numbers_and_the_command(tmp_path):
    path = tmp_path / "new" / "table.md"
    write_report(overhead_report([MEASURED, ABSENT], FACTS), path)
    text = path.read_text()
    lines = [line for line in text.splitlines() if line.startswith("| mlp")]
    assert "- processor: abacus\n" in text
    written = cells_of(lines[0])
    assert written[:5] == ["mlp", "update", "torch operations", "6 x 1", "1000"]
    assert written[5:8] == ["1.250", "1.000-1.500", "1.000-1.500"]
    assert written[8:] == ["2.500", "2.000-3.000", "3/2/4/4+4", "[1]"]
    assert "| timm |  | absent |" in lines[1]
    assert "- [1] be | warned\n- [2] not there\n" in text
    how = "-w WORKLOAD -v VARIANT --kernel KERNEL --threads 1 --pairs 6 --seconds 30"
    assert f"`python -m benchmarks run {how} --resolution 0.01`" in text


def test_csv_holds_all_digits_and_a_command_for_each_row(tmp_path):
    path = tmp_path / "table.csv"
    write_report(overhead_report([ABSENT, MEASURED], FACTS), path)
    absent, measured = csv.DictReader(io.StringIO(path.read_text()))
    assert float(measured["ratio_median"]) == pytest.approx(1.25)
    assert float(measured["wall_ratio_high"]) == 3.0
    assert measured["processor"] == "abacus"
    assert measured["command"] == (
        "python -m benchmarks run -w mlp -v update --kernel torch --threads 1 --pairs 6 "
        "--seconds 30 --resolution 0.01"
    )
    assert (absent["status"], absent["ratio_median"]) == ("absent", "")


def test_memory_is_told_in_mebibytes_and_percent():
    memory = Memory(Footprint(200 * 2**20, 0, 0), Footprint(203 * 2**20, 2**19, 2048))
    answer = Measurement(Request("mlp", "every-step"), Status.MEASURED, memory)
    (row,) = memory_report([answer], FACTS).rows
    assert row[3:9] == ["200.00", "203.00", "3.00", "1.50", "0.50", "2"]


def test_a_profile_shows_shares_of_what_a_step_takes_more():
    shares = [Share("a.py:1 read", 3.0, 1.5), Share("b.py:2 write", 1.0, 0.5)]
    answer = Measurement(Request("mlp", "every-step"), Status.MEASURED, shares, "native")
    report = profile_report(answer, FACTS)
    assert report.rows == [
        ("1.500", "75.0", "3.0", "a.py:1 read"),
        ("0.500", "25.0", "1.0", "b.py:2 write"),
    ]
    assert "2.00 ms more" in report.remarks[0]


def test_a_failed_profile_says_why():
    answer = Measurement(Request("mlp", "compiled"), Status.RAISES, notes=("TypeError: no",))
    report = profile_report(answer, FACTS)
    assert report.rows == []
    assert "TypeError: no" in report.remarks


def test_a_table_is_printed_in_full_where_there_is_no_terminal(capsys):
    print_report(overhead_report([MEASURED], FACTS))
    out = capsys.readouterr().out
    assert "processor abacus" in out
    assert "1.000-1.500" in out
    assert "[1] be | warned" in out
