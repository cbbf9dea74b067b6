"""`sppkit.probe`: seeds, conditions, and what it says when a model cannot be run."""

import numpy as np
import pytest
import torch
from torch import nn

import sppkit
from sppkit import inputs
from sppkit.errors import ProbeError
from sppkit.probing.measurement import MOST_VALUES, _default_batch_size
from tests.cases import DictOutput, PostActivationResNet, Tokens


def table_of(*arguments, **options):
    return sppkit.probe(*arguments, **options).table()


def test_a_factory_gets_new_weights_with_every_seed_and_the_same_with_the_same():
    one = table_of(lambda: nn.Linear(8, 8), input_size=(8,), seeds=3)
    two = table_of(lambda: nn.Linear(8, 8), input_size=(8,), seeds=3)
    weights = one.query("signal == 'weight' and tensor == 'weight'")["variance"]
    assert weights.nunique() == 3
    assert one["variance"].equals(two["variance"])


def test_an_instance_keeps_its_weights_and_the_recording_says_so():
    recording = sppkit.probe(nn.Linear(8, 8), input_size=(8,), seeds=3)
    table = recording.table()
    assert table.query("signal == 'weight' and tensor == 'weight'")["variance"].nunique() == 1
    assert table.query("signal == 'activation'")["variance"].nunique() == 3
    assert recording.metadata["Linear"]["weights"] == "the same for all seeds"


def test_a_row_does_not_depend_on_how_many_seeds_were_probed():
    few = table_of(lambda: nn.Linear(8, 8), input_size=(8,), seeds=1, seed=4)
    many = table_of(lambda: nn.Linear(8, 8), input_size=(8,), seeds=3, seed=3)
    assert few["variance"].tolist() == many[many["seed"] == 4]["variance"].tolist()


def test_weights_input_and_cotangent_are_drawn_from_different_numbers():
    from sppkit.probing.losses import random_stream

    torch.manual_seed(3)
    streams = {"weights": torch.randn(1000)}
    for purpose in ("input", "cotangent", "labels"):
        streams[purpose] = torch.randn(1000, generator=random_stream(3, purpose))
    correlations = torch.corrcoef(torch.stack(list(streams.values()))) - torch.eye(4)
    assert correlations.abs().max() < 5 / 1000**0.5


def test_the_cotangent_of_the_unit_gradient_has_variance_one():
    table = table_of(nn.Sequential(nn.Linear(64, 256)), input_size=(64,), batch_size=64, seeds=1)
    row = table.query("signal == 'gradient' and layer == '0'").iloc[0]
    assert row["second_moment"] == pytest.approx(1.0, abs=4 * np.sqrt(2 / (64 * 256)))


def test_the_gradient_of_a_linear_chain_is_that_of_theory():
    """E[g²] at the first of two linear layers is fan_out x Var(w) = 1 under a unit cotangent."""

    def build():
        model = nn.Sequential(nn.Linear(256, 256, bias=False), nn.Linear(256, 256, bias=False))
        for layer in model:
            nn.init.normal_(layer.weight, std=256**-0.5)
        return model

    table = table_of(build, input_size=(256,), batch_size=64, seeds=3)
    moments = table.query("signal == 'gradient' and layer == '0'")["second_moment"]
    assert moments.mean() == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("output", ["vectors", "tokens", "maps"])
def test_cross_entropy_is_the_mean_over_samples(output):
    layers = {"vectors": nn.Linear(8, 5), "tokens": nn.Linear(8, 5), "maps": nn.Conv2d(8, 5, 1)}
    sizes = {"vectors": (8,), "tokens": (7, 8), "maps": (8, 4, 4)}
    model = nn.Sequential(layers[output])
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    table = table_of(model, input_size=sizes[output], loss="cross-entropy", batch_size=4, seeds=1)
    row = table.query("signal == 'gradient' and layer == '0'").iloc[0]
    predictions = {"vectors": 4, "tokens": 4 * 7, "maps": 4 * 16}[output]
    expected = ((1 - 1 / 5) ** 2 + 4 * (1 / 5) ** 2) / 5 / predictions**2
    assert row["second_moment"] == pytest.approx(expected, rel=1e-5)


def test_the_loss_may_be_a_function():
    def squares(output, labels):
        assert labels is None
        return output.pow(2).sum() / 2

    model = nn.Sequential(nn.Linear(8, 5))
    table = table_of(model, input_size=(8,), loss=squares, seeds=1)
    rows = table[table["layer"] == "0"].set_index("signal")
    assert rows.loc["gradient", "second_moment"] == pytest.approx(
        rows.loc["activation", "second_moment"], rel=1e-6
    )


def test_digits_bring_their_labels_to_the_loss():
    seen = []

    def loss(output, labels):
        seen.append(labels)
        return output.sum()

    sppkit.probe(nn.Linear(64, 10), input_size=(64,), input="digits", loss=loss, seeds=1)
    assert seen[0].dtype == torch.int64
    assert set(seen[0].tolist()) <= set(range(10))


def test_two_inputs_are_two_sizes():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.f = nn.Bilinear(3, 4, 5)

        def forward(self, a, b):
            return self.f(a, b)

    recording = sppkit.probe(Two, input_size=((3,), (4,)), seeds=1)
    assert recording.metadata["Two"]["input_shapes"] == [[16, 3], [16, 4]]


class TaggedTokens(nn.Module):
    """Takes its inputs by keyword alone."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(50, 8), nn.Linear(8, 5)

    def forward(self, *, ids, scale):
        return self.head(self.embedding(ids) * scale)


def test_inputs_by_name_are_drawn_anew_with_every_seed_and_resized_to_the_batch():
    sizes = {"ids": inputs.Tokens((6,), 50), "scale": (6, 1)}
    recording = sppkit.probe(TaggedTokens, input_size=sizes, seeds=3, batch_size=4)
    head = recording.table().query("layer == 'head' and signal == 'activation'")
    assert head["variance"].nunique() == 3
    assert head["samples"].unique().tolist() == [4 * 6]
    metadata = recording.metadata["TaggedTokens"]
    assert metadata["input_shapes"] == [[4, 6], [4, 6, 1]]
    assert "uniform tokens of a vocabulary of 50 (ids)" in metadata["input"]
    assert sppkit.check(TaggedTokens, input_size=sizes, seeds=2).observed


def test_named_sizes_must_be_whole_numbers():
    with pytest.raises(ValueError, match=r"\{'scale': \(6, 0\)\} must hold positive whole"):
        sppkit.probe(TaggedTokens, input_size={"scale": (6, 0)})


@pytest.mark.parametrize(
    "given",
    [
        torch.randn(5, 8),
        (torch.randn(5, 8),),
        {"x": torch.randn(5, 8)},
        lambda: torch.randn(5, 8),
    ],
    ids=["tensor", "tuple", "dict", "function"],
)
def test_the_input_may_be_handed_over(given):
    recording = sppkit.probe(DictOutput(), input=given, seeds=1)
    assert recording.metadata["DictOutput"]["batch_size"] == 5


def test_tokens_need_a_vocabulary_and_the_error_says_so():
    with pytest.raises(ProbeError, match="input_dtype='int' with vocabulary=SIZE"):
        sppkit.probe(Tokens, input_size=(5,))
    recording = sppkit.probe(Tokens, input_size=(5,), input_dtype="int", vocabulary=11, seeds=1)
    assert (recording.table()["signal"] == "gradient").any()


def test_a_wrong_input_size_shows_what_the_model_said_and_what_was_tried():
    with pytest.raises(ProbeError) as caught:
        sppkit.probe(PostActivationResNet, input_size=(4, 16, 16))
    text = str(caught.value)
    assert "expected input[2, 4, 16, 16] to have 3 channels" in text
    assert "gaussian noise, shape (2, 4, 16, 16) float32" in text
    assert "input_size=" in text
    assert "cases.py, line" in text


def test_no_input_size_is_a_clear_error():
    with pytest.raises(ProbeError, match="needs a size, and none is known"):
        sppkit.probe(PostActivationResNet)


def test_an_output_without_a_tensor_is_a_clear_error():
    class Mute(nn.Module):
        def forward(self, x):
            return "done"

    with pytest.raises(ProbeError, match="returned str, which holds no tensor"):
        sppkit.probe(Mute, input_size=(3,))


def test_a_factory_that_builds_no_module_is_a_clear_error():
    with pytest.raises(ProbeError, match=r"returned int; expected a torch\.nn\.Module"):
        sppkit.probe(lambda: 3, input_size=(3,))


def test_a_failing_loss_is_a_clear_error():
    def broken(output, labels):
        raise ZeroDivisionError("no")

    with pytest.raises(ProbeError, match="under the loss broken failed: ZeroDivisionError: no"):
        sppkit.probe(nn.Linear(3, 3), input_size=(3,), loss=broken, seeds=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds=0 must be 1 or more"),
        ({"seed": -1}, "seed=-1 must be 0 or more"),
        ({"batch_size": 0}, "batch_size=0 must be 1 or more"),
        ({"device": "gpu"}, "device='gpu' cannot be used here"),
        ({"mode": "test"}, "mode='test' must be 'train' or 'eval'"),
        ({"amp": "fp8"}, "amp='fp8' must be one of"),
        ({"loss": "mse"}, "loss='mse' must be one of"),
        ({"input_size": (3, -1)}, "must hold positive whole numbers"),
        ({"include": "nothing.*"}, "include='nothing.*' matched no layer"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message.replace("*", r"\*")):
        sppkit.probe(nn.Sequential(nn.Linear(3, 3)), **{"input_size": (3,), **options})


def test_the_default_batch_is_sixteen_and_smaller_for_large_networks():
    assert _default_batch_size(1000) == 16
    assert _default_batch_size(MOST_VALUES // 8) == 8
    assert _default_batch_size(10 * MOST_VALUES) == 2
    recording = sppkit.probe(nn.Linear(3, 3), input_size=(3,), seeds=1)
    assert recording.metadata["Linear"]["batch_size"] == 16


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_autocast_is_recorded_in_the_dtype_it_ran_in(amp):
    table = table_of(nn.Sequential(nn.Linear(8, 8)), input_size=(8,), amp=amp, seeds=1)
    row = table.query("signal == 'activation' and layer == '0'").iloc[0]
    assert row["dtype"] == {"bf16": "bfloat16", "fp16": "float16"}[amp]


def test_eval_mode_uses_running_statistics():
    model = nn.Sequential(nn.BatchNorm1d(4))
    model[0].running_var.fill_(4.0)
    table = table_of(model, input_size=(4,), mode="eval", batch_size=512, seeds=1)
    row = table.query("signal == 'activation' and layer == '0'").iloc[0]
    assert row["variance"] == pytest.approx(0.25, rel=0.1)
    assert model.training


def test_extended_statistics_are_in_every_probe():
    table = table_of(nn.Sequential(nn.Linear(64, 512)), input_size=(64,), seeds=1, batch_size=64)
    row = table.query("signal == 'activation' and layer == '0'").iloc[0]
    assert row["kurtosis"] == pytest.approx(3, abs=0.2)
    assert row["mean_absolute"] == pytest.approx((2 / np.pi * row["variance"]) ** 0.5, rel=0.05)


def test_a_model_without_parameters_has_activations_and_says_why_no_more():
    recording = sppkit.probe(nn.Sequential(nn.Flatten(), nn.ReLU()), input_size=(3, 4), seeds=1)
    assert set(recording.table()["signal"]) == {"activation"}
    assert any("does not require a gradient" in m.reason for m in recording.not_captured)


def test_progress_is_told_seed_by_seed():
    seen = []
    sppkit.probe(nn.Linear(3, 3), input_size=(3,), seeds=3, seed=7, on_seed=seen.append)
    assert seen == [7, 8, 9]


def test_gains_at_one_show_the_branches_and_the_plot_says_so():
    from sppkit.models import build

    silent = sppkit.probe(lambda: build("nf_resnet20"), input_size=(3, 16, 16), seeds=1, run="nf")
    active = sppkit.probe(
        lambda: build("nf_resnet20"), input_size=(3, 16, 16), seeds=2, run="nf", activate=True
    )
    assert len(silent.metadata["nf"]["silent_residual_gains"]) == 9
    assert len(active.metadata["nf"]["silent_residual_gains"]) == 9
    footer = sppkit.plot_signal_propagation(active).get_supxlabel()
    assert "9 residual gains set from zero to one" in footer
    gradients = active.table().query("signal == 'gradient' and tap == 'residual branch'")
    assert (gradients["second_moment"] > 0).all()


def test_a_factory_that_fails_is_a_clear_error():
    with pytest.raises(ProbeError, match=r"building model failed: TypeError: .*'d'"):
        sppkit.probe(lambda d: nn.Linear(d, d), input_size=(3,))


def test_one_number_is_an_input_size():
    recording = sppkit.probe(nn.Linear(3, 3), input_size=3, seeds=1)
    assert recording.metadata["Linear"]["input_shapes"] == [[16, 3]]


def test_padding_is_left_out_of_a_probe():
    """Padded tokens are rows of zeros, which a normalisation in front makes steep."""

    def build():
        embedding = nn.Embedding(11, 8, padding_idx=0)
        return nn.Sequential(embedding, nn.LayerNorm(8), nn.Linear(8, 4))

    tokens = torch.tensor([[3, 4, 5, 0, 0], [6, 7, 0, 0, 0]])
    read = {}
    for name, mask in (("all", None), ("real", lambda tokens: tokens != 0)):
        recording = sppkit.probe(build, input=tokens, seeds=1, mask=mask)
        rows = recording.table().query("signal == 'gradient' and layer == '0'")
        read[name] = (rows["samples"].item(), rows["second_moment"].item())
    assert (read["all"][0], read["real"][0]) == (10, 5)
    assert read["all"][1] > 100 * read["real"][1]


def test_the_line_of_a_failure_is_never_one_of_torch():
    with pytest.raises(ProbeError) as caught:
        sppkit.probe(nn.Sequential(nn.Linear(3, 3)), input_size=4)
    assert "cannot be multiplied" in str(caught.value)
    assert "linear.py" not in str(caught.value)


def test_a_function_that_builds_another_network_for_another_seed_is_a_clear_error():
    def build():
        depth = 1 + torch.initial_seed() % 3
        return nn.Sequential(*(nn.Linear(3, 3) for _ in range(depth)))

    message = r"for seed 1 the function builds another network.*1 modules are in one .* such as '1'"
    with pytest.raises(ProbeError, match=message):
        sppkit.probe(build, input_size=(3,), seeds=2)


def test_a_function_that_ignores_the_seed_is_said_to_give_the_same_weights():
    def build():
        torch.manual_seed(0)
        return nn.Linear(3, 3)

    metadata = sppkit.probe(build, input_size=(3,), seeds=2, run="net").metadata["net"]
    assert metadata["weights"] == "the same for all seeds"
    assert any("the same weights for every seed" in remark for remark in metadata["remarks"])
    assert sppkit.probe(build, input_size=(3,), seeds=1, run="net").metadata["net"]["weights"] == (
        "new for each seed"
    )


def test_lazy_networks_get_new_weights_with_every_seed():
    def build():
        return nn.Sequential(nn.LazyLinear(4), nn.ReLU())

    recording = sppkit.probe(build, input_size=(3,), seeds=2, run="net")
    assert recording.metadata["net"]["weights"] == "new for each seed"


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_weights_of_another_type_are_told_the_input_they_need(kind):
    name = str(kind).removeprefix("torch.")
    for layer, size in ((nn.Linear(4, 4), (4,)), (nn.Conv2d(3, 4, 3), (3, 8, 8))):
        with pytest.raises(ProbeError, match=f"weights are {name}: .*input_dtype='{name}'"):
            sppkit.probe(layer.to(kind), input_size=size, seeds=1)
        recording = sppkit.probe(layer.to(kind), input_size=size, seeds=1, input_dtype=name)
        assert set(recording.table()["dtype"]) == {name}


@pytest.mark.parametrize("measure", [sppkit.probe, sppkit.check])
def test_a_model_without_values_is_a_clear_error(measure):
    def build():
        return nn.Linear(4, 4, device="meta")

    for model in (build, build()):
        with pytest.raises(ProbeError, match=r"Linear is on the meta device.*\.to_empty"):
            measure(model, input_size=(4,), seeds=1)
