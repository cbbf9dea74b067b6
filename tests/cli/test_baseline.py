"""`sppkit baseline`, `sppkit check --baseline` and `sppkit diff`, one after the other."""

import json

import pytest
from torch import nn

import sppkit
from tests.cli.conftest import SICK

TWO = ("--seeds", "2")
FAST = (*TWO, "--maximum-seeds", "2")


@pytest.fixture
def golden(spp, chain, folder):
    spp("baseline", chain, *TWO, "--update", "-o", "spp/net.parquet")
    return folder / "spp" / "net.parquet"


def test_a_baseline_is_written_named_and_left_alone_while_nothing_changed(spp, chain, folder):
    arguments = ("baseline", chain, *TWO, "--update")
    first = spp(*arguments).stdout
    assert first.startswith("net-baseline.parquet: written (")
    before = (folder / "net-baseline.parquet").stat().st_ino
    assert spp(*arguments).stdout == "net-baseline.parquet: unchanged\n"
    assert (folder / "net-baseline.parquet").stat().st_ino == before


@pytest.mark.parametrize(
    ("flags", "reason"), [((), ""), (("--no-rehearsal",), "it was asked for without")]
)
def test_a_rehearsal_can_be_left_out(flags, reason, spp, folder):
    spp("baseline", "ref:mlp", *TWO, *flags, "--update", "-o", "mlp.parquet")
    rehearsal = sppkit.read(folder / "mlp.parquet").metadata["mlp"]["rehearsal"]
    assert rehearsal["left_out"] == reason
    assert bool(rehearsal["values"]) is not bool(flags)


def test_without_update_the_baseline_is_compared(spp, fails, chain, golden, write):
    arguments = ("baseline", chain, *TWO, "-o", "spp/net.parquet")
    assert "no layer moved" in spp(*arguments).stdout
    moved = spp("baseline", "net.py", *TWO, "-k", "width=17", "-o", "spp/net.parquet", code=2)
    assert "another architecture" in moved.stderr
    assert "sppkit baseline TARGET --update" in fails("baseline", chain, *TWO, "-o", "a.parquet")


def test_a_check_compares_with_its_baseline(spp, chain, golden):
    arguments = ("check", chain, *FAST, "--baseline", golden)
    text = spp(*arguments, "-v").stdout
    assert "SPP902" in text.partition("passed: ")[2].splitlines()[0]


def test_a_check_fails_where_a_layer_moved(spp, write, folder):
    name = write(SICK.replace("gain=4.0", "gain=1.0"))
    spp("baseline", name, "--seeds", "3", "--update", "-o", "a.parquet")
    arguments = ("check", name, "--seeds", "3", "--select", "SPP902", "--baseline", "a.parquet")
    assert "pass (" in spp(*arguments).stdout
    write(SICK.replace("gain=4.0", "gain=2.0"))
    text = spp(*arguments, code=1).stdout
    assert "error SPP902 at " in text
    assert "standard deviations between seeds" in text
    assert "pass (" in spp(*arguments, "--ignore", "SPP902", "--extend-select", "SPP4").stdout


def test_a_baseline_of_another_architecture_breaks_the_target(spp, chain, golden):
    arguments = ("check", chain, *FAST, "-k", "width=17", "--baseline", golden)
    text = spp(*arguments, code=2).stdout
    assert "the baseline is of another architecture" in text
    assert "parameters of '0' was 144, is 153" in text
    assert "--update" in text


def test_a_missing_baseline_breaks_the_target_with_the_next_step(spp, chain):
    text = spp("check", chain, *FAST, "--baseline", "none.parquet", code=2).stdout
    assert "there is no baseline 'none.parquet'" in text
    assert "--update" in text


def test_one_baseline_is_not_compared_with_two_targets(fails, chain, golden):
    message = fails("check", chain, chain, *FAST, "--baseline", golden)
    assert "one by one" in message


def test_configured_baselines_are_written_and_compared_together(spp, chain, folder):
    (folder / "sppkit.toml").write_text(
        """
        seeds = 2
        [check]
        maximum-seeds = 2
        [[model]]
        name = "narrow"
        target = "net.py"
        arguments = { width = 8 }
        baseline = "spp/narrow.parquet"
        [[model]]
        name = "free"
        target = "net.py"
        """
    )
    assert spp("baseline", "--update").stdout.startswith("spp/narrow.parquet: written")
    assert spp("baseline").stdout == "spp/narrow.parquet: no layer moved\n"
    assert "2 passed" in spp("check").stdout
    assert "unchanged" in spp("baseline", "narrow", "--update").stdout


def test_what_is_no_recording_is_not_overwritten(fails, chain, folder):
    (folder / "mine.parquet").write_bytes(b"a table")
    assert "left alone" in fails("baseline", chain, *TWO, "--update", "-o", "mine.parquet")
    assert ".parquet" in fails("baseline", chain, *TWO, "--update", "-o", "mine.csv")


def test_one_seed_is_no_baseline(fails, chain):
    assert "2 seeds" in fails("baseline", chain, "--seeds", "1", "--update")


# --------------------------------------------------------------------------------------------- diff


def record(name, model, seeds=3, **options):
    sppkit.probe(model, input_size=(8,), seeds=seeds, **options).save(f"{name}.parquet")


def wide():
    return nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))


def louder():
    model = wide()
    nn.init.normal_(model[1].weight, std=30.0)
    return model


def test_equal_recordings_did_not_move(spp, folder):
    record("a", wide)
    record("b", wide)
    assert spp("diff", "a.parquet", "b.parquet").stdout == (
        "wide: 0 of 3 layers moved by more than 12.7 sigma\n"
    )


def test_moved_layers_are_told_with_values_and_sigmas(spp, folder):
    record("a", wide, seeds=5)
    record("b", louder, seeds=5)
    result = spp("diff", "a.parquet", "b.parquet", code=1)
    lines = result.stdout.splitlines()
    assert lines[0] == "wide -> louder: 3 of 3 layers moved by more than 4.5 sigma"
    assert lines[1].split() == ["layer", "what", "A", "B", "ratio", "sigma"]
    assert lines[2].startswith("0 ")
    assert "gradient, second moment" in lines[2]
    assert sum(line.startswith("(root)") for line in lines) == 1
    spp("diff", "a.parquet", "b.parquet", "--exit-zero")
    assert "0 of 3" in spp("diff", "a.parquet", "b.parquet", "--sigmas", "1e9").stdout


def test_numbers_of_the_difference_are_there_for_machines(spp, folder):
    record("a", wide, seeds=5)
    record("b", louder, seeds=5)
    found = json.loads(
        spp("diff", "a.parquet", "b.parquet", "--output-format", "json", code=1).stdout
    )
    assert found["run"] == "wide -> louder"
    assert {"layer", "signal", "statistic", "before", "after", "ratio", "sigma", "sigmas"} <= set(
        found["moved"][0]
    )


def test_layers_of_one_side_alone_are_a_difference(spp, folder):
    record("a", wide)
    record("b", lambda: nn.Sequential(*wide(), nn.Tanh()))
    assert "only in B: 2" in spp("diff", "a.parquet", "b.parquet", code=1).stdout


def test_one_seed_says_that_nobody_knows_the_spread(spp, folder):
    record("a", wide, seeds=1)
    record("b", louder, seeds=1)
    assert "Measure with --seeds 5" in spp("diff", "a.parquet", "b.parquet").stderr


def test_runs_are_paired_by_name(spp, fails, folder):
    one, two = (sppkit.probe(wide, input_size=(8,), seeds=2, run=run) for run in ("x", "y"))
    sppkit.combine([one, two]).save("a.parquet")
    sppkit.combine([two, one]).save("b.parquet")
    assert len(spp("diff", "a.parquet", "b.parquet").stdout.splitlines()) == 2
    record("c", wide, run="z")
    assert "no run in common: A holds 'x', 'y', B holds 'z'" in fails(
        "diff", "a.parquet", "c.parquet"
    )


def test_a_missing_recording_is_named(fails):
    assert "'a.parquet'" in fails("diff", "a.parquet", "b.parquet")


def test_hostile_names_stay_text(spp, folder):
    hostile = "\x1b[2J\n::error::x"
    model = nn.Sequential()
    model.add_module(hostile, nn.Linear(8, 8))
    record("a", lambda: nn.Sequential(nn.Linear(8, 8)), run=hostile)
    record("b", lambda: model, run=hostile)
    text = spp("diff", "a.parquet", "b.parquet", code=1).stdout
    assert "\x1b" not in text
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]
