"""A directory with a hubconf.py: its entrypoints, without weights, downloads or traces."""

import sys

import pytest
import torch

from sppkit.targets import resolve
from tests.test_targets import error_of

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4, pretrained=False):
        super().__init__()
        self.trained = pretrained
        self.fc = nn.Linear(3, width)

    def forward(self, x):
        return self.fc(x)
"""
HUBCONF = """
dependencies = ["torch"]
INPUT_SIZE = (3,)
from nets import Net as _Net

def small(pretrained=False, **arguments):
    return _Net(2, pretrained, **arguments)

def wide(width, pretrained=True):
    import late
    return _Net(width * late.FACTOR, pretrained)
"""


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """Write directories beside the current one; the first is called `repo`."""
    monkeypatch.chdir(tmp_path)

    def write(hubconf=HUBCONF, name="repo", **others):
        folder = tmp_path / name
        folder.mkdir()
        for file, text in {"nets": NET, "late": "FACTOR = 1\n", **others}.items():
            (folder / f"{file}.py").write_text(text)
        if hubconf is not None:
            (folder / "hubconf.py").write_text(hubconf)
        return name

    return write


def test_an_entrypoint_is_built_with_arguments_and_a_declared_size(directory):
    target = resolve(f"hub:{directory()}:wide", {"width": 7})
    assert target.name == "wide"
    assert target.fresh
    assert target.input_size == ((3,),)
    assert target.build().fc.out_features == 7
    assert target.build() is not target.build()


def test_it_is_the_network_that_torch_hub_builds(directory):
    folder = directory()
    torch.manual_seed(1)
    ours = resolve(f"hub:{folder}:small").build()
    torch.manual_seed(1)
    theirs = torch.hub.load(folder, "small", source="local")
    assert torch.equal(ours.fc.weight, theirs.fc.weight)
    for name in ("nets", "late"):
        sys.modules.pop(name, None)  # torch.hub leaves them


def test_the_only_entrypoint_needs_no_name(directory):
    only = "from nets import Net as _Net\nfrom torch import nn\ndef build(): return _Net()\n"
    assert resolve(f"hub:{directory(only)}").name == "build"
    message = error_of(f"hub:{directory(name='other')}")
    assert message == (
        "'other/hubconf.py' has 2 entrypoints; name one of: hub:other:small, hub:other:wide."
    )


def test_an_entrypoint_may_be_imported_from_beside_the_file(directory):
    folder = directory(
        "from nets import Net\nfrom torch.nn import Linear\nfrom pathlib import Path\n"
    )
    assert resolve(f"hub:{folder}").name == "Net"


def test_an_unknown_entrypoint_is_answered_with_the_nearest_and_with_all(directory):
    assert error_of(f"hub:{directory()}:smal") == (
        "'repo/hubconf.py' has no entrypoint 'smal'. Did you mean 'small'? "
        "Its entrypoints: small, wide."
    )


def test_missing_arguments_are_named(directory):
    message = error_of(f"hub:{directory()}:wide")
    assert message.startswith("wide in repo/hubconf.py needs arguments that were not given: width")


@pytest.mark.parametrize("key", ["pretrained", "weights"])
def test_trained_weights_are_refused(directory, key):
    message = error_of(f"hub:{directory()}:small", {key: True})
    assert f"{key}=True would download weights" in message


def test_weights_that_are_asked_for_by_default_are_left_out(directory):
    assert resolve(f"hub:{directory()}:wide", {"width": 1}).build().trained is False


def test_a_download_is_refused_and_torch_hub_is_left_as_it_was(directory, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "cache"))
    before = torch.hub.load_state_dict_from_url, torch.hub.download_url_to_file
    for line, source in (
        (
            "torch.hub.load_state_dict_from_url('https://example.org/net.pth')",
            "example.org/net.pth",
        ),
        ("fetch('https://example.org/net.pth')", "example.org/net.pth"),
        ("torch.hub.load('owner/repository', 'net')", "github.com/owner/repository"),
    ):
        folder = directory(
            "import torch\nfrom torch.hub import load_state_dict_from_url as _fetch\n"
            f"def net():\n    fetch = _fetch\n    {line}\n",
            name=f"repo{len(line)}",
        )
        message = error_of(f"hub:{folder}")
        assert "net in " in message
        assert "would download" in message
        assert f"https://{source}" in message
    assert before == (torch.hub.load_state_dict_from_url, torch.hub.download_url_to_file)


def test_a_missing_dependency_is_named_with_the_remedy(directory):
    folder = directory("dependencies = ['torch', 'no_such_package_a']\ndef net(): pass\n")
    assert error_of(f"hub:{folder}:net") == (
        "'repo/hubconf.py' depends on no_such_package_a, which is not installed. "
        "Try: pip install no_such_package_a"
    )


def test_two_directories_may_each_have_a_module_of_the_same_name(directory):
    one = resolve(f"hub:{directory()}:wide", {"width": 1})
    other = resolve(f"hub:{directory(name='other', late='FACTOR = 9')}:wide", {"width": 1})
    assert other.build().fc.out_features == 9
    assert one.build().fc.out_features == 1


def test_the_import_path_and_modules_that_were_there_are_left_as_found(directory):
    others = {"nets", "late"}  # of directories that were named before; they step aside
    path = list(sys.path)
    modules = {name: module for name, module in sys.modules.items() if name not in others}
    resolve(f"hub:{directory()}:wide", {"width": 1}).build()
    assert sys.path == path
    assert {name: sys.modules.get(name) for name in modules} == modules


def test_what_is_no_directory_says_what_to_do(directory, tmp_path):
    empty = directory(None)
    assert "has no hubconf.py" in error_of(f"hub:{empty}")
    assert "Python files there: late.py, nets.py" in error_of(f"hub:{empty}:net")
    message = error_of("hub:pytorch/vision:resnet18")
    assert "'pytorch/vision' is no directory here" in message
    assert "git clone https://github.com/pytorch/vision" in message
    assert "of a directory with a hubconf.py" in error_of("hub:nowhere:net")
    assert "Expected hub:DIRECTORY:ENTRYPOINT" in error_of("hub:")


def test_what_is_returned_must_be_a_network(directory):
    folder = directory("def net(): return 3\n")
    assert "net in repo/hubconf.py returned a int (3)" in error_of(f"hub:{folder}")


def test_an_error_in_the_file_is_told_with_its_line(directory):
    folder = directory("def net():\n    raise RuntimeError('broken')\n")
    message = error_of(f"hub:{folder}")
    assert "net in repo/hubconf.py raised RuntimeError: broken (repo/hubconf.py, line 2" in message
