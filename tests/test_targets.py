"""A target leads to the model that was meant, or to a message that says what to type instead."""

import copy
import os
import pickle
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

from sppkit.errors import TargetError
from sppkit.models import REFERENCES
from sppkit.targets import declared_input_size, describe_exception, parse_arguments, resolve
from sppkit.user_code import split

IMPORTS = "import torch\nfrom torch import nn\n"
NET = """
class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.fc = nn.Linear(3, width)

    def forward(self, x):
        return self.fc(x)
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write files into the working directory and return the name of the first."""
    monkeypatch.chdir(tmp_path)

    def write_files(**files):
        for name, text in files.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(IMPORTS + text)
        return f"{next(iter(files))}.py"

    return write_files


def error_of(text, arguments=None):
    """Return the message of resolving, or else of building, a target that leads nowhere."""
    with pytest.raises(TargetError) as caught:
        resolve(text, arguments).build()
    return str(caught.value)


# ---------------------------------------------------------------------- what a file alone offers


@pytest.mark.parametrize(
    "offer",
    [
        "def build_model(): return Net()",
        "def get_model(): return Net()",
        "def model(): return Net()",
        "model = Net",
        "import functools\nmodel = functools.partial(Net, width=4)",
    ],
)
def test_a_file_offers_its_model_under_a_known_name(write, offer):
    target = resolve(write(resnet=NET + offer))
    assert target.name == "resnet"
    assert target.fresh
    assert target.build().fc.out_features == 4
    assert target.build() is not target.build()


def test_build_model_is_preferred_to_get_model_and_to_model(write):
    file = write(net=NET + "model = Net(1)\ndef get_model(): return Net(2)\n")
    assert resolve(file).build().fc.out_features == 2
    file = write(net=NET + "def get_model(): return Net(2)\ndef build_model(): return Net(3)\n")
    assert resolve(file).build().fc.out_features == 3


def test_a_ready_instance_is_not_fresh_and_is_built_once(write):
    target = resolve(write(net=NET + "model = Net()"))
    assert not target.fresh
    assert target.build() is target.build()
    assert target.name == "net"


def test_a_module_called_model_is_not_taken_for_the_model(write):
    file = write(net="import layers as model\n" + NET, layers="")
    assert resolve(file).name == "Net"


def test_the_only_network_of_a_file_is_its_model(write):
    target = resolve(write(net=NET))
    assert target.name == "Net"
    assert target.origin == "Net in net.py"


def test_networks_that_others_are_made_of_are_not_candidates(write):
    blocks = """
class Base(nn.Module):
    pass
class Inner(nn.Module):
    def forward(self, x): return x
class Outer(nn.Module):
    def __init__(self, inner=Inner):
        super().__init__()
        self.inner = inner()
    def forward(self, x): return self.inner(x)
KINDS = {"outer": Outer}
def make_block(kind="outer"):
    return KINDS[kind]()
class Whole(Base):
    def __init__(self):
        super().__init__()
        self.block = make_block()
    def forward(self, x): return self.block(x)
Alias = Whole
"""
    assert resolve(write(net=blocks)).name == "Whole"


def test_imported_networks_are_not_candidates(write):
    file = write(net="from torch.nn import Linear\nfrom other import *\n" + NET, other=NET)
    assert resolve(file).name == "Net"


def test_the_only_network_without_needed_arguments_is_chosen_among_several(write):
    other = "class Wide(Net):\n    def __init__(self, depth): super().__init__(depth)\n"
    file = write(net=NET + other)
    assert resolve(file).name == "Net"


def test_arguments_decide_which_of_several_networks_is_meant(write):
    text = "".join(
        f"class {name}(nn.Module):\n"
        f"    def __init__(self, {argument}):\n        super().__init__()\n"
        "    def forward(self, x): return x\n"
        for name, argument in [("Deep", "depth"), ("Wide", "width")]
    )
    assert resolve(write(net=text), {"depth": 3}).name == "Deep"


def test_several_networks_are_listed_with_what_to_type(write):
    other = "class Other(Net): pass\nclass Wide(Net):\n    def __init__(self, depth): pass\n"
    message = error_of(write(net=NET + other + "def make(): return Net()"))
    assert message.splitlines() == [
        "'net.py' defines several networks; name one of:",
        "  net.py:Net",
        "  net.py:Other",
        "  net.py:Wide -k depth=VALUE  (takes depth)",
        "  net.py:make",
    ]


def test_a_file_without_a_model_says_what_was_looked_for_and_what_it_has(write):
    message = error_of(write(net="model = 'resnet'\ndef make_net(): return nn.Linear(1, 1)\n"))
    for part in ("build_model()", "get_model()", "torch.nn.Module", "net.py:make_net"):
        assert part in message
    assert "empty.py:NAME" in error_of(write(empty=""))


# ------------------------------------------------------------------------------- names in a file


def test_a_name_may_be_a_class_a_function_an_instance_or_dotted(write):
    file = write(net=NET + "def make(width=5): return Net(width)\nready = Net()\n")
    targets = [resolve(f"{file}:{name}") for name in ("Net", "make", "ready")]
    assert [target.name for target in targets] == ["Net", "make", "ready"]
    assert [target.fresh for target in targets] == [True, True, False]
    dotted = write(zoo=NET + "class zoo:\n    small = Net\n    make = staticmethod(Net)\n")
    assert resolve(f"{dotted}:zoo.small", {"width": 2}).build().fc.out_features == 2
    assert resolve(f"{dotted}:zoo.make").name == "zoo.make"


def test_a_missing_name_is_answered_with_the_nearest_and_with_all(write):
    message = error_of(write(net=NET + "def make(): pass") + ":Nett")
    assert message == (
        "'net.py:Nett' leads nowhere: net.py has no 'Nett'. Did you mean 'Net'? "
        "Defined there: Net, make."
    )


def test_a_name_of_something_else_says_what_it_is(write):
    message = error_of(write(net="size = 'large'") + ":size")
    assert "size in net.py is a str ('large'); expected a class, a function or a network" in message


def test_a_function_of_a_module_is_found_from_the_working_directory(write):
    write(**{"zoo/nets": NET + "def get_model(): return Net()"})
    assert resolve("zoo.nets:get_model").name == "nets"
    assert resolve("zoo.nets:Net").build().fc.out_features == 4
    assert resolve("torch.nn:Identity").name == "Identity"


def test_a_drive_letter_is_not_taken_for_a_module():
    assert split(r"C:\nets\model.py:Net") == (r"C:\nets\model.py", "Net")
    assert split(r"C:\nets\model.py") == (r"C:\nets\model.py", "")
    assert "'C:\\nets\\model.py' does not exist" in error_of(r"C:\nets\model.py:Net")
    assert r"'C:\nets\model:Net' is no target" in error_of(r"C:\nets\model:Net")


# -------------------------------------------------------------------------------- how code is run


def test_a_file_is_loaded_as_python_would_run_it(write):
    probe = """
import dataclasses, sys
ARGUMENTS, NAME = list(sys.argv), __name__
@dataclasses.dataclass
class Settings:
    width: int = 7
def build_model(): return Net(Settings().width)
if __name__ == "__main__":
    raise RuntimeError("the script part ran")
"""
    argv, path = list(sys.argv), list(sys.path)
    module = sys.modules[type(resolve(write(net=NET + probe)).build()).__module__]
    assert argv == module.ARGUMENTS
    assert sys.path == path
    assert module.NAME != "net"
    built = module.build_model()
    assert built.fc.out_features == 7
    assert type(pickle.loads(pickle.dumps(built))) is type(copy.deepcopy(built)) is module.Net


def test_a_model_may_import_its_neighbour_only_when_it_is_built(write, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    lazy = "def build_model():\n    from late_neighbour import make\n    return make()\n"
    write(**{"nets/net": lazy, "nets/late_neighbour": NET + "make = Net"})
    path = list(sys.path)
    assert resolve("nets/net.py").build().fc.out_features == 4
    assert sys.path == path
    assert not list(tmp_path.rglob("__pycache__")), "the user's folder is left as it was"


def test_what_a_file_adds_to_the_import_path_is_there_when_it_builds(write):
    text = "import sys\nsys.path.insert(0, 'hidden')\n"
    lazy = "def build_model():\n    from hidden_neighbour import Net\n    return Net()\n"
    file = write(**{"net": text + lazy, "hidden/hidden_neighbour": NET})
    assert resolve(file).build().fc.out_features == 4
    assert "hidden" not in sys.path


def test_two_folders_may_have_neighbours_of_the_same_name(write):
    main = "import shared_layers\ndef build_model(): \n    import shared_layers as again\n"
    main += "    assert again is shared_layers\n    return again.Net()\n"
    wider = NET.replace("width=4", "width=8")
    write(**{"old/net": main, "old/shared_layers": NET})
    write(**{"new/net": main, "new/shared_layers": wider})
    old, new = resolve("old/net.py"), resolve("new/net.py")
    widths = [target.build().fc.out_features for target in (old, new, old, new)]
    assert widths == [4, 8, 4, 8]


def test_a_file_of_a_package_may_import_relatively(write):
    relative = "from ..layers import Net\ndef build_model(): return Net()"
    file = write(**{"bundle/sub/net": relative, "bundle/layers": NET})
    write(**{"bundle/__init__": "", "bundle/sub/__init__": ""})
    assert resolve(file).build().fc.out_features == 4


def test_a_file_may_import_from_the_working_directory_and_from_beside_itself(write):
    imports = "from top_neighbour import Net\nfrom near_neighbour import make\n"
    file = write(**{"pack/net": imports + "build_model = make", "top_neighbour": NET})
    write(**{"pack/__init__": "", "pack/near_neighbour": NET + "make = Net"})
    assert resolve(file).build().fc.out_features == 4


def test_resolving_builds_nothing_and_draws_no_random_number(write):
    file = write(net=NET + "def build_model(): raise RuntimeError('built')")
    before = torch.get_rng_state()
    resolve(file)
    assert torch.equal(torch.get_rng_state(), before)


def test_naming_a_target_imports_no_torch():
    code = "import sys, sppkit.targets; sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=os.getcwd(), check=False).returncode == 0
    )


# ------------------------------------------------------------------------------- files that fail


def test_a_missing_file_is_answered_with_the_nearest(write):
    write(model=NET)
    message = error_of("modle.py:Net")
    assert "'modle.py' does not exist in " in message
    assert "Did you mean 'model.py'?" in message
    assert "nor does its folder" in error_of("nowhere/model.py")


def test_a_folder_and_another_kind_of_file_are_refused_by_name(write, tmp_path):
    write(**{"nets/model": NET})
    (tmp_path / "model.txt").write_text("")
    assert "'nets' is a folder; name a file in it. Python files there: model.py." in error_of(
        "nets"
    )
    assert "'model.txt' is not a Python file; expected model.py" in error_of("model.txt")
    assert "'model.txt' is not a Python file" in error_of("model.txt:Net")


@pytest.mark.parametrize("text", ["", ":", "model", "nets/model", "hff:org/name"])
def test_a_text_of_no_known_form_is_answered_with_all_forms(write, text):
    write(other=NET)
    message = error_of(text)
    assert "torchvision:NAME, hf:TYPE or hf:DIRECTORY, or hub:DIRECTORY:ENTRYPOINT" in message


def test_a_file_without_its_ending_is_answered_with_the_file(write):
    write(**{"model": NET, "nets/model": NET})
    assert "Did you mean 'model.py'?" in error_of("model")
    assert "Did you mean 'model.py'?" in error_of("nets/model:Net")


def test_a_missing_module_is_named_and_a_library_suggested(write):
    write(other=NET)
    message = error_of("nowhere.nets:Net")
    assert "there is no module 'nowhere' in" in message
    assert "Expected model.py, model.py:Name" in message
    assert "Did you mean 'timm'?" in error_of("tinm:resnet50")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("x = (1,\n", "SyntaxError: '(' was never closed (net.py, line 3: `x = (1,`)"),
        ("import no_such_library\n", "line 3: `import no_such_library`"),
        ("1 / 0\n", "ZeroDivisionError: division by zero (net.py, line 3: `1 / 0`)"),
        ("import numpy as np\nnp.zeros(-1)\n", "(net.py, line 4: `np.zeros(-1)`)"),
        ("raise KeyError\n", "KeyError (net.py, line 3: `raise KeyError`)"),
    ],
)
def test_a_file_that_fails_shows_its_own_line(write, body, expected):
    message = error_of(write(net=body))
    assert message.startswith("'net.py' cannot be imported: ")
    assert expected in message
    assert "\n" not in message


def test_an_edited_file_is_loaded_and_quoted_anew(write):
    assert "line 3: `1 / 0`" in error_of(write(net="1 / 0"))
    assert "line 3: `int('one')`" in error_of(write(net="int('one')"))
    assert resolve(write(net=NET)).name == "Net"


def test_a_failing_neighbour_shows_the_neighbours_line(write):
    message = error_of(write(net="import broken_neighbour", broken_neighbour="1 / 0"))
    assert "(broken_neighbour.py, line 3: `1 / 0`)" in message


def test_a_file_that_ends_the_program_is_told_where_scripts_go(write):
    message = error_of(write(net="import sys\nsys.exit(3)\n"))
    assert "ended the program while it was imported: SystemExit: 3 (net.py, line 4" in message
    assert "if __name__ == '__main__':" in message


def test_errors_keep_their_cause(write):
    with pytest.raises(TargetError) as caught:
        resolve(write(net="1 / 0"))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_file_that_failed_leaves_no_module_behind(write):
    before = set(sys.modules)
    error_of(write(net="1 / 0"))
    assert set(sys.modules) == before


# ------------------------------------------------------------------------------ building that fails


def test_a_constructor_that_needs_arguments_shows_its_signature(write):
    wide = "class Wide(nn.Module):\n    def __init__(self, width, depth=3): pass\n"
    wide += "    def forward(self, x): return x\n"
    for text in ("net.py", "net.py:Wide"):
        write(net=wide)
        message = error_of(text)
        assert message.startswith("Wide in net.py needs arguments that were not given: width.")
        assert "(width, depth=3)" in message
        assert "-k width=VALUE" in message


def test_an_unknown_argument_is_answered_with_the_nearest_and_with_all(write):
    message = error_of(write(net=NET), {"widht": 3})
    assert message == (
        "Net in net.py takes no argument 'widht'. Did you mean 'width'? It accepts: width."
    )


def test_a_ready_network_takes_no_arguments(write):
    message = error_of(write(net=NET + "model = Net()"), {"width": 3})
    assert "model in net.py is a network that is built already" in message


def test_arguments_reach_the_factory(write):
    file = write(net=NET + "def build_model(**settings): return Net(**settings)")
    assert resolve(file, {"width": 9}).build().fc.out_features == 9


def test_a_factory_that_fails_shows_its_line(write):
    file = write(net="def build_model():\n    return nn.Linear(3)\n")
    message = error_of(file)
    assert message.startswith("build_model in net.py raised TypeError: ")
    assert "(net.py, line 4: `return nn.Linear(3)`)" in message


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ("None", "returned None; expected a torch.nn.Module: is its `return` missing?"),
        ("nn.Linear", "returned the class Linear (not an instance of it)"),
        ("(nn.Linear(1, 1), 3)", "returned a tuple of (Linear, int)"),
        ("'resnet'", "returned a str ('resnet')"),
    ],
)
def test_a_factory_that_returns_no_network_says_what_it_returned(write, returned, expected):
    message = error_of(write(net=f"def build_model(): return {returned}"))
    assert "build_model in net.py " + expected in message


# ------------------------------------------------------------------------------------ input size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("INPUT_SIZE = (3, 8, 8)", ((3, 8, 8),)),
        ("INPUT_SIZE = [[3, 8, 8], [10]]", ((3, 8, 8), (10,))),
        ("INPUT_SIZE = 784", ((784,),)),
        ("Net.INPUT_SIZE = (5,)\nINPUT_SIZE = (6,)", ((5,),)),
        ("Net.input_size = (5, 2)", ((5, 2),)),
        ("Net.default_cfg = {'input_size': (3, 9, 9)}", ((3, 9, 9),)),
        ("Net.pretrained_cfg = {'input_size': [3, 9, 9]}", ((3, 9, 9),)),
        ("Net.input_size = 28", None),  # the features of an RNN, the side of a picture, ...
        ("", None),
    ],
)
def test_the_input_size_is_read_where_it_is_declared(write, text, expected):
    assert resolve(write(net=NET + text)).input_size == expected


def test_an_instance_declares_its_input_size(write):
    file = write(net=NET + "model = Net()\nmodel.default_cfg = {'input_size': (3, 4, 4)}")
    assert resolve(file).input_size == ((3, 4, 4),)
    assert declared_input_size(resolve(file).build()) == ((3, 4, 4),)
    assert declared_input_size(nn.Linear(3, 4)) is None


@pytest.mark.parametrize("written", ["'3,8,8'", "(3, 0)", "(3, 8.5)", "[]", "((3, 8), 4)"])
def test_an_input_size_that_is_none_is_refused(write, written):
    assert "is no input size; expected positive integers without the batch" in error_of(
        write(net=NET + f"INPUT_SIZE = {written}")
    )


# ------------------------------------------------------------------------------ prepared networks


def test_every_reference_is_a_target_with_an_input_size():
    for reference in REFERENCES:
        target = resolve(f"ref:{reference.name}")
        assert (target.name, target.fresh) == (reference.name, True), reference.name
        assert target.input_size == (reference.input_size,), reference.name


def test_a_reference_is_built_with_its_arguments():
    network = resolve("ref:mlp").build()
    assert isinstance(network, nn.Module)
    assert "takes no argument 'nonsense'" in error_of("ref:mlp", {"nonsense": 1})


def test_an_unknown_reference_is_answered_with_the_nearest():
    assert "nf_resnet26" in error_of("ref:nf_resnet62")


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Put packages first on the import path, and what they hide back in place afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    hidden = _take_libraries()

    def put(name, text):
        path = tmp_path / name.replace(".", "/") / "__init__.py"
        path.parent.mkdir(parents=True)
        path.write_text(text)

    yield put
    _take_libraries()
    sys.modules.update(hidden)


def _take_libraries():
    names = [name for name in sys.modules if name.partition(".")[0] in ("timm", "torchvision")]
    return {name: sys.modules.pop(name) for name in names}


TIMM = (
    IMPORTS
    + NET
    + """
from types import SimpleNamespace
def list_models(): return ["resnet50", "vit_tiny"]
def create_model(name, pretrained=True, **arguments):
    assert not pretrained
    model = Net(**arguments)
    model.pretrained_cfg = {"input_size": (3, 96, 96)}
    return model
"""
)


def test_a_timm_model_is_built_without_weights(library):
    library("timm", TIMM)
    target = resolve("timm:resnet50", {"width": 6})
    assert target.name == "resnet50"
    network = target.build()
    assert network.fc.out_features == 6
    assert declared_input_size(network) == ((3, 96, 96),)


def test_timm_states_the_input_size_before_anything_is_built(library):
    configuration = "def get_pretrained_cfg(name): return SimpleNamespace(input_size=(3, 64, 64))"
    library("timm", TIMM + configuration)
    assert resolve("timm:vit_tiny.some_tag").input_size == ((3, 64, 64),)


def test_an_unknown_timm_model_is_answered_with_the_nearest(library):
    library("timm", TIMM)
    message = error_of("timm:resnet5")
    assert "timm has no model 'resnet5'. Did you mean 'resnet50'?" in message
    assert "timm.list_models() lists all 2 of them" in message
    assert "timm has no model 'hf-hub:org/net'" in error_of("timm:hf-hub:org/net")


def test_an_argument_that_timm_refuses_is_named(library):
    library("timm", TIMM)
    message = error_of("timm:resnet50", {"depht": 3})
    assert "timm:resnet50 cannot be built (arguments: depht=3): TypeError: " in message


@pytest.mark.parametrize("key", ["pretrained", "weights"])
def test_trained_weights_are_refused(key):
    message = error_of("timm:resnet50", {key: "DEFAULT"})
    assert f"{key}='DEFAULT' would download weights" in message


def test_a_broken_library_is_told_in_one_line_with_the_remedy(library):
    library("timm", "raise RuntimeError('operator torchvision::nms\\n  does not exist.')")
    message = error_of("timm:resnet50")
    assert message == (
        "timm:resnet50 needs timm, which fails to import: RuntimeError: operator "
        "torchvision::nms does not exist. Try: install torch and torchvision of one build, as by "
        "pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu"
    )


@pytest.mark.parametrize(
    ("torch_there", "wanted"),
    [
        ("2.13.0", "torch==2.13.0"),
        ("2.13.0+cpu", "torch==2.13.0+cpu --extra-index-url https://download.pytorch.org/whl/cpu"),
    ],
)
def test_a_missing_library_is_told_with_the_remedy_that_keeps_torch(
    torch_there, wanted, library, monkeypatch
):
    monkeypatch.setitem(sys.modules, "timm", None)  # as if it were not there
    monkeypatch.setattr("importlib.metadata.version", {"torch": torch_there}.__getitem__)
    assert error_of("timm:resnet50") == (
        "timm:resnet50 needs timm, which is not installed. "
        f"Try: pip install --upgrade timm torchvision {wanted}"
    )


@pytest.mark.parametrize("text", ["bert", "owner/network", "./checkpoint", ""])
def test_without_transformers_its_networks_say_what_to_install(text, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)  # as if it were not there
    assert error_of(f"hf:{text}") == (
        f"hf:{text} needs transformers, which is not installed. "
        "Try: pip install --upgrade 'sppkit[transformers]'"
    )


TORCHVISION = (
    IMPORTS
    + NET
    + """
def resnet50(*, weights="IMAGENET", progress=True, **arguments):
    assert weights is None
    return Net(**arguments)
def fasterrcnn(*, weights=None, weights_backbone="IMAGENET"):
    assert weights_backbone is None
    return Net()
fasterrcnn.__module__ = "torchvision.models.detection.faster_rcnn"
inception_v3 = resnet50
def list_models(): return ["resnet50", "fasterrcnn", "inception_v3"]
def get_model_builder(name): return globals()[name]
"""
)


def test_torchvision_models_are_built_without_weights_of_network_or_backbone(library):
    library("torchvision", "")
    library("torchvision.models", TORCHVISION)
    assert resolve("torchvision:resnet50", {"width": 5}).build().fc.out_features == 5
    assert isinstance(resolve("torchvision:fasterrcnn").build(), nn.Module)
    assert "Did you mean 'resnet50'?" in error_of("torchvision:resnet5")


def test_torchvision_classifiers_have_a_known_input_size(library):
    library("torchvision", "")
    library("torchvision.models", TORCHVISION)
    assert resolve("torchvision:resnet50").input_size == ((3, 224, 224),)
    assert resolve("torchvision:inception_v3").input_size == ((3, 299, 299),)
    assert resolve("torchvision:fasterrcnn").input_size is None


# ------------------------------------------------------------------------ arguments and exceptions


def test_argument_values_are_literals_or_else_texts():
    pairs = ["depth=3", "rate=1e-3", "sizes=[1, 2]", "bias=false", "act=relu", "norm=none", "x=a=b"]
    assert parse_arguments(pairs) == {
        "depth": 3,
        "rate": 1e-3,
        "sizes": [1, 2],
        "bias": False,  # the text "false" would be true
        "act": "relu",
        "norm": "none",
        "x": "a=b",
    }


def test_an_argument_value_that_is_bad_python_is_a_text_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_arguments([r"path=\d", "n=1if"]) == {"path": r"\d", "n": "1if"}


@pytest.mark.parametrize("pairs", [["depth"], ["=3"], ["my depth=3"], ["depth=3", "depth=4"]])
def test_an_argument_that_is_no_pair_or_given_twice_is_refused(pairs):
    with pytest.raises(TargetError, match="-k"):
        parse_arguments(pairs)


def test_an_exception_is_described_with_the_deepest_line_of_the_users_code(write, tmp_path):
    failing = NET.replace("self.fc(x)", "self.fc(x[:, :2])")
    network = resolve(write(net=failing)).build()
    with pytest.raises(RuntimeError) as caught:
        network(torch.ones(1, 3))
    described = describe_exception(caught.value, tmp_path / "net.py")
    assert described.startswith("RuntimeError: mat1 and mat2 shapes cannot be multiplied")
    assert described.endswith("(net.py, line 10: `return self.fc(x[:, :2])`)")
    assert "line" not in describe_exception(caught.value, None)


def test_a_description_stays_one_line_of_bounded_length():
    described = describe_exception(ValueError("first\n  second " + "x" * 10_000))
    assert described.startswith("ValueError: first second xxx")
    assert len(described) < 500


def test_an_import_that_fails_when_a_class_is_asked_for_says_what_to_install():
    from sppkit.targets.libraries import importing

    def ask():
        with importing("transformers", "hf:gpt2"):
            try:
                raise RuntimeError("operator torchvision::nms does not exist")
            except RuntimeError as error:
                raise ModuleNotFoundError("Could not import module 'GPT2Model'") from error

    with pytest.raises(TargetError, match=r"hf:gpt2 needs transformers.*GPT2Model.*of one build"):
        ask()
