"""`sppkit export`, and old logs as recordings."""

import pandas as pd
import pytest

from tests.exchange.test_training_log import logged, net, write


@pytest.fixture
def recorded(spp, chain, folder):
    spp("baseline", chain, "--seeds", "2", "--update", "-o", "net.parquet")
    return folder / "net.parquet"


@pytest.fixture
def log(folder):
    import torch

    return write(
        folder / "training_log.txt", [logged(net(), torch.randn(8, 3, 8, 8), torch.arange(8))]
    )


def test_a_recording_becomes_a_table(spp, recorded, folder):
    assert spp("export", recorded, "-o", "net.csv").stdout == "net.csv\n"
    wide = pd.read_csv(folder / "net.csv")
    spp("export", recorded, "-o", "long.csv", "--long")
    tall = pd.read_csv(folder / "long.csv")
    assert len(tall) > len(wide)
    assert {"statistic", "value"} <= set(tall)
    spp("export", recorded, "-o", "net.csv")  # ours may be replaced


def test_files_of_others_are_left_alone(spp, fails, recorded, folder):
    (folder / "notes.csv").write_text("mine\n")
    assert "was not written by sppkit" in fails("export", recorded, "-o", "notes.csv")
    assert (folder / "notes.csv").read_text() == "mine\n"
    spp("export", recorded, "-o", "notes.csv", "--force")
    assert (folder / "notes.csv").read_text().startswith("run,seed,")


def test_an_old_log_is_drawn_judged_and_converted(spp, log, folder):
    spp("plot", log, "-o", "old.png")
    assert (folder / "old.png").exists()
    text = spp("check", log, "-v").stdout
    assert "training_log.txt: pass" in text
    spp("export", log, "-o", "old.parquet", "--vectors", "3", "--vectors", "4")
    spp("plot", "old.parquet", "-o", "again.png")


def test_mistakes_are_told(fails, recorded, log):
    assert "choose .csv, .jsonl, .parquet" in fails("export", recorded, "-o", "a.txt")
    assert "a recording knows its layers" in fails(
        "export", recorded, "-o", "a.csv", "--vectors", "0"
    )
    assert "matched no layer" in fails("export", log, "-o", "a.csv", "--vectors", "fc")
    assert "there is no recording" in fails("export", "none.parquet", "-o", "a.csv")
    assert "Missing option '-o' / '--output'" in fails("export", recorded)
