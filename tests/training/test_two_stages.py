import pytest
import torch
from torch.nn.functional import cross_entropy

from sppkit.inputs.digits import draw_digits
from sppkit.models import build
from sppkit.training.distillation import DistillationLoss
from sppkit.training.two_stages import load_first_stage


def _first_and_second(norm, **arguments):
    first = build("reactnet18_digits", norm=norm, binary="activations", **arguments)
    return first, build("reactnet18_digits", norm=norm, binary="all", **arguments)


@pytest.mark.parametrize("norm", ["bf", "bn", "none"])
def test_a_second_stage_starts_from_the_weights_of_the_first_b5(norm):
    """B5: loading of the network with binary activations into the one with binary weights."""
    first, second = _first_and_second(norm)
    loaded = load_first_stage(second, first)
    assert set(loaded.loaded) == set(first.state_dict()) == set(second.state_dict())
    assert (loaded.kept, loaded.unused) == ((), ())
    for key, tensor in second.state_dict().items():
        assert torch.equal(tensor, first.state_dict()[key])
    signs = second.stages[1][2].branch.conv.effective_weight().sign()
    assert set(signs.unique().tolist()) == {-1.0, 1.0}


def test_what_is_not_shared_is_said_b5():
    """B5: non-strict: gains that the first stage lacks stay, what is left over is named."""
    first, _ = _first_and_second("none")
    second = build("reactnet18_digits")
    with torch.no_grad():
        second.stages[0][0].branch.conv.gain.fill_(3.0)
    loaded = load_first_stage(second, {**first.state_dict(), "other.weight": torch.zeros(2)})
    assert loaded.unused == ("other.weight",)
    assert loaded.kept
    assert all(name.endswith("gain") for name in loaded.kept)
    assert second.stages[0][0].branch.conv.gain.unique().item() == 3.0


def test_states_of_data_parallel_networks_are_understood():
    first, second = _first_and_second("bf")
    state = {f"module.{name}": tensor for name, tensor in first.state_dict().items()}
    assert load_first_stage(second, state).unused == ()


def test_another_width_is_refused_and_changes_nothing():
    first, _ = _first_and_second("bf", width=4)
    _, second = _first_and_second("bf")
    before = {key: tensor.clone() for key, tensor in second.state_dict().items()}
    with pytest.raises(ValueError, match=r"differ in shape, .*\(4, 1, 3, 3\) there"):
        load_first_stage(second, first)
    assert all(torch.equal(second.state_dict()[key], before[key]) for key in before)


def test_a_state_of_other_names_is_refused():
    with pytest.raises(ValueError, match=r"shares no name.*it has a, .*expected "):
        load_first_stage(build("reactnet18_digits"), {"a": torch.zeros(1)})


def _train(network, loss, images, *others):
    """Train for an epoch by Adam, and give the mean losses of the first and of the last steps."""
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    losses = []
    for x, *rest in zip(*(tensor.split(64) for tensor in (images, *others)), strict=True):
        optimizer.zero_grad()
        step = loss(network(x), *(rest or [x]))
        step.backward()
        optimizer.step()
        losses.append(step.item())
    return sum(losses[:3]) / 3, sum(losses[-3:]) / 3


def test_a_binary_network_learns_from_a_teacher_in_two_stages_b5():
    """B5: the published procedure, small: distilled with real weights, then with binary ones."""
    torch.manual_seed(0)
    images, classes, _ = draw_digits((1, 8, 8), 1797, torch.Generator().manual_seed(0))
    images = images.float()
    teacher = build("ffnn_bn_digits", depth=3)
    _train(teacher, cross_entropy, images, classes)
    distil = DistillationLoss(teacher)
    first, second = _first_and_second("bf")
    started, learned = _train(first, distil, images)
    assert learned < started - 0.2
    load_first_stage(second, first)
    _, ended = _train(second, distil, images)
    assert ended < started - 0.2
    with torch.no_grad():
        agreement = (second(images).argmax(1) == teacher(images).argmax(1)).double().mean().item()
    assert agreement > 0.4  # by chance 0.1
