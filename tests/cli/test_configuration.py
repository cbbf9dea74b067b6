"""Settings from files and from the environment: their order, their origins, and what is refused."""

from textwrap import dedent

import pytest

from sppkit.cli.configuration.models import anchored

FAST = ("--seeds", "2", "--maximum-seeds", "2")


@pytest.fixture
def project(folder):
    """Write the settings of a pyproject.toml."""

    def write(text, name="pyproject.toml"):
        (folder / name).write_text(dedent(text))

    return write


@pytest.fixture
def settings(spp):
    """Return key -> (value, origin), as `--show-settings` prints them."""

    def show(*flags, command="check"):
        lines = spp(command, *flags, "--show-settings").stdout.splitlines()
        parts = [line.partition("    # ") for line in lines]
        return {
            left.partition(" = ")[0].strip(): (left.partition(" = ")[2], origin)
            for left, _, origin in parts
        }

    return show


def test_each_setting_is_shown_with_its_origin(settings, project, monkeypatch):
    project("[tool.sppkit]\nseeds = 7\nbatch-size = 4\n[tool.sppkit.check]\nfail-on = 'warning'\n")
    project("batch-size = 8\ninput = 'pink'\n", "sppkit.toml")
    monkeypatch.setenv("SPPKIT_INPUT", "uniform")
    shown = settings("--mode", "eval")
    assert shown["mode"] == ('"eval"', "command line")
    assert shown["input"] == ('"uniform"', "environment, SPPKIT_INPUT")
    assert shown["batch-size"] == ("8", "sppkit.toml, the top level")
    assert shown["seeds"] == ("7", "pyproject.toml, [tool.sppkit]")
    assert shown["fail-on"] == ('"warning"', "pyproject.toml, [tool.sppkit.check]")
    assert shown["seed"] == ("0", "default")
    assert shown["select"] == ("(not set)", "default")


def test_the_table_of_a_command_comes_before_the_shared_one(settings, project):
    project("[tool.sppkit]\nseeds = 7\n[tool.sppkit.check]\nseeds = 3\n")
    assert settings()["seeds"] == ("3", "pyproject.toml, [tool.sppkit.check]")


def test_an_own_file_comes_before_the_project_file_key_by_key(settings, project):
    project("[tool.sppkit.check]\nseeds = 3\n")
    project("seeds = 9\n", "sppkit.toml")
    assert settings()["seeds"] == ("9", "sppkit.toml, the top level")


def test_flags_that_repeat_are_read_from_all_places(settings, project, monkeypatch):
    project("[tool.sppkit]\ninput-size = [3, 8, 8]\n[tool.sppkit.check]\nselect = ['SPP1']\n")
    assert settings()["input-size"][0] == '["3,8,8"]'
    assert settings()["select"][0] == '["SPP1"]'
    monkeypatch.setenv("SPPKIT_INPUT_SIZE", "3,4,4 10")
    assert settings()["input-size"][0] == '["3,4,4", "10"]'


def test_settings_are_found_in_the_folders_above(settings, project, folder, monkeypatch):
    project("[tool.sppkit]\nseeds = 7\n")
    inner = folder / "src" / "net"
    inner.mkdir(parents=True)
    (inner / "pyproject.toml").write_text("[project]\nname = 'other'\n")  # not of sppkit
    monkeypatch.chdir(inner)
    assert settings()["seeds"] == ("7", f"{folder / 'pyproject.toml'}, [tool.sppkit]")


def test_measuring_flags_apply_to_every_command_that_measures(spp, project, chain, folder):
    project("[tool.sppkit]\nseeds = 2\n")
    spp("plot", chain, "--save-recording", "a.parquet")
    import sppkit

    assert sppkit.read("a.parquet").metadata["Net"]["seeds"] == [0, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.sppkit]\nsedes = 3", "Did you mean 'seeds'?"),
        ("[tool.sppkit]\nfail-on = 'error'", "belongs into [tool.sppkit.check]"),
        ("[tool.sppkit.check]\nfail-onn = 'error'", "Did you mean 'fail-on'?"),
        ("[tool.sppkit.chekc]\nselect = []", "Did you mean 'check'?"),
        ("[tool.sppkit.rules]\ncolor = 'never'", "has the key 'rules'"),
        ("[tool.sppkit]\nseeds = 0", "seeds = 0"),
        ("[tool.sppkit]\nseeds = [1]", "seeds = [1]; expected one value"),
        ("[tool.sppkit]\nseeds = true", "seeds = True; expected one value"),
        ("[tool.sppkit]\nactivate = 'yes'", "activate = 'yes'; expected true or false"),
        ("[tool.sppkit]\ninclude = 3", "include = 3; expected a list"),
        ("[tool.sppkit]\nmode = 'trian'", "'train', 'eval'"),
        ("[tool.sppkit]\ncheck = 3", "expected a table"),
        ("tool.sppkit = 3", "expected a table"),
        ("[tool.sppkit\nseeds = 3", "is no TOML"),
        ("[[tool.sppkit.model]]\nname = 'a'", "without a target"),
        ("[[tool.sppkit.model]]\ntarget = ''", "expected a text"),
        ("[[tool.sppkit.model]]\ntarget = 'a.py'\ninputsize = [3]", "Did you mean 'input-size'?"),
        ("[[tool.sppkit.model]]\ntarget = 'a.py'\ninput-size = 'x'", "is no size"),
        ("[[tool.sppkit.model]]\ntarget = 'a.py'\n" * 2, "names two models 'a.py'"),
        ("[tool.sppkit.model]\ntarget = 'a.py'", "is no list of tables"),
        ("[tool.sppkit.per-layer-ignores]\n'head.*' = 3", "expected a list of codes"),
        ("[tool.sppkit.per-layer-ignores]\n'a' = {code = ['SPP101']}", "Did you mean 'codes'?"),
        ("[tool.sppkit.per-layer-ignores]\n'a' = ['SPP1O7']", "Did you mean 'SPP107'?"),
        ("[tool.sppkit.per-layer-ignores]\n're:(' = ['SPP101']", "regular expression"),
        ("[tool.sppkit.thresholds.SPP999]\na = 1", "'SPP999'"),
        ("[tool.sppkit.thresholds.SPP902]\nsigmas = 1", "maximum_sigmas"),
        ("[tool.sppkit.thresholds.SPP902]\nmaximum_sigmas = 'x'", "expected a number"),
    ],
)
def test_what_has_no_meaning_is_refused_with_the_file_and_the_nearest(text, said, fails, project):
    project(text)
    message = fails("check", "ref:mlp", *FAST)
    assert said in message
    if "SPP" not in said and "regular" not in said and "sigmas" not in said and "size" not in said:
        assert "pyproject.toml" in message


def test_a_file_that_is_no_text_is_refused(fails, folder):
    (folder / "sppkit.toml").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in fails("check", "ref:mlp")


def test_help_is_shown_beside_a_broken_file(spp, project):
    project("[tool.sppkit\n")
    assert "--select" in spp("check", "--help").stdout
    assert "nf_resnet20" in spp("models").stdout


def test_a_misspelt_variable_is_remarked_on(spp, chain, monkeypatch):
    monkeypatch.setenv("SPPKIT_SEDS", "2")
    monkeypatch.setenv("SPPKIT_CACHE_OF_SOMETHING_ELSE", "2")
    said = spp("check", chain, *FAST).stderr
    assert "SPPKIT_SEDS is no setting of sppkit. Did you mean SPPKIT_SEEDS?" in said
    assert "SOMETHING" not in said


def test_a_bad_variable_is_refused_by_its_flag(fails, chain, monkeypatch):
    monkeypatch.setenv("SPPKIT_SEEDS", "many")
    assert "--seeds" in fails("check", chain)


# ------------------------------------------------------------------------------- configured models

MODELS = """
    [tool.sppkit]
    seeds = 2
    [tool.sppkit.check]
    maximum-seeds = 2
    output-format = "json"
    [[tool.sppkit.model]]
    name = "narrow"
    target = "net.py:Net"
    arguments = { width = 4 }
    batch-size = 6
    [[tool.sppkit.model]]
    target = "sick.py"
"""


def test_without_a_target_all_configured_models_are_checked(spp, project, chain, sick):
    import json

    project(MODELS)
    narrow, other = json.loads(spp("check", code=1).stdout)
    assert (narrow["target"], narrow["verdict"]) == ("narrow", "pass")
    assert narrow["settings"]["input_shapes"] == [[6, 8]]
    assert (other["target"], other["verdict"]) == ("sick.py", "fail")


def test_a_configured_model_is_named_and_typed_flags_come_first(spp, project, chain, sick):
    import json

    project(MODELS)
    narrow = json.loads(spp("check", "narrow", "-b", "3").stdout)
    assert narrow["settings"]["input_shapes"] == [[3, 8]]


def test_one_broken_configured_model_leaves_the_others(spp, project, chain):
    project(MODELS.replace('output-format = "json"', ""))
    text = spp("check", code=2).stdout
    assert "narrow: pass" in text
    assert "sick.py: error" in text


def test_configured_targets_belong_to_the_folder_of_their_file(spp, project, folder, monkeypatch):
    package = folder / "mypkg"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "nets.py").write_text(
        "from torch import nn\n\ndef build():\n    return nn.Linear(8, 4)\n"
    )
    project(
        """
        [[tool.sppkit.model]]
        name = "a"
        target = "mypkg.nets:build"
        input-size = [8]
        seeds = 2
        [[tool.sppkit.model]]
        name = "b"
        target = "mypkg/nets.py:build"
        input-size = [8]
        seeds = 2
        """
    )
    for place in (folder, package):
        monkeypatch.chdir(place)
        text = spp("check", "--maximum-seeds", "2").stdout
        assert "a: pass" in text
        assert "b: pass" in text


def test_targets_of_a_file_elsewhere_are_anchored(folder, monkeypatch):
    (folder / "net.py").touch()
    (folder / "a.parquet").touch()
    (folder / "inner").mkdir()
    monkeypatch.chdir(folder / "inner")
    assert anchored("net.py:Net", folder) == f"{folder / 'net.py'}:Net"
    assert anchored("net:Net", folder) == f"{folder / 'net.py'}:Net"
    assert anchored("a.parquet", folder) == str(folder / "a.parquet")
    assert anchored("ref:mlp", folder) == "ref:mlp"
    assert anchored("timm.models:resnet18", folder) == "timm.models:resnet18"


def test_folders_of_a_scheme_are_anchored_too(folder, monkeypatch):
    for name in ("inner", "checkpoint"):
        (folder / name).mkdir()
    monkeypatch.chdir(folder / "inner")
    there = folder / "checkpoint"
    assert anchored("hf:checkpoint", folder) == f"hf:{there}"
    assert anchored("hf:bert", folder) == "hf:bert"
    assert anchored("hub:checkpoint:net", folder) == f"hub:{there}:net"
    assert anchored("hub:checkpoint", folder) == f"hub:{there}"
    assert anchored("hub:elsewhere:net", folder) == "hub:elsewhere:net"


def test_findings_in_ignored_layers_do_not_count_and_give_their_reason(spp, project, sick):
    project(
        """
        [tool.sppkit.per-layer-ignores]
        "*" = { codes = ["SPP"], reason = "on purpose" }
        """
    )
    text = spp("check", sick, *FAST).stdout
    assert "sick.py: pass (" in text
    assert "(ignored: on purpose)" in text


def test_thresholds_can_be_set(spp, project, sick):
    project("[tool.sppkit.thresholds.SPP101]\ngrowth = 30\n")
    assert "pass (" in spp("check", sick, *FAST, "--select", "SPP101").stdout


def test_a_configuration_runs_nothing_that_it_names(spp, project, folder, chain):
    (folder / "trap.py").write_text("raise SystemExit('was run')\n")
    project(
        """
        [[tool.sppkit.model]]
        name = "trap"
        target = "trap.py"
        """
    )
    assert "net.py: pass" in spp("check", chain, *FAST).stdout
    assert "trap.py" in spp("check", "--show-settings").stdout
