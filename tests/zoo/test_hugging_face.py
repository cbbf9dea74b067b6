"""Networks of transformers by their configuration: found, built offline, and fed by themselves."""

import importlib.util
import json
import sys
from contextlib import suppress

import pytest
import torch

import sppkit
from sppkit.inputs import Tokens
from sppkit.targets import resolve
from tests.cli.conftest import contents, folder, spp  # noqa: F401  (fixtures)
from tests.test_targets import error_of
from tests.zoo.of_transformers import NETWORKS
from tests.zoo.torchvision_shim import import_torchvision

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None,
    reason="transformers is not installed: pip install -c constraints.txt -e '.[zoo]'",
)

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TINY_BERT = {**TINY, "intermediate_size": 24, "vocab_size": 60}
TINY_VIT = {**TINY, "intermediate_size": 24, "image_size": 16, "patch_size": 8, "num_channels": 1}


@pytest.fixture(autouse=True)
def transformers(monkeypatch, tmp_path):
    """The library, with an empty cache of the hub, in a folder of its own."""
    with suppress(ModuleNotFoundError):  # half of torchvision is worse than none
        import_torchvision()
    import transformers
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return transformers


@pytest.fixture
def checkpoint(tmp_path):
    """Write a config.json into a folder and return its name."""

    def write(name="checkpoint", **fields):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        text = fields.pop("text", None) or json.dumps(fields)
        (tmp_path / name / "config.json").write_text(text)
        return name

    return write


# --------------------------------------------------------------------------- what names a network


def test_a_model_type_is_its_default_configuration_changed_by_arguments(transformers):
    target = resolve("hf:bert", TINY_BERT)
    network = target.build()
    assert target.name == "bert"
    assert target.origin == "hf:bert"
    assert type(network) is transformers.BertModel
    assert len(network.encoder.layer) == 2
    assert network.config.max_position_embeddings == 512


def test_weights_are_random_and_those_of_the_seed(transformers):
    def weights(seed):
        torch.manual_seed(seed)
        return resolve("hf:bert", TINY_BERT).build().pooler.dense.weight

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))
    torch.manual_seed(0)
    theirs = transformers.BertModel(transformers.BertConfig(**TINY_BERT, use_cache=False))
    assert torch.equal(weights(0), theirs.pooler.dense.weight)


def test_names_that_all_models_share_are_fields_too():
    network = resolve("hf:gpt2", {"num_hidden_layers": 3, "n_embd": 24, "n_head": 2}).build()
    assert len(network.h) == 3


def test_a_folder_is_its_config_json_and_its_architecture(checkpoint, transformers):
    architectures = ["BertForMaskedLM"]
    name = checkpoint("runs/step-9", model_type="bert", architectures=architectures, **TINY_BERT)
    for text in (name, f"{name}/config.json", f"./{name}/"):
        target = resolve(f"hf:{text}")
        assert target.name == "step-9"
        assert target.origin == f"hf:{text}"
        assert type(target.build()) is transformers.BertForMaskedLM
    other = resolve(f"hf:{name}", {"architectures": "BertForTokenClassification", "num_labels": 3})
    assert other.build().classifier.out_features == 3


def test_a_file_of_another_name_is_the_name_of_its_run(checkpoint, tmp_path):
    (tmp_path / checkpoint(model_type="vit", **TINY_VIT) / "config.json").rename("small.json")
    assert resolve("hf:small.json").name == "small"


def test_a_folder_comes_before_a_model_type_of_its_name(checkpoint, transformers):
    checkpoint("bert", model_type="vit", **TINY_VIT)
    assert type(resolve("hf:bert").build()) is transformers.ViTModel


def test_an_inner_configuration_is_changed_by_a_dict(transformers):
    inner = {"text_config": TINY_BERT, "vision_config": {**TINY_VIT, "num_channels": 3}}
    network = resolve("hf:clip", inner).build()
    assert type(network) is transformers.CLIPModel
    assert network.config.text_config.hidden_size == 16
    assert network.config.text_config.max_position_embeddings == 77  # its own default


def test_fields_of_an_inner_configuration_of_a_file_are_kept(checkpoint):
    text = {**TINY_BERT, "num_hidden_layers": 5}
    name = checkpoint(model_type="clip", text_config=text, vision_config=TINY_VIT)
    network = resolve(f"hf:{name}", {"text_config": {"num_hidden_layers": 1}}).build()
    assert network.config.text_config.num_hidden_layers == 1
    assert network.config.text_config.vocab_size == 60


def test_a_name_of_the_hub_is_read_from_the_local_cache_alone(tmp_path):
    repository = tmp_path / "cache" / "models--owner--net"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    (snapshot / "config.json").write_text(json.dumps({"model_type": "bert", **TINY_BERT}))
    target = resolve("hf:owner/net")
    assert target.name == "net"
    assert target.build().config.hidden_size == 16


def test_a_network_without_a_base_model_is_that_of_its_task(transformers):
    assert not resolve("hf:bert", TINY_BERT).lacking
    from sppkit.targets.hugging_face import find_stated, make_configuration, network_class

    stated = find_stated("depth_anything")
    found = network_class(make_configuration(stated, {}), stated.origin)
    assert found is transformers.DepthAnythingForDepthEstimation


# ----------------------------------------------------------------------- what a file may not bring


def test_float32_without_a_cache_whatever_the_checkpoint_was_kept_in(checkpoint):
    kept = {"torch_dtype": "bfloat16", "quantization_config": {"quant_method": "gptq", "bits": 4}}
    name = checkpoint(model_type="llama", **TINY_BERT, **kept, use_cache=True)
    network = resolve(f"hf:{name}").build()
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert network.config.use_cache is False
    assert getattr(network.config, "quantization_config", None) is None
    assert resolve(f"hf:{name}", {"use_cache": True}).build().config.use_cache is True


def test_a_pretrained_backbone_is_switched_off_at_every_depth():
    from sppkit.targets.hugging_face.configuration import _without_weights

    inner = [{"use_pretrained_backbone": True, "depth": 2}]
    assert _without_weights({"parts": inner, "dtype": "float16"}) == {
        "parts": [{"use_pretrained_backbone": False, "depth": 2}]
    }


def test_no_request_is_made_while_a_network_is_built(monkeypatch, transformers):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    seen = []

    class Asks(transformers.BertModel):
        def __init__(self, configuration):
            super().__init__(configuration)
            seen.append(constants.HF_HUB_OFFLINE)
            with pytest.raises(OSError, match=r"[Oo]ffline|local|cache"):
                transformers.AutoConfig.from_pretrained("owner/other")

    from sppkit.targets.hugging_face import build_network

    build_network(Asks, transformers.BertConfig(**TINY_BERT))
    assert seen == [True]
    assert constants.HF_HUB_OFFLINE is False


# ------------------------------------------------------------------------------------ its errors


def test_an_unknown_name_is_answered_with_the_nearest_and_the_next_step():
    message = error_of("hf:brt")
    assert "hf:brt is unknown: no folder here, none of the " in message
    assert "Did you mean 'bert'?" in message
    assert "hf download brt config.json" in message


def test_a_name_that_is_not_in_the_cache_says_how_to_get_it():
    assert error_of("hf:owner/net") == (
        "hf:owner/net is no folder here, and its config.json is not in the local cache. sppkit "
        "downloads nothing: fetch it once with `hf download owner/net config.json`, then try again."
    )


@pytest.mark.parametrize("text", ["./nowhere", "nowhere.json", "~/nowhere", ""])
def test_a_path_that_does_not_exist_is_not_taken_for_a_name(text):
    assert f"hf:{text} does not exist. Expected a folder with a config.json" in error_of(
        f"hf:{text}"
    )


def test_a_folder_without_a_configuration_says_what_is_there(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").touch()
    message = error_of("hf:run")
    assert "hf:run is a folder without a config.json; there is: model.safetensors" in message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": "{"}, "cannot be read as JSON: Expecting property name"),
        ({"text": "[1]"}, "holds a list; expected the object that transformers saves"),
        ({"hidden_size": 3}, "names no model_type"),
        ({"model_type": "brt"}, "of the model_type 'brt', which this transformers does not know. "),
        (
            {"model_type": "own", "auto_map": {"AutoConfig": "configuration_own.OwnConfig"}},
            "whose code comes with it (auto_map: configuration_own.OwnConfig). sppkit runs no such",
        ),
        (
            {
                "model_type": "bert",
                "architectures": ["OwnModel"],
                "auto_map": {"AutoModel": "modeling_own.OwnModel"},
            },
            "is a OwnModel, whose code comes with it (auto_map: modeling_own.OwnModel)",
        ),
        (
            {"model_type": "bert", "architectures": ["BertForMaskedL"]},
            "does not have. Did you mean 'BertForMaskedLM'?",
        ),
        ({"model_type": "bert", "num_hidden_layers": "two"}, "Field 'num_hidden_layers' expected"),
    ],
)
def test_a_file_that_is_no_configuration_says_why(checkpoint, fields, message):
    assert message in error_of(f"hf:{checkpoint(**fields)}")


def test_code_beside_a_configuration_is_never_run(checkpoint, tmp_path):
    name = checkpoint(model_type="bert", auto_map={"AutoModel": "modeling_own.Own"}, **TINY_BERT)
    (tmp_path / name / "modeling_own.py").write_text("raise SystemExit('it was run')\n")
    path = list(sys.path)
    assert resolve(f"hf:{name}").build().config.hidden_size == 16  # the library's own BERT
    message = error_of(f"hf:{name}", {"trust_remote_code": True})
    assert "with trust_remote_code=True would run Python code that comes with the" in message
    assert sys.path == path


@pytest.mark.parametrize("key", ["pretrained", "weights"])
def test_trained_weights_are_refused(key):
    assert f"hf:bert with {key}=True would download weights" in error_of("hf:bert", {key: True})


def test_a_field_that_does_not_exist_is_answered_with_the_nearest():
    message = error_of("hf:bert", {"num_hiden_layers": 2})
    assert "hf:bert has no field 'num_hiden_layers'. Did you mean 'num_hidden_layers'?" in message
    assert "random weights are in float32" in error_of("hf:bert", {"dtype": "float16"})


def test_a_value_that_the_library_refuses_is_told_in_one_line():
    message = error_of("hf:bert", {**TINY_BERT, "num_attention_heads": 5})
    assert "(arguments: hidden_size=16, num_hidden_layers=2, num_attention_heads=5" in message
    assert "multiple" in message
    assert "\n" not in message


def test_what_cannot_fit_is_refused_before_it_is_built():
    message = error_of("hf:llama", {"hidden_size": 40_960, "num_attention_heads": 32})
    assert "GiB with their gradients, and this machine has" in message
    assert "-k num_hidden_layers=4" in message


# ------------------------------------------------------------------------------------- its inputs


@pytest.mark.parametrize(
    ("text", "arguments", "sizes"),
    [
        ("bert", TINY_BERT, {"input_ids": (32,)}),
        ("bert", {**TINY_BERT, "max_position_embeddings": 20}, {"input_ids": (10,)}),
        ("vit", TINY_VIT, {"pixel_values": (1, 16, 16)}),
        ("resnet", {"depths": [1, 1, 1, 1]}, {"pixel_values": (3, 224, 224)}),
        ("t5", {"num_layers": 1}, {"input_ids": (32,), "decoder_input_ids": (32,)}),
        (
            "whisper",
            {"encoder_layers": 1, "decoder_layers": 1},
            {"input_features": (80, 3000), "decoder_input_ids": (32,)},
        ),
        ("wav2vec2", {"num_hidden_layers": 1}, {"input_values": (16_000,)}),
        ("audio-spectrogram-transformer", {}, {"input_values": (1024, 128)}),
        ("videomae", {"num_hidden_layers": 1}, {"pixel_values": (16, 3, 224, 224)}),
        ("vjepa2", {}, {"pixel_values_videos": (64, 3, 256, 256)}),
        ("clip", {}, {"input_ids": (32,), "pixel_values": (3, 224, 224)}),
        ("encodec", {}, {"input_values": (1, 24_000)}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_inputs_are_inferred_from_the_library(text, arguments, sizes):
    found = resolve(f"hf:{text}", arguments).input_size
    assert {n: s.size if isinstance(s, Tokens) else s for n, s in found.items()} == sizes


def test_tokens_with_a_meaning_are_not_drawn():
    tokens = resolve("hf:bart").input_size["input_ids"]
    assert tokens.vocabulary == 50_265
    assert tokens.besides == {0, 1, 2}


def test_a_language_model_that_takes_pictures_in_place_of_tokens_has_its_text_alone():
    target = resolve("hf:llava")
    assert list(target.input_size) == ["input_ids"]
    padding = {"pad_token_id": 7, "vocab_size": 40_000}
    tokens = resolve("hf:llava", {"text_config": padding}).input_size["input_ids"]
    assert tokens.vocabulary == 40_000
    assert tokens.besides >= {7, 32_000}  # 32,000 is where a picture goes


def test_what_cannot_be_inferred_is_named():
    target = resolve("hf:perceiver")
    assert target.input_size is None
    assert target.lacking == ("inputs",)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_the_zoo_is_fed_from_its_configuration(name, checkpoint, transformers):
    """The inputs that are inferred are such as the network takes."""
    kind, configuration, arguments, _ = NETWORKS[name]
    model_type = getattr(transformers, configuration).model_type
    stated = checkpoint(model_type=model_type, architectures=[kind], **arguments)
    target = resolve(f"hf:{stated}")
    recording = sppkit.probe(
        target.build, input_size=target.input_size, seeds=1, batch_size=2, run=name
    )
    table = recording.table()
    assert len(table.query("signal == 'activation'")) > 10
    assert len(table.query("signal == 'gradient'")) > 10


# ------------------------------------------------------------------------------ the command line


def test_it_is_plotted_without_further_flags(spp, folder):  # noqa: F811
    tiny = ("-k", "n_layer=2", "-k", "n_embd=16", "-k", "n_head=2")
    result = spp("plot", "hf:gpt2", *tiny, "--seeds", "1", writes=["gpt2-spp.png"])
    assert ["depth", "2", "blocks"] in [line.split() for line in result.stdout.splitlines()]
    assert "gpt2-spp.png" in {path.name for path in contents(folder)}


def test_sizes_and_vocabulary_may_be_changed(spp, folder):  # noqa: F811
    flags = [flag for key, value in TINY_BERT.items() for flag in ("-k", f"{key}={value}")]
    spp(
        "plot",
        "hf:bert",
        *flags,
        "-s",
        "7",
        "--vocab",
        "9",
        "--seeds",
        "1",
        "--save-recording",
        "b.parquet",
    )
    recording = sppkit.read(folder / "b.parquet")
    assert recording.metadata["bert"]["input_shapes"] == [[16, 7]]
    assert "uniform tokens of a vocabulary of 9" in recording.metadata["bert"]["input"]
    result = spp("plot", "hf:bert", *flags, "-s", "7", "-s", "3", code=2)
    assert "hf:bert takes 1 inputs (input_ids), and 2 sizes were given" in result.stderr


def test_a_classifier_of_pictures_is_checked(spp):  # noqa: F811
    flags = [flag for key, value in TINY_VIT.items() for flag in ("-k", f"{key}={value}")]
    classes = ("-k", "architectures=ViTForImageClassification", "-k", "num_labels=10")
    result = spp("check", "hf:vit", *flags, *classes, "--input", "digits", "--seeds", "2")
    assert "hf:vit: pass (" in result.stdout


def test_what_nothing_tells_the_size_of_is_asked_for(spp):  # noqa: F811
    result = spp("plot", "hf:perceiver", code=2)
    assert "the forward of hf:perceiver needs inputs, whose size its configuration" in result.stderr
    assert "--example-input module.py:function" in result.stderr
