import math

import pytest

from sppkit.early_warning.catalogue import WARNING_RULES
from sppkit.early_warning.moment import Rate
from sppkit.early_warning.watch import Watch
from tests.early_warning.conftest import row, show


def one(events):
    assert len(events) == 1
    return events[0]


def test_every_rule_has_a_code_a_title_advice_and_sources_of_its_thresholds():
    codes = [rule.code for rule in WARNING_RULES]
    assert codes == [f"SPP6{number:02d}" for number in range(1, 11)]
    for rule in WARNING_RULES:
        assert rule.title
        assert len(rule.advice.splitlines()) > 1
        assert all(rule.sources.values())
        assert rule.unmeasured
        assert rule.expected


def test_a_healthy_training_gives_no_event():
    signals = ("activation", "gradient", "weight", "weight gradient")
    steps = [
        [row(signal=s, second_moment=1.0 + 0.01 * (n % 3)) for s in signals] for n in range(99)
    ]
    assert show(Watch(), steps) == []


# ------------------------------------------------------------------------------------ courses


def course(signal, *, jump, before=20, after=10, **changes):
    """A steady signal that is multiplied at once."""
    moments = [1.0] * before + [jump] * after
    return [[row(signal=signal, second_moment=m, **changes)] for m in moments]


@pytest.mark.parametrize(
    ("code", "signal", "z", "floor", "patience"),
    [
        ("SPP601", "weight", 6, 0.05, 1),
        ("SPP602", "activation", 6, 0.2, 3),
        ("SPP603", "gradient", 3, 0.05, 2),
    ],
)
def test_a_jump_beyond_the_threshold_is_told_after_as_many_steps_as_it_takes_patience(
    watch, code, signal, z, floor, patience
):
    beyond, within = 10 ** (1.01 * z * floor), 10 ** (0.99 * z * floor)
    event = one(show(watch(code), course(signal, jump=beyond)))
    assert event.step == 10 * (20 + patience - 1)
    assert event.evidence["measured"] == pytest.approx(beyond)
    assert event.severity == "warning"
    assert show(watch(code), course(signal, jump=within)) == []


def test_falling_is_no_fault(watch):
    assert show(watch("SPP602"), course("activation", jump=1e-6)) == []


def test_growth_by_three_decades_is_an_error_but_of_parameters(watch):
    assert one(show(watch("SPP602"), course("activation", jump=1100.0))).severity == "error"
    assert one(show(watch("SPP602"), course("activation", jump=900.0))).severity == "warning"
    assert one(show(watch("SPP601"), course("weight", jump=1e9))).severity == "warning"


def test_one_parameter_in_ten_is_not_enough(watch):
    def steps(jumping):
        jumps = [4.0 if number < jumping else 1.0 for number in range(10)]
        return [
            [
                row(f"layer{i}", "weight", depth=i, second_moment=jump if number >= 20 else 1.0)
                for i, jump in enumerate(jumps)
            ]
            for number in range(25)
        ]

    assert show(watch("SPP601"), steps(1)) == []
    event = one(show(watch("SPP601"), steps(2)))
    assert (event.evidence["affected"], event.evidence["looked_at"]) == (2, 10)


def test_courses_need_ten_recorded_steps(watch):
    assert show(watch("SPP601"), course("weight", jump=100.0, before=9, after=1)) == []
    assert len(show(watch("SPP601"), course("weight", jump=100.0, before=10, after=1))) == 1


# -------------------------------------------------------------------------------------- steps


def test_recorded_updates_are_taken_as_they_are(watch):
    rows = [[row(signal="update", norm_to_weight_ratio=0.11), row(signal="weight")]] * 3
    event = one(show(watch("SPP604"), rows))
    assert event.step == 20
    assert event.evidence["measured"] == pytest.approx(0.11)
    small = [[row(signal="update", norm_to_weight_ratio=0.09), row(signal="weight")]] * 3
    huge = {"layer.weight": Rate(1e6, is_normalised=True)}
    assert show(watch("SPP604"), small, huge) == []  # what was measured comes before an estimate


def test_updates_of_sgd_are_the_rate_times_the_gradient(watch):
    rates = {"layer.weight": Rate(0.5, is_normalised=False)}
    steps = [[row(signal="weight"), row(signal="weight gradient", norm_to_weight_ratio=0.3)]] * 3
    assert one(show(watch("SPP604"), steps, rates)).evidence["measured"] == pytest.approx(0.15)


def test_updates_of_adam_are_the_rate_beside_the_weights(watch):
    rates = {"layer.weight": Rate(0.01, is_normalised=True)}
    gradient = row(signal="weight gradient", norm_to_weight_ratio=1e9)
    steps = [[row(signal="weight", second_moment=0.05**2), gradient]] * 3
    assert one(show(watch("SPP604"), steps, rates)).evidence["measured"] == pytest.approx(0.2)


def test_vectors_and_weights_of_zero_are_no_large_updates(watch):
    rates = {name: Rate(0.01, is_normalised=True) for name in ("layer.weight", "layer.bias")}
    bias = row(signal="weight", tensor="bias", channels=1, second_moment=1e-9)
    zero = row(signal="weight", second_moment=0.0)
    quiet = watch("SPP604")
    assert show(quiet, [[bias, zero]] * 5, rates) == []
    assert list(quiet.not_measured) == ["SPP604"]


def test_clipping_that_takes_nearly_everything_is_pressure(watch):
    def steps(cut):
        raw = row(signal="weight gradient", second_moment=4.0)
        return [[raw, row(signal="clipped weight gradient", second_moment=4 * (1 - cut) ** 2)]] * 5

    event = one(show(watch("SPP605"), steps(0.95)))
    assert event.step == 40
    assert event.evidence["measured"] == pytest.approx(0.95)
    assert show(watch("SPP605"), steps(0.85)) == []
    bias = [{**each, "tensor": "bias", "channels": 1} for each in steps(0.95)[0]]
    assert show(watch("SPP605"), [bias] * 5) == []


def test_without_clipping_there_is_no_pressure_to_measure(watch):
    unclipped = watch("SPP605")
    show(unclipped, [[row(signal="weight gradient")]])
    assert unclipped.not_measured == {
        "SPP605": "no gradient was clipped, or weight gradients are not recorded"
    }


@pytest.mark.parametrize("factor", [17.0, 1 / 17.0])
def test_gains_of_normalisation_layers_may_not_run_away(watch, factor):
    def steps(last, kind="BatchNorm2d"):
        gains = [1.0, *[last] * 3]
        return [[row(signal="weight", layer_type=kind, second_moment=gain)] for gain in gains]

    assert one(show(watch("SPP606"), steps(factor))).evidence["measured"] == pytest.approx(factor)
    assert show(watch("SPP606"), steps(math.sqrt(factor))) == []
    assert show(watch("SPP606"), steps(factor, "Linear")) == []


# ------------------------------------------------------------------------------------ outputs


def test_units_that_die_are_told_and_those_that_were_dead_are_not(watch):
    def steps(first, last):
        shares = [first, *[last] * 3]
        return [[row(dead_channel_fraction=share)] for share in shares]

    assert one(show(watch("SPP607"), steps(0.0, 0.75))).evidence["measured"] == 0.75
    assert show(watch("SPP607"), steps(0.5, 0.75)) == []
    assert show(watch("SPP607"), steps(0.0, 0.4)) == []


@pytest.mark.parametrize("changes", [{"samples": 16}, {"layer_type": "Dropout2d"}])
def test_zeros_by_chance_are_no_dead_units(watch, changes):
    shares = [0.0, *[1.0] * 5]
    steps = [[row(dead_channel_fraction=share, **changes)] for share in shares]
    assert show(watch("SPP607"), steps) == []


def test_logits_are_those_of_the_root_or_else_of_the_last_layer(watch):
    def steps(*names):
        return [
            [row(name, depth=i, second_moment=moment) for i, name in enumerate(names)]
            for moment in (1.0, 120.0**2, 120.0**2)
        ]

    event = one(show(watch("SPP608"), steps("stem", "head")))
    assert event.layer == "head"
    assert event.evidence["measured"] == pytest.approx(120.0)
    assert one(show(watch("SPP608"), steps("", "head"))).layer == ""
    assert show(watch("SPP608"), [[row(second_moment=120.0**2)]] * 5) == []  # such outputs always


# ------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("dtype", "largest"), [("float16", 65504.0), ("bfloat16", 3.3895e38), ("float32", 3.4028e38)]
)
@pytest.mark.parametrize("side", ["minimum", "maximum"])
def test_headroom_is_a_sixteenth_of_the_largest_number(watch, dtype, largest, side):
    sign = -1 if side == "minimum" else 1
    near, far = ({side: sign * largest / factor, "dtype": dtype} for factor in (15.0, 17.0))
    event = one(show(watch("SPP609"), [[row(**near)]]))
    assert event.evidence["measured"] == pytest.approx(1 / 15)
    assert show(watch("SPP609"), [[row(**far)]]) == []


def test_numbers_that_are_not_finite_are_an_error_at_the_first_layer(watch):
    layers = [
        row("late", depth=9, nonfinite_fraction=1.0),
        row("early", depth=2, nonfinite_fraction=0.25),
        row("stem", depth=1),
    ]
    event = one(show(watch("SPP610"), [layers]))
    assert (event.layer, event.severity) == ("early", "error")
    assert event.message == (
        "numbers not finite: at 'early' 25.00% of the values are infinite or NaN "
        "(2 of 3 activations)"
    )


def test_the_scaler_may_overflow_gradients_but_not_activations(watch):
    skipped = {"flags": "skipped step", "nonfinite_fraction": 1.0}
    assert show(watch("SPP610"), [[row(signal="gradient", **skipped), row()]]) == []
    assert len(show(watch("SPP610"), [[row(**skipped)]])) == 1
