"""The rehearsal of training: its task, what it finds, and that nothing is left of it."""

import math

import pytest
import torch
from torch import nn

import sppkit
from sppkit.gate import record_evidence, rehearsal
from sppkit.gate.prototypes import SIGNAL, Task
from sppkit.gate.rehearsal import CannotRehearseError, affordable_seeds, rehearse
from sppkit.inputs import ProbeBatch
from sppkit.rules.evidence import REHEARSED, Evidence
from tests.capture.test_left_as_found import randomness, state_of


def batch_of(*args, **kwargs):
    return ProbeBatch(args, kwargs, None, "given")


def task_of(*args, classes=4, **kwargs):
    return Task(batch_of(*args, **kwargs), classes, torch.Generator().manual_seed(0))


def perceptron(features=8, classes=5):
    return nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, classes))


# -- the task --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(50,), (3, 12, 12), (2, 6, 6, 6), (40, 5)])
def test_samples_have_mean_and_deviation_of_what_the_network_is_probed_with(size):
    given = 3.0 + 2.0 * torch.randn(64, *size, generator=torch.Generator().manual_seed(1))
    drawn = task_of(given).draw(400).args[0]
    assert drawn.shape == (400, *size)
    assert drawn.dtype == torch.float32
    assert drawn.mean().item() == pytest.approx(3.0, abs=0.5)
    assert drawn.std().item() == pytest.approx(2.0, rel=0.1)


def test_the_share_of_the_prototype_is_the_squared_signal():
    """Var = E[Var(x|k)] + Var(E[x|k]), the second part being a² of the whole."""
    batch = task_of(torch.randn(64, 200)).draw(8000)
    samples, labels = batch.args[0], batch.labels
    means = torch.stack([samples[labels == k].mean(0) for k in range(4)])
    between = means[labels].square().mean() / samples.square().mean()
    assert between.item() == pytest.approx(SIGNAL**2, rel=0.05)


def test_prototypes_of_pictures_are_smooth_and_those_of_features_are_not():
    def resemblance_of_neighbours(size):
        batch = task_of(torch.randn(16, *size)).draw(4000)
        rows = torch.stack([batch.args[0][batch.labels == k].mean(0) for k in range(4)])
        centred = rows - rows.mean()
        return ((centred[..., 1:] * centred[..., :-1]).mean() / centred.square().mean()).item()

    assert resemblance_of_neighbours((1, 16, 16)) > 0.7
    assert abs(resemblance_of_neighbours((256,))) < 0.2


def test_tokens_are_those_of_the_prototype_or_others_of_the_vocabulary():
    given = torch.randint(1000, 1100, (16, 30))
    batch = task_of(given).draw(2000)
    tokens, labels = batch.args[0], batch.labels
    assert set(tokens.unique().tolist()) <= set(given.unique().tolist())
    usual = torch.stack([tokens[labels == k].mode(0).values for k in range(4)])
    kept = (tokens == usual[labels]).double().mean().item()
    assert kept == pytest.approx(SIGNAL**2 + (1 - SIGNAL**2) / 100, abs=0.03)


def test_what_does_not_vary_between_samples_stays_as_it_is():
    mask = torch.ones(6, 5, dtype=torch.bool)
    shared, positions = torch.randn(7, 3), torch.arange(5).expand(6, 5)
    drawn = task_of(torch.randn(6, 5), mask, shared, positions, scale=2.0).draw(8)
    assert drawn.args[1].shape == (8, 5)
    assert drawn.args[1].all()
    assert torch.equal(drawn.args[2], shared)
    assert torch.equal(drawn.args[3], positions[:1].expand(8, 5))
    assert drawn.kwargs == {"scale": 2.0}


def test_an_input_that_is_the_same_for_all_samples_makes_no_task():
    with pytest.raises(ValueError, match="nothing in its input varies"):
        task_of(torch.ones(6, 5))


# -- the training ----------------------------------------------------------------------------------


def test_a_sound_network_reaches_the_goal_and_a_dead_one_stays_at_chance():
    x = batch_of(torch.randn(16, 32))
    torch.manual_seed(0)
    sound = rehearse(perceptron(32), x, seed=0)
    assert sound.error <= REHEARSED
    assert sound.steps < rehearsal.STEPS
    assert sound.rate == rehearsal.RATES[0]
    dead = perceptron(32)
    dead[0].bias.data.fill_(-1e3)
    outcome = rehearse(dead, x, seed=0)
    assert outcome.error == pytest.approx(1.0, abs=0.15)
    assert outcome.loss == pytest.approx(1.0, abs=0.1)


def test_answers_are_asked_for_unseen_samples():
    """A network that only looks its samples up knows nothing of the next ones."""

    class Lookup(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(0.01 * torch.randn(4096, 5))

        def forward(self, x):
            places = (x.double().sum(1) * 1e6).long() % 4096
            return self.weight[places]

    outcome = rehearse(Lookup(), batch_of(torch.randn(16, 32)), seed=0)
    assert outcome.error == pytest.approx(1.0, abs=0.15)


def test_a_loss_that_is_not_finite_is_a_failure():
    model = perceptron()
    model[0].weight.data[0, 0] = math.nan
    outcome = rehearse(model, batch_of(torch.randn(16, 8)), seed=0)
    assert (outcome.error, outcome.loss, outcome.steps) == (1.0, math.inf, 1)


def test_the_second_rate_is_tried_where_the_first_is_too_large():
    torch.manual_seed(0)
    model = perceptron(32)
    for layer in (model[0], model[2]):
        layer.weight.data.mul_(0.003)
    x = batch_of(1e3 * torch.randn(16, 32))
    assert rehearse(model, x, seed=0).error <= rehearse(model, x, seed=0).error  # repeatable
    assert rehearse(model, x, seed=0).rate in rehearsal.RATES


def test_a_rehearsal_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 5)).train()
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    before = state_of(model)
    rehearse(model, batch_of(torch.randn(16, 8)), seed=0)
    assert state_of(model) == before


def test_the_same_seed_gives_the_same_rehearsal():
    torch.manual_seed(0)
    model, x = perceptron(), batch_of(torch.randn(16, 8))
    assert rehearse(model, x, seed=3) == rehearse(model, x, seed=3)
    assert rehearse(model, x, seed=3) != rehearse(model, x, seed=4)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (nn.Linear(8, 1), "shape (16, 1) is not one class per sample"),
        (nn.Unflatten(1, (2, 4)), "no output depends on anything that is trained"),
        (nn.Sequential(nn.Linear(8, 8), nn.Unflatten(1, (2, 4))), "shape (16, 2, 4)"),
    ],
)
def test_what_is_no_classifier_is_not_rehearsed(model, reason):
    with pytest.raises(CannotRehearseError) as caught:
        rehearse(model, batch_of(torch.randn(16, 8)), seed=0)
    assert reason in str(caught.value)


def test_a_network_that_takes_only_its_own_batch_size_says_so():
    class Stubborn(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 5)

        def forward(self, x):
            return self.layer(x) + torch.zeros(16, 1)

    with pytest.raises(CannotRehearseError, match=r"it failed: .*size"):
        rehearse(Stubborn(), batch_of(torch.randn(16, 8)), seed=0)


# -- within a check --------------------------------------------------------------------------------


def metadata_of(model=perceptron, **options):
    given = {"input_size": (8,), "seeds": 3, "run": "net", **options}
    return record_evidence(model, **given).metadata["net"]


def test_the_first_seeds_are_rehearsed_and_the_others_take_their_median():
    recording = record_evidence(perceptron, input_size=(8,), seeds=4, run="net")
    stated = recording.metadata["net"]["rehearsal"]
    assert list(stated["values"]) == ["0", "1"]
    assert stated["left_out"] == ""
    first, second = (stated["values"][seed]["error"] for seed in "01")
    errors = Evidence.of(recording).rehearsed("error")
    assert errors.tolist() == pytest.approx([first, second, *[(first + second) / 2] * 2])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"rehearsal": False}, "asked for without"),
        ({"mode": "eval"}, "eval mode"),
        ({"loss": lambda y, _: y.square().mean()}, "a loss was given"),
        ({"model": lambda: nn.Linear(8, 1)}, "not one class per sample"),
    ],
)
def test_why_there_was_no_rehearsal_is_stated(options, reason):
    metadata = metadata_of(**options)
    assert metadata["rehearsal"]["values"] == {}
    assert reason in metadata["rehearsal"]["left_out"]


def test_a_large_network_is_not_rehearsed(monkeypatch):
    monkeypatch.setattr(rehearsal, "MOST_MULTIPLICATIONS", 10_000)
    left_out = metadata_of()["rehearsal"]["left_out"]
    assert left_out == "it is too large (4.2e+02 multiplications per sample, 4.5e+02 weights)"


def test_the_number_of_rehearsals_follows_from_what_they_may_cost():
    whole = rehearsal.MOST_MULTIPLICATIONS
    each = rehearsal.STEPS * len(rehearsal.RATES) * rehearsal.SAMPLES * 3
    assert affordable_seeds(1, 1) == rehearsal.MOST_SEEDS
    assert affordable_seeds(whole // each, 0) == 1
    assert affordable_seeds(whole // each + 1, 0) == 0
    assert affordable_seeds(1, 100_000_000) == 0  # an embedding, of which a sample needs little


def test_as_many_seeds_are_rehearsed_as_asked_for():
    recording = record_evidence(perceptron, input_size=(8,), seeds=3, rehearsal=3)
    (metadata,) = recording.metadata.values()
    assert list(metadata["rehearsal"]["values"]) == ["0", "1", "2"]


def test_evidence_without_a_rehearsal_knows_none():
    recording = sppkit.probe(perceptron, input_size=(8,), seeds=2)
    evidence = Evidence.of(recording)
    assert evidence.rehearsed("error").tolist() == pytest.approx([math.nan] * 2, nan_ok=True)
    assert evidence.not_rehearsed == "none was recorded"


def test_random_numbers_are_left_alone():
    before = randomness()
    metadata_of()
    assert randomness() == before
