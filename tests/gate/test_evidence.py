"""The recording that a check judges: two probes of every seed, and what is known of the seeds."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import sppkit
from sppkit.errors import ProbeError
from sppkit.gate import record_evidence
from sppkit.gate.evidence import EvidenceProbe
from sppkit.table import KEY
from tests.capture.test_left_as_found import all_hooks, randomness, state_of
from tests.cases import CASES, DictOutput, PostActivationResNet, Tokens

CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def small():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 5))


def evidence_of(model=small, **options):
    recording = record_evidence(model, **{"input_size": (8,), "seeds": 2, "run": "net", **options})
    return recording.table(), recording.metadata["net"]


@CASE
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_an_instance_is_left_exactly_as_it_was(case, mode):
    model, given = case.build().train(), case.inputs()
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter) if parameter.requires_grad else None
    before, random_before = state_of(model), randomness()
    recording = record_evidence(model, input=given, seeds=2, mode=mode)
    assert state_of(model) == before
    assert randomness() == random_before
    assert not all_hooks(model)
    assert not recording.table().duplicated(list(KEY)).any()


def test_both_probes_are_in_one_run_with_the_signals_that_each_is_for():
    table, metadata = evidence_of()
    signals = table.groupby("phase", observed=True)["signal"].agg(lambda s: sorted(set(s)))
    assert signals["probe"] == ["activation", "gradient", "weight"]
    assert signals["loss"] == ["gradient", "weight gradient"]
    assert sorted(table["seed"].unique()) == metadata["seeds"] == [0, 1]
    ratios = table.query("signal == 'weight gradient'")["norm_to_weight_ratio"]
    assert ratios.notna().all()


def test_the_probe_is_the_one_that_sppkit_probe_makes():
    """Activations and gradients of the unit gradient are those of a probe, to the bit."""
    table, _ = evidence_of()
    plain = sppkit.probe(small, input_size=(8,), seeds=2, run="net").table()
    for signal in ("activation", "gradient"):
        ours = table[(table["phase"] == "probe") & (table["signal"] == signal)]["second_moment"]
        theirs = plain[plain["signal"] == signal]["second_moment"]
        assert len(ours) > 0
        assert ours.tolist() == theirs.tolist()


def test_gradients_of_the_loss_pass_are_those_of_cross_entropy():
    """At zero logits the gradient is (p - onehot)/N with p = 1/C."""

    class Silent(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 5)

        def forward(self, x):
            return 0 * self.layer(x)

    table, metadata = evidence_of(Silent, batch_size=4)
    rows = table.query("phase == 'loss' and signal == 'gradient' and layer == ''")
    expected = ((1 - 1 / 5) ** 2 + 4 * (1 / 5) ** 2) / 5 / 4**2
    assert rows["second_moment"].tolist() == pytest.approx([expected] * 2, rel=1e-5)
    assert metadata["loss"]["values"] == pytest.approx({"0": math.log(5), "1": math.log(5)})
    assert metadata["loss"]["chance"] == pytest.approx(math.log(5))


def test_the_second_pass_adds_nothing_to_the_gradients_of_the_first():
    """The weight gradient is that of the loss alone: compared with a plain backward pass."""
    model = small()
    x = torch.randn(6, 8)
    table, _ = evidence_of(model, input=x, seeds=1, loss=lambda y, _: y.pow(2).mean())
    model(x).pow(2).mean().backward()
    row = table.query("signal == 'weight gradient' and layer == '0' and tensor == 'weight'")
    assert row["second_moment"].item() == pytest.approx(
        float(model[0].weight.grad.double().pow(2).mean()), rel=1e-5
    )


def test_dropout_drops_the_same_in_both_passes():
    def build():
        return nn.Sequential(nn.Linear(8, 64), nn.Dropout(0.5), nn.Linear(64, 5))

    table, _ = evidence_of(build, seeds=1)
    zeros = table.query("signal == 'gradient' and layer == '0'").set_index("phase")["zero_fraction"]
    assert zeros["probe"] == zeros["loss"] > 0.3


def test_what_an_output_says_of_its_inputs_is_stated_for_each_seed():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 5)

        def forward(self, x):
            return self.layer(x).mean(0, keepdim=True).expand(len(x), 5)

    _, metadata = evidence_of(Constant)
    assert list(metadata["output"]) == ["0", "1"]
    assert metadata["output"]["0"]["variance_across_samples"] == 0.0
    assert metadata["output"]["0"]["second_moment"] > 0


def test_digits_bring_their_labels():
    _, metadata = evidence_of(lambda: nn.Linear(64, 10), input_size=(64,), input="digits")
    assert metadata["loss"]["labels"] == "real"
    _, metadata = evidence_of(lambda: nn.Linear(64, 5), input_size=(64,), input="digits")
    assert metadata["loss"]["labels"] == "random"


def test_tokens_are_classified_at_each_position():
    _, metadata = evidence_of(Tokens, input_size=(7,), input_dtype="int", vocabulary=11)
    assert (metadata["loss"]["kind"], metadata["loss"]["classes"]) == ("cross-entropy", 11)


def test_dictionaries_have_a_loss_on_each_output_that_is_trained():
    table, metadata = evidence_of(DictOutput)
    assert [part["path"] for part in metadata["loss"]["outputs"]] == ["logits", "boxes.0"]
    rows = table.query("phase == 'loss' and signal == 'weight gradient'")
    assert {"heads.a", "heads.b", "body"} == set(rows["layer"])


def test_a_dense_output_has_one_class_per_position():
    _, metadata = evidence_of(lambda: nn.Conv2d(3, 4, 1), input_size=(3, 6, 6))
    assert metadata["loss"]["classes"] == 4


def test_an_instance_has_one_initialisation_and_a_function_one_per_seed():
    assert evidence_of(small())[1]["initialisations"] == "one"
    assert evidence_of(small)[1]["initialisations"] == "one per seed"


def test_a_function_that_ignores_the_seed_is_found_out():
    def build():
        torch.manual_seed(5)
        return small()

    table, metadata = evidence_of(build)
    assert metadata["initialisations"] == "one"
    assert metadata["weights"] == "the same for all seeds"
    assert any("the same weights for every seed" in remark for remark in metadata["remarks"])
    activations = table.query("signal == 'activation' and layer == '0'")["second_moment"]
    assert activations.nunique() == 2  # the inputs differ


def test_a_network_without_gradients_has_no_loss_and_its_output_is_described_all_the_same():
    table, metadata = evidence_of(lambda: small().requires_grad_(False))
    assert (metadata["loss"]["kind"], metadata["loss"]["chance"]) == ("none", None)
    assert metadata["loss"]["values"] == {}
    assert metadata["output"]["0"]["variance_across_samples"] > 0
    assert set(table["signal"]) == {"activation", "weight"}


class FailsFor(nn.Module):
    """A network that cannot be built for some of the seeds."""

    def __init__(self, *seeds):
        super().__init__()
        if torch.initial_seed() in seeds:
            raise ArithmeticError(f"no {torch.initial_seed()}")
        self.layer = nn.Linear(8, 5)

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize("failing", [0, 2, 4])
def test_a_seed_for_which_the_model_fails_is_reported_and_the_others_are_kept(failing):
    recording = record_evidence(lambda: FailsFor(failing), input_size=(8,), seeds=5, run="net")
    metadata = recording.metadata["net"]
    assert metadata["seeds"] == [seed for seed in range(5) if seed != failing]
    assert f"ArithmeticError: no {failing}" in metadata["failed_seeds"][str(failing)]
    assert f"seed {failing} failed: building model failed" in str(recording.not_captured)


def test_a_model_that_fails_for_every_seed_is_an_error_of_the_first():
    with pytest.raises(ProbeError, match="ArithmeticError: no 0"):
        record_evidence(lambda: FailsFor(0, 1, 2), input_size=(8,), seeds=3)


def test_a_model_that_fails_twice_in_the_same_words_is_not_tried_again():
    built = []

    def build():
        built.append(1)
        return nn.Linear(9, 5)

    with pytest.raises(ProbeError, match="forward pass of Linear failed"):
        record_evidence(build, input_size=(8,), seeds=5)
    assert len(built) == 2


def test_a_backward_pass_that_fails_is_an_error_with_a_next_step():
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            raise NotImplementedError("no gradient here")

    class Net(nn.Linear):
        def forward(self, x):
            return Broken.apply(super().forward(x))

    with pytest.raises(ProbeError, match=r"no gradient here.*mend it first"):
        record_evidence(lambda: Net(8, 5), input_size=(8,))


def test_a_head_of_zeros_is_woken_and_its_bits_are_put_back():
    model = small()
    nn.init.zeros_(model[2].weight)
    before = state_of(model)
    table, metadata = evidence_of(model)
    assert state_of(model) == before
    assert metadata["woken_head"] == ["2.weight"]
    gradients = table.query("phase == 'loss' and signal == 'weight gradient' and layer == '0'")
    assert (gradients["second_moment"] > 0).all()


def test_a_head_that_is_woken_has_the_variance_of_lecun():
    def build():
        model = nn.Sequential(nn.Linear(8, 400), nn.ReLU(), nn.Linear(400, 100))
        nn.init.normal_(model[2].weight, std=2e-5)
        return model

    table, _ = evidence_of(build)
    rows = table.query("signal == 'weight' and layer == '2' and tensor == 'weight'")
    assert rows["second_moment"].tolist() == pytest.approx([1 / 400] * 2, rel=0.05)


@pytest.mark.parametrize("std", [0.01, 0.5])
def test_heads_of_usual_scale_stay_as_they_are(std):
    def build():
        model = small()
        nn.init.normal_(model[2].weight, std=std)
        return model

    assert "woken_head" not in evidence_of(build)[1]


def test_zeros_that_are_no_head_stay_as_they_are():
    def build():
        model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 5))
        nn.init.zeros_(model[1].weight)
        return model

    assert "woken_head" not in evidence_of(build)[1]


def test_a_head_that_shares_its_weight_with_an_embedding_stays_as_it_is():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(11, 8)
            self.head = nn.Linear(8, 11, bias=False)
            self.head.weight = self.embedding.weight
            nn.init.normal_(self.head.weight, std=1e-6)

        def forward(self, tokens):
            return self.head(self.embedding(tokens))

    metadata = evidence_of(Tied, input_size=(5,), input_dtype="int", vocabulary=11)[1]
    assert "woken_head" not in metadata


def test_the_evidence_is_written_and_read_again(tmp_path):
    recording = record_evidence(PostActivationResNet, input_size=(3, 16, 16), seeds=2)
    recording.save(tmp_path / "run.parquet")
    read = sppkit.read(tmp_path / "run.parquet")
    assert read.table().equals(recording.table())
    assert (
        read.metadata["PostActivationResNet"]["loss"]
        == (recording.metadata["PostActivationResNet"]["loss"])
    )


def test_a_plot_of_the_evidence_shows_the_probe_alone():
    evidence = record_evidence(PostActivationResNet, input_size=(3, 16, 16), seeds=2)
    probe = sppkit.probe(PostActivationResNet, input_size=(3, 16, 16), seeds=2)
    curves = [
        [np.asarray(line.get_ydata()) for axes in figure.axes for line in axes.lines]
        for figure in (
            sppkit.plot_signal_propagation(recording, gradient=True)
            for recording in (evidence, probe)
        )
    ]
    assert len(curves[0]) == len(curves[1]) > 6
    for ours, theirs in zip(*curves, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_gradient_flow_of_the_evidence_is_that_of_the_training_loss():
    evidence = record_evidence(PostActivationResNet, input_size=(3, 16, 16), seeds=1)
    figure = sppkit.plot_gradient_flow(evidence)
    assert len(figure.axes) == 2
    assert "loss: cross-entropy" in figure.get_supxlabel()
    rows = evidence.table().query("phase == 'loss' and signal == 'gradient' and role == 'leaf'")
    expected = (rows["second_moment"] ** 0.5).groupby(rows["depth"]).mean()
    assert list(figure.axes[0].lines[0].get_ydata()) == pytest.approx(list(expected))


def test_more_seeds_can_be_added_to_a_probe_and_change_nothing_of_the_first():
    probe = EvidenceProbe(small, input_size=(8,))
    probe.measure([0, 1])
    first = probe.recording().table()
    probe.measure([2])
    table = probe.recording().table()
    assert table[table["seed"] < 2]["second_moment"].tolist() == first["second_moment"].tolist()
    assert probe.recording().metadata[probe.run]["seeds"] == [0, 1, 2]


def test_a_costly_network_gets_a_smaller_batch_and_never_less_than_four_for_it():
    from sppkit.probing.measurement import _default_batch_size

    assert _default_batch_size(1000, 2**31, 2**35) == 16
    assert _default_batch_size(1000, 4_100_000_000, 2**35) == 8  # ResNet-50 at 224
    assert _default_batch_size(1000, 2**40, 2**35) == 4


def test_the_cost_of_a_network_is_counted_in_multiplications():
    """A convolution of fan-in 27 on 8 x 8 positions and 4 channels, and a layer of 256 x 5."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(256, 5))
    probe = EvidenceProbe(model, input_size=(3, 8, 8))
    probe.measure([0])
    assert probe._measurement._traced.multiplications == 27 * 64 * 4 + 256 * 5
