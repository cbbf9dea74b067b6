"""Merges in graphs drawn by hand: forks, weights of paths, kinds of skips, levels, owners."""

from types import SimpleNamespace

import pytest
from torch import nn

from sppkit.capture.calls.places import Place
from sppkit.capture.tracing.blocks import (
    TapInfo,
    find_blocks,
    find_taps,
    remarks_on,
    taps_by_pattern,
)
from sppkit.capture.tracing.graph import Factor, Graph
from sppkit.capture.tracing.merges import (
    Findings,
    drawn_level,
    find_merges,
    owner,
    parameter_operations,
    path_nodes,
)
from sppkit.patterns import matcher
from sppkit.signals import Tap

ROOT = ("", 0)


class Network(nn.Module):
    """The class of the root."""


class Owner(nn.Module):
    """The class of most modules in a drawing."""


class Other(nn.Module):
    """Another one."""


class Drawing:
    """A graph of named nodes; what a module returns is told of its last node."""

    def __init__(self) -> None:
        self.graph = Graph()
        self._node = {}
        self.module("", Network)
        self.module("stem", nn.Identity)

    def module(self, layer, kind=Owner, call=0):
        stack = tuple((layer[:k], 0) for k, c in enumerate(layer) if c == ".")
        stack = (ROOT, *stack, (layer, call)) if layer else (ROOT,)
        self.graph.calls[layer, call] = SimpleNamespace(module=kind(), stack=stack, index=call)
        return stack

    def __call__(self, name, operation="relu", *parents, within="", returns=(), **details):
        call = (within, 0)
        if call not in self.graph.calls:
            self.module(within)
        usual = {"uses_parameter": operation == "linear", "shape": (6, 8), "axis": 1}
        details = usual | ({"alpha": 1.0} if operation in ("add", "sub") else {}) | details
        node = self.graph.add(
            operation,
            tuple(self._node[parent].index for parent in parents),
            place=Place(within, 0, f"{operation}#{len(self.graph.nodes)}"),
            stack=self.graph.calls[call].stack,
            **details,
        )
        for layer in (returns,) if isinstance(returns, str) else returns:
            if (layer, 0) not in self.graph.calls:
                self.module(layer)
            node.emitted.append(Place(layer))
        self._node[name] = node
        return self

    def __getitem__(self, name):
        return self._node[name]

    def name_of(self, node):
        return next(name for name, own in self._node.items() if own is node)

    def merges(self):
        return find_merges(self.graph).merges


def start():
    """An input and a stem."""
    return Drawing()("x", "input")("stem", "linear", "x", returns="stem")


def branch(drawing, name, parent, *, within="", weights=1):
    """Weighted operations in a row, of which the last has the name."""
    for number in range(weights):
        last = number == weights - 1
        drawing(name if last else f"{name}{number}", "linear", parent, within=within)
        parent = f"{name}{number}"
    return drawing


# -- paths -----------------------------------------------------------------------------------------


def test_a_path_is_what_lies_between_a_fork_and_a_target():
    d = start()("a", "linear", "stem")("aside", "linear", "stem")("b", "relu", "a")
    d("other", "linear", "x")("c", "add", "b", "other")
    assert [d.name_of(n) for n in path_nodes(d.graph, d["stem"], d["c"])] == ["a", "b", "c"]
    assert list(path_nodes(d.graph, d["stem"], d["stem"])) == []
    assert list(path_nodes(d.graph, d["aside"], d["c"])) == []


def test_the_heaviest_path_counts():
    d = start()("a", "linear", "stem")("b", "linear", "a")("c", "relu", "stem")
    d("sum", "add", "c", "b")("end", "relu", "sum")
    assert parameter_operations(d.graph, d["stem"], d["end"]) == 2
    assert parameter_operations(d.graph, d["stem"], d["c"]) == 0
    assert parameter_operations(d.graph, d["stem"], d["stem"]) == 0
    assert parameter_operations(d.graph, d["c"], d["b"]) == 0


# -- what is a merge -------------------------------------------------------------------------------


def test_a_merge_has_a_fork_a_skip_path_and_branches():
    d = branch(start(), "f", "stem")("sum", "add", "stem", "f")
    (merge,) = d.merges()
    assert (merge.node, merge.fork, merge.skip) == (d["sum"], d["stem"], d["stem"])
    assert merge.branches == [d["f"]]
    assert (merge.skip_kind, merge.level) == ("identity", 0)


def test_the_fork_is_the_latest_tensor_that_all_descend_from():
    d = start()("later", "relu", "stem")
    d = branch(d, "f", "later")("sum", "add", "f", "later")
    (merge,) = d.merges()
    assert merge.fork is d["later"]


def test_a_sum_of_what_has_no_common_origin_is_none():
    d = Drawing()("x", "input")("y", "input")("a", "linear", "x")("sum", "add", "a", "y")
    findings = find_merges(d.graph)
    assert (findings.merges, findings.parallel, findings.concatenations) == ([], [], [])


def test_paths_of_equal_weight_are_parallel_and_without_weights_arithmetic():
    d = branch(branch(start(), "f", "stem"), "g", "stem")("sum", "add", "f", "g")
    findings = find_merges(d.graph)
    assert (findings.merges, findings.parallel) == ([], [d["sum"]])
    plain = start()("a", "tanh", "stem")("b", "sigmoid", "stem")("sum", "add", "a", "b")
    findings = find_merges(plain.graph)
    assert (findings.merges, findings.parallel) == ([], [])


def test_paths_without_weights_behind_the_fork_are_parallel_where_one_has_weights_before_it():
    """As where both read the sum of an earlier merge, and one a table of positions besides."""
    d = Drawing()("x", "input")("a", "linear", "x")("late", "relu", "a")
    d("y", "linear", "x")("both", "mul", "late", "y")
    d("one", "tanh", "late")("two", "mul", "late", "y")("sum", "add", "one", "two")
    findings = find_merges(d.graph)
    assert (findings.parallel, findings.concatenations) == ([d["sum"]], [])
    equal = Drawing()("x", "input")("a", "linear", "x")
    equal("one", "tanh", "a")("two", "sigmoid", "a")("sum", "add", "one", "two")
    assert find_merges(equal.graph).parallel == []


def test_a_lighter_path_with_weights_is_a_projection():
    d = branch(branch(start(), "f", "stem", weights=2), "skip", "stem")("sum", "add", "f", "skip")
    (merge,) = d.merges()
    assert (merge.skip, merge.skip_kind) == (d["skip"], "projection")


def test_a_layer_called_again_makes_a_recurrence_and_no_projection():
    d = branch(branch(start(), "f", "stem", weights=2, within="cell"), "skip", "stem")
    d("sum", "add", "f", "skip")
    assert len(d.merges()) == 1
    d.module("cell", call=1)
    assert d.merges() == []
    elsewhere = branch(branch(start(), "f", "stem", weights=2), "skip", "stem", within="a")
    elsewhere("sum", "add", "f", "skip").module("cell", call=1)
    assert len(elsewhere.merges()) == 1


def test_a_layer_called_again_is_no_recurrence_where_the_skip_path_has_no_weights():
    d = branch(start(), "f", "stem", within="cell")("sum", "add", "stem", "f")
    d.module("cell", call=1)
    assert len(d.merges()) == 1


def test_a_function_called_again_without_weights_is_no_recurrence():
    d = branch(branch(start(), "f0", "stem"), "skip", "stem")
    d("act", "relu", "f0", within="activation")("f", "linear", "act")
    d("sum", "add", "f", "skip").module("activation", call=1)
    assert len(d.merges()) == 1


@pytest.mark.parametrize("operation", ["add", "sub", "lerp", "addcmul"])
def test_sums_by_their_names(operation):
    d = branch(start(), "f", "stem")("sum", operation, "stem", "f")
    assert len(d.merges()) == 1
    assert branch(start(), "f", "stem")("sum", "mul", "stem", "f").merges() == []


def test_a_sum_over_a_stack_has_the_operands_of_the_stack():
    d = branch(branch(start(), "f", "stem"), "g", "stem")
    d("stack", "stack", "stem", "f", "g")("sum", "sum", "stack")
    (merge,) = d.merges()
    assert (merge.node, merge.skip, merge.branches) == (d["sum"], d["stem"], [d["f"], d["g"]])
    assert start()("sum", "sum", "stem").merges() == []
    product = branch(start(), "f", "stem")("product", "mul", "stem", "f")("sum", "sum", "product")
    assert product.merges() == []
    mean = branch(start(), "f", "stem")("stack", "stack", "stem", "f")("mean", "mean", "stack")
    assert mean.merges() == []


@pytest.mark.parametrize("operation", ["cat", "concat", "concatenate"])
def test_joins_of_tensors_with_a_common_origin_are_told(operation):
    d = branch(start(), "f", "stem")("join", operation, "stem", "f")
    assert find_merges(d.graph).concatenations == [d["join"]]
    apart = Drawing()("x", "input")("y", "input")("join", operation, "x", "y")
    assert find_merges(apart.graph).concatenations == []
    assert find_merges(start()("join", operation, "stem").graph).concatenations == []


# -- further branches ------------------------------------------------------------------------------


def test_a_further_branch_joins_the_merge_whose_fork_it_shares():
    d = branch(branch(start(), "f", "stem"), "g", "stem")
    d("first", "add", "stem", "f")("second", "add", "first", "g")
    (merge,) = d.merges()
    assert (merge.node, merge.branches) == (d["second"], [d["f"], d["g"]])


def test_a_further_branch_may_fork_inside_the_earlier_one():
    d = start()("norm", "layer_norm", "stem")
    d = branch(branch(d, "f", "norm"), "g", "norm")
    d("first", "add", "stem", "f")("second", "add", "g", "first")
    (merge,) = d.merges()
    assert (merge.node, merge.branches) == (d["second"], [d["f"], d["g"]])


def test_a_branch_that_reads_the_sum_is_a_merge_of_its_own():
    d = branch(start(), "f", "stem")("first", "add", "stem", "f")
    d = branch(d, "g", "first")("second", "add", "first", "g")
    one, two = d.merges()
    assert (one.node, two.node, two.fork) == (d["first"], d["second"], d["first"])


def test_a_branch_from_before_the_fork_does_not_join():
    d = start()("later", "relu", "stem")
    d = branch(branch(d, "f", "later"), "g", "stem", weights=2)
    d("first", "add", "later", "f")("second", "add", "first", "g")
    one, two = d.merges()
    assert (one.branches, two.branches) == ([d["f"]], [d["g"]])
    assert two.fork is d["stem"]


def test_a_further_operand_without_weights_does_not_join():
    d = branch(start(), "f", "stem")("shape", "tanh", "stem")
    d("first", "add", "stem", "f")("second", "add", "first", "shape")
    assert d.merges()[0].branches == [d["f"]]


def test_of_further_operands_one_with_weights_is_enough():
    d = branch(branch(start(), "f", "stem"), "g", "stem")("plain", "tanh", "stem")
    d("first", "add", "stem", "f")
    d("stack", "stack", "first", "plain", "g")("second", "sum", "stack")
    (merge,) = d.merges()
    assert merge.branches == [d["f"], d["plain"], d["g"]]


# -- the ends of paths -----------------------------------------------------------------------------


def ends(drawing):
    (merge,) = drawing.merges()
    return [(drawing.name_of(e.node), e.constant, e.gains) for e in merge.ends], merge


CONSTANT, GAIN = Factor("constant", 0.5), Factor("gain", parameter="g")


def ends_behind(steps):
    """Find the ends of a branch whose last layer, f, is followed by some operations."""
    d = branch(start(), "f", "stem")
    last = "f"
    for number, (operation, factor) in enumerate(steps):
        d(f"step{number}", operation, last, factor=factor)
        last = f"step{number}"
    found, _ = ends(d("sum", "add", "stem", last))
    return found


OF_THE_WALK = {
    "nothing": ([], 1.0, ()),
    "a constant": ([("mul", CONSTANT)], 0.5, ()),
    "a constant that is not known": ([("mul", Factor("constant"))], None, ()),
    "a gain": ([("mul", GAIN)], 1.0, ("g",)),
    "a computed gain": ([("mul", Factor("gain"))], 1.0, (None,)),
    "both": ([("mul", CONSTANT), ("mul", GAIN)], 0.5, ("g",)),
    "both the other way": ([("mul", GAIN), ("mul", CONSTANT)], 0.5, ("g",)),
    "a mask": ([("mul", Factor("mask"))], 1.0, ()),
    "shapes, casts and dropout": ([("view", None), ("to", None), ("dropout", None)], 1.0, ()),
}


@pytest.mark.parametrize("name", OF_THE_WALK)
def test_a_branch_is_walked_back_past_one_constant_one_gain_masks_and_shapes(name):
    passed, constant, gains = OF_THE_WALK[name]
    assert ends_behind(passed) == [("f", constant, gains)]


@pytest.mark.parametrize(
    "steps",
    [
        [("mul", CONSTANT), ("mul", CONSTANT)],
        [("mul", GAIN), ("mul", GAIN)],
        [("mul", Factor("other"))],
        [("layer_norm", None)],
        [("relu", None)],
    ],
    ids=["two constants", "two gains", "another factor", "a norm", "a nonlinearity"],
)
def test_a_branch_ends_at_the_first_that_is_not_passed(steps):
    assert ends_behind(steps)[0][0] == "step0"


def test_a_branch_ends_at_an_operation_of_two_tensors():
    d = branch(branch(start(), "f", "stem"), "g", "stem")("gated", "mul", "f", "g")
    assert ends(d("sum", "add", "stem", "gated"))[0] == [("gated", 1.0, ())]


def test_a_branch_ends_where_data_choose_among_its_values():
    d = branch(branch(start(), "f", "stem"), "index", "stem")("chosen", "gather", "f", "index")
    assert ends(d("sum", "add", "stem", "chosen"))[0] == [("chosen", 1.0, ())]


def test_alpha_is_the_constant_of_the_second_operand():
    d = branch(start(), "f", "stem")("sum", "add", "stem", "f", alpha=0.3)
    found, merge = ends(d)
    assert found == [("f", 0.3, ())]
    assert (merge.skip_kind, merge.skip_end.constant) == ("identity", 1.0)
    turned = branch(start(), "f", "stem")("sum", "add", "f", "stem", alpha=0.3)
    found, merge = ends(turned)
    assert found == [("f", 1.0, ())]
    assert (merge.skip_kind, merge.skip_end.constant) == ("scaled", 0.3)


def test_alpha_is_the_one_constant_that_is_passed():
    d = branch(start(), "f", "stem")("twice", "mul", "f", factor=CONSTANT)
    assert ends(d("sum", "add", "stem", "twice", alpha=0.3))[0] == [("twice", 0.3, ())]
    d = branch(start(), "f", "stem")("twice", "mul", "f", factor=CONSTANT)
    assert ends(d("sum", "add", "stem", "twice", alpha=1.0))[0] == [("f", 0.5, ())]


def test_an_interpolation_scales_its_skip_path_and_its_branch():
    d = branch(start(), "f", "stem")("sum", "lerp", "stem", "f", alpha=0.3)
    found, merge = ends(d)
    assert found == [("f", 0.3, ())]
    assert (merge.skip_kind, merge.skip_end.constant) == ("scaled", 0.7)
    d = branch(start(), "f", "stem")("sum", "lerp", "f", "stem", alpha=0.3)
    assert ends(d)[0] == [("f", 0.7, ())]


def test_an_interpolation_by_a_tensor_has_constants_that_are_not_known():
    d = branch(start(), "f", "stem")("sum", "lerp", "stem", "f", alpha=None)
    found, merge = ends(d)
    assert found == [("f", None, ())]
    assert (merge.skip_kind, merge.skip_end.constant) == ("scaled", None)


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ([], "identity"),
        ([("view", None), ("clone", None)], "identity"),
        ([("mul", CONSTANT)], "scaled"),
        ([("mul", Factor("constant", 1.0))], "identity"),
        ([("mul", GAIN)], "scaled"),
        ([("avg_pool2d", None)], "projection"),
        ([("relu", None)], "projection"),
        ([("relu", None), ("mul", CONSTANT)], "projection"),
    ],
    ids=str,
)
def test_a_skip_path_is_the_identity_scaled_or_a_projection(steps, kind):
    d = branch(start(), "f", "stem")
    last = "stem"
    for number, (operation, factor) in enumerate(steps):
        d(f"step{number}", operation, last, factor=factor)
        last = f"step{number}"
    assert ends(d("sum", "add", last, "f"))[1].skip_kind == kind


def test_a_skip_path_is_not_walked_back_beyond_its_fork():
    d = start()("scaled", "mul", "stem", factor=CONSTANT)
    d = branch(d, "f", "scaled")("sum", "add", "scaled", "f")
    _, merge = ends(d)
    assert (merge.skip_kind, merge.skip_end.node) == ("identity", d["scaled"])


def test_a_module_that_reshapes_what_it_computed_shows_the_end_of_its_branch():
    d = branch(start(), "f", "stem")("flat", "flatten", "f", returns="f")
    d("mask", "mul", "flat", factor=Factor("mask"))
    assert ends(d("sum", "add", "stem", "mask"))[0] == [("flat", 1.0, ())]
    d = branch(start(), "f", "stem")("flat", "flatten", "f", returns="f")
    d("unflat", "view", "flat")
    assert ends(d("sum", "add", "stem", "unflat"))[0] == [("flat", 1.0, ())]
    # behind a cast the values may be others
    d = branch(start(), "f", "stem")("cast", "to", "f")("flat", "flatten", "cast", returns="f")
    assert ends(d("sum", "add", "stem", "flat"))[0] == [("f", 1.0, ())]
    # where the layer itself showed it, that is its place
    d = start()("f", "linear", "stem", returns="g")("flat", "flatten", "f", returns="f")
    assert ends(d("sum", "add", "stem", "flat"))[0] == [("f", 1.0, ())]


# -- levels and owners -----------------------------------------------------------------------------


def nested():
    """A merge around two others, and a fourth behind it."""
    d = branch(start()("aside", "relu", "stem"), "f", "stem")("one", "add", "stem", "f")
    d = branch(d, "g", "one")("two", "add", "one", "g")("end", "linear", "two")
    d = branch(d, "plain", "stem")("stack", "stack", "stem", "plain", "end")
    d("outer", "sum", "stack")
    return branch(d, "h", "outer")("last", "add", "outer", "h")


def test_the_level_of_a_merge_counts_those_whose_branch_holds_it():
    d = nested()
    d.graph.calls[ROOT].module = nn.Sequential()  # whose merges are of no one level
    levels = {d.name_of(merge.node): merge.level for merge in d.merges()}
    assert levels == {"one": 1, "two": 1, "outer": 0, "last": 0}


def blocks_inside_a_path(drawing, count):
    """Modules of one class, one behind the other, so many of them inside a path around them."""
    parent = "stem"
    for number in range(3):
        drawing.module(f"b{number}", Other)
        branch(drawing, f"f{number}", parent, within=f"b{number}")
        drawing(f"s{number}", "add", parent, f"f{number}", within=f"b{number}")
        parent = f"s{number}"
        if number + 1 == count:
            drawing("end", "linear", parent)("around", "add", "stem", "end")
            parent = "around"
    return drawing


def test_a_path_around_all_modules_of_a_class_holds_them_and_is_not_put_aside():
    d = blocks_inside_a_path(start(), 3)
    findings = find_merges(d.graph)
    levels = {d.name_of(merge.node): merge.level for merge in findings.merges}
    assert levels == {"s0": 1, "s1": 1, "s2": 1, "around": 0}
    assert findings.spanning == []


def test_a_path_around_some_modules_of_a_class_is_put_aside():
    d = blocks_inside_a_path(start(), 2)
    findings = find_merges(d.graph)
    levels = {d.name_of(merge.node): merge.level for merge in findings.merges}
    assert levels == {"s0": 0, "s1": 0, "s2": 0}
    assert [d.name_of(merge.node) for merge in findings.spanning] == ["around"]


def test_a_module_may_hold_others_of_its_own_class():
    d = Drawing()
    d.graph.calls[ROOT].module = Other()
    d = blocks_inside_a_path(d("x", "input")("stem", "linear", "x", returns="stem"), 2)
    findings = find_merges(d.graph)
    levels = {d.name_of(merge.node): merge.level for merge in findings.merges}
    assert levels == {"s0": 1, "s1": 1, "around": 0, "s2": 0}


def test_merges_on_the_skip_path_or_before_the_fork_are_not_held():
    """As in a decoder whose cross-attention reads an encoder."""
    d = branch(start(), "f", "stem")("encoded", "add", "stem", "f")
    d("y", "input")("query", "linear", "y")
    d("attention", "mul", "query", "encoded")("value", "linear", "attention")
    d("sum", "add", "query", "value")
    assert [merge.level for merge in d.merges()] == [0, 0]


def test_a_merge_beside_others_of_its_class_puts_the_one_around_it_aside():
    """Modules of one class belong to one level."""
    d = start()
    for number, parent in (("1", "stem"), ("2", "sum1"), ("3", "sum2")):
        d.module(f"b{number}", Other)
        d = branch(d, f"f{number}", parent, within=f"b{number}")
        d(f"sum{number}", "add", parent, f"f{number}", within=f"b{number}", returns=f"b{number}")
        if number == "2":
            d("lateral", "linear", "sum2")
            d("sum2", "add", "stem", "lateral")
    findings = find_merges(d.graph)
    assert [merge.level for merge in findings.merges] == [0, 0, 0]
    assert len(findings.spanning) == 1
    told = list(remarks_on(findings, find_taps(d.graph, findings)))
    assert told == [
        "sums that join a path around several blocks: 1 (as in a U-Net or a feature pyramid). The "
        "plot shows the blocks inside"
    ]


def test_the_owner_is_the_innermost_call_that_holds_merge_and_weights():
    d = start()
    for layer in ("a", "a.b", "a.b.c", "a.d"):
        d.module(layer)
    d("f", "linear", "stem", within="a.b.c")("sum", "add", "stem", "f", within="a.b")
    (merge,) = d.merges()
    assert owner(d.graph, merge) == ("a.b", 0)
    apart = start()
    for layer in ("a", "a.b", "a.b.c", "a.d"):
        apart.module(layer)
    apart("f", "linear", "stem", within="a.d")("act", "relu", "f", within="")
    apart("sum", "add", "stem", "act", within="a.b.c")
    (merge,) = apart.merges()
    assert owner(apart.graph, merge) == ("a", 0)
    split = start()
    split.module("a"), split.module("b")
    split("f", "linear", "stem", within="a")("sum", "add", "stem", "f", within="b")
    (merge,) = split.merges()
    assert owner(split.graph, merge) == ROOT


def of_level(*levels):
    return [SimpleNamespace(level=level) for level in levels]


def test_the_outermost_level_with_several_merges_is_drawn():
    assert drawn_level(of_level(0, 1, 1, 2, 2)) == 1
    assert drawn_level(of_level(0, 0, 1, 1, 1)) == 0
    assert drawn_level(of_level(2, 1)) == 1
    assert drawn_level([]) == 0


# -- blocks and stems ------------------------------------------------------------------------------


def row_of(count, *, layer="", per_module=1):
    """Merges in a row, so many of them in each module of a layer; a head behind."""
    d = start()
    parent = "stem"
    for number in range(count):
        within = f"{layer}{number // per_module}" if layer else ""
        d = branch(d, f"f{number}", parent, within=within)
        last = within and (number + 1) % per_module == 0
        d(f"s{number}", "add", parent, f"f{number}", within=within, returns=within if last else ())
        parent = f"s{number}"
    return d("head", "linear", parent, returns="")


def blocks_of(drawing):
    found = find_blocks(drawing.graph, drawing.merges())
    return [(drawing.name_of(b.node), b.owner and b.owner[0], len(b.merges)) for b in found]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_merge_of_the_root_is_a_block(count):
    wanted = [(f"s{number}", None, 1) for number in range(count)]
    assert blocks_of(row_of(count)) == wanted


def test_the_merges_of_a_module_are_one_block():
    assert blocks_of(row_of(4, layer="b", per_module=2)) == [("s1", "b0", 2), ("s3", "b1", 2)]


@pytest.mark.parametrize("merges", [1, 2, 3])
def test_a_lone_module_of_up_to_three_merges_is_a_block(merges):
    found = blocks_of(row_of(merges, layer="b", per_module=merges))
    assert found == [(f"s{merges - 1}", "b0", merges)]


def test_each_merge_of_a_lone_module_of_four_is_a_block():
    assert blocks_of(row_of(4, layer="b", per_module=4)) == [(f"s{k}", None, 1) for k in range(4)]
    # beside another module it is one
    assert [size for _, _, size in blocks_of(row_of(8, layer="b", per_module=4))] == [4, 4]


def around(inner):
    """Layers that merge once themselves, and in parts of their own so many times before."""
    d, parent = start(), "stem"
    for layer in ("a", "b"):
        d.module(layer)
        for number in range(inner):
            part = f"{layer}.{number}"
            d.module(part, Other)
            name = f"{layer}{number}"
            d = branch(d, f"f{name}", parent, within=part)
            d(name, "add", parent, f"f{name}", within=part, returns=part)
            parent = name
        d = branch(d, f"f{layer}", parent, within=layer)
        d(layer, "add", parent, f"f{layer}", within=layer, returns=layer)
        parent = layer
    return d


@pytest.mark.parametrize("inner", [1, 2, 3])
def test_a_layer_has_the_merges_of_its_parts_up_to_four_in_all(inner):
    assert blocks_of(around(inner)) == [("a", "a", inner + 1), ("b", "b", inner + 1)]


def test_a_layer_that_merges_before_its_parts_and_behind_them_has_all_in_their_order():
    d, parent = start(), "stem"
    for layer in ("a", "b"):
        d.module(layer), d.module(f"{layer}.0", Other)
        for number, within in enumerate((layer, f"{layer}.0", layer)):
            name = f"{layer}{number}"
            d = branch(d, f"f{name}", parent, within=within)
            d(name, "add", parent, f"f{name}", within=within, returns=layer if number == 2 else ())
            parent = name
    found = find_blocks(d.graph, d.merges())
    assert [[d.name_of(merge.node) for merge in block.merges] for block in found] == [
        *(["a0", "a1", "a2"], ["b0", "b1", "b2"]),
    ]


def test_the_output_of_a_block_is_the_one_that_descends_from_its_merge():
    d, parent = start(), "stem"
    for number in range(2):
        within = f"b{number}"
        d(f"aside{number}", "relu", parent, within=within, returns=within)
        d = branch(d, f"f{number}", parent, within=within)
        d(f"s{number}", "add", parent, f"f{number}", within=within, returns=within)
        parent = f"s{number}"
    assert [name for name, _, _ in blocks_of(d)] == ["s0", "s1"]


def test_parts_with_more_merges_are_blocks_of_their_own():
    assert len(blocks_of(around(4))) == 10


def test_the_merges_of_a_network_are_not_those_of_its_root():
    d = row_of(2, layer="b")
    d = branch(d, "g", "head")("s2", "add", "head", "g", returns="")
    assert blocks_of(d) == [("s0", "b0", 1), ("s1", "b1", 1), ("s2", None, 1)]


def test_modules_of_the_class_of_a_block_are_blocks_without_a_merge():
    d = row_of(2, layer="b")
    d.module("c"), d.module("d", Other)
    d("c", "linear", "head", within="c", returns="c")("d", "linear", "c", within="d", returns="d")
    found = blocks_of(d)
    assert found == [("s0", "b0", 1), ("s1", "b1", 1), ("c", "c", 0)]


def test_modules_inside_a_block_are_none_whatever_their_class():
    d, parent = start(), "stem"
    for number in range(2):
        within, part = f"b{number}", f"b{number}.part"
        d.module(within), d.module(part)
        d(f"p{number}", "linear", parent, within=part, returns=part)
        d = branch(d, f"f{number}", f"p{number}", within=within)
        d(f"s{number}", "add", parent, f"f{number}", within=within, returns=within)
        parent = f"s{number}"
    assert blocks_of(d) == [("s0", "b0", 1), ("s1", "b1", 1)]


def test_the_stem_is_what_enters_the_first_block():
    d = row_of(2, layer="b")
    d.graph.module_inputs["b0", 0] = d["stem"].index
    findings = find_merges(d.graph)
    taps = find_taps(d.graph, findings)
    stem = taps[Place("stem")]
    assert (stem.tap, stem.block, stem.stage) == (Tap.STEM, 0, 0)
    assert [(p.layer, i.block) for p, i in taps.items() if i.tap is Tap.BLOCK] == [
        *(("b0", 1), ("b1", 2)),
    ]
    d.graph.module_inputs["b0", 0] = d["x"].index
    assert Tap.STEM not in {i.tap for i in find_taps(d.graph, findings).values()}


def test_a_first_block_without_merge_or_tensors_given_by_position_has_no_stem():
    d = start()("c", "linear", "stem", within="c", returns="c")
    d = branch(d, "f", "c", within="b")("s", "add", "c", "f", within="b", returns="b")
    taps = find_taps(d.graph, find_merges(d.graph))
    assert [(place.layer, info.tap, info.block) for place, info in taps.items()][:2] == [
        *(("c", Tap.BLOCK, 1), ("b", Tap.BLOCK, 2)),
    ]


def test_a_reshaped_stem_is_read_where_a_module_returned_it():
    d = start()("flat", "flatten", "stem")
    d = branch(d, "f", "flat")("s", "add", "flat", "f")
    taps = find_taps(d.graph, find_merges(d.graph))
    assert taps[Place("stem")].tap is Tap.STEM
    shown = start()("flat", "flatten", "stem", returns="embedding")
    shown = branch(shown, "f", "flat")("s", "add", "flat", "f")
    taps = find_taps(shown.graph, find_merges(shown.graph))
    assert taps[Place("embedding")].tap is Tap.STEM


def test_a_projection_is_a_skip_path_and_an_identity_none():
    d = branch(branch(start(), "f", "stem", weights=2), "skip", "stem")("s", "add", "f", "skip")
    taps = find_taps(d.graph, find_merges(d.graph))
    (skip,) = [place for place, info in taps.items() if info.tap is Tap.SKIP_PATH]
    assert skip == d["skip"].place
    plain = start()("norm", "layer_norm", "stem", within="b")
    plain = branch(plain, "f", "norm", within="b")("s", "add", "norm", "f", within="b", returns="b")
    plain.graph.module_inputs["b", 0] = plain["stem"].index
    taps = find_taps(plain.graph, find_merges(plain.graph))
    assert {place.layer: info.tap for place, info in taps.items() if not place.operation} == {
        "stem": Tap.STEM,
        "b": Tap.BLOCK,
    }
    assert Tap.SKIP_PATH not in {info.tap for info in taps.values()}


def test_a_stage_is_a_run_of_equal_shapes_but_for_the_batch():
    d, parent = start(), "stem"
    for number, shape in enumerate([(6, 8), (12, 8), (6, 9)]):
        d = branch(d, f"f{number}", parent)
        d(f"s{number}", "add", parent, f"f{number}", shape=shape)
        parent = f"s{number}"
    taps = find_taps(d.graph, find_merges(d.graph))
    assert [info.stage for info in taps.values() if info.tap is Tap.BLOCK] == [1, 1, 2]


# -- patterns --------------------------------------------------------------------------------------


def shown(*layers):
    """Layers in a row, of such widths, each with a batch of its own."""
    d, parent = Drawing()("x", "input"), "x"
    for batch, (layer, width) in enumerate(layers):
        d(layer, "linear", parent, returns=layer.split(), shape=(batch, width))
        parent = layer
    return d.graph


def test_a_branch_belongs_to_the_first_block_that_ends_behind_it():
    graph = shown(("s", 4), ("f1", 4), ("b1", 4), ("f2", 8), ("b2", 8), ("f3", 8))
    found = taps_by_pattern(graph, matcher("b?"), matcher("f?"), matcher("s"))
    told = {place.layer: (info.tap, info.block, info.stage) for place, info in found.items()}
    assert told == {
        "s": (Tap.STEM, 0, 0),
        "f1": (Tap.RESIDUAL_BRANCH, 1, 1),
        "b1": (Tap.BLOCK, 1, 1),
        "f2": (Tap.RESIDUAL_BRANCH, 2, 2),
        "b2": (Tap.BLOCK, 2, 2),
        "f3": (Tap.RESIDUAL_BRANCH, 3, 2),
    }


def test_a_branch_that_is_returned_by_its_block_belongs_to_it():
    graph = shown(("f1", 4), ("b1", 4), ("f2 b2", 4), ("f3 b3", 8))
    found = taps_by_pattern(graph, matcher("b?"), matcher("f?"), None)
    told = {place.layer: (info.block, info.stage) for place, info in found.items()}
    assert told == {
        **{"f1": (1, 1), "b1": (1, 1), "f2": (2, 1), "b2": (2, 1)},
        **{"f3": (3, 2), "b3": (3, 2)},
    }


def test_without_patterns_there_are_neither_branches_nor_a_stem():
    graph = shown(("s", 4), ("f1", 4), ("b1", 4))
    blocks = taps_by_pattern(graph, matcher("b?"), None, None)
    assert [(place.layer, info.tap) for place, info in blocks.items()] == [("b1", Tap.BLOCK)]
    branches = taps_by_pattern(graph, None, matcher("f?"), None)
    assert [(p.layer, i.block, i.stage) for p, i in branches.items()] == [("f1", 1, 1)]


def test_remarks_count_what_looked_like_a_residual_network():
    none = list(remarks_on(Findings([], [], []), {}))
    assert none == ["no residual merge was found: the plot follows the weighted layers"]
    stem, block = TapInfo(Tap.STEM, 0, 0), TapInfo(Tap.BLOCK, 1, 1)
    assert list(remarks_on(Findings([], [], []), {Place("s"): stem})) == none
    assert list(remarks_on(Findings([], [], []), {Place("b"): block})) == []
    node = start()["stem"]
    told = list(remarks_on(Findings([], [node] * 2, [node] * 3), {}))
    assert told[1:] == [
        "sums of parallel branches of equal weight: 2. None of these branches is a skip path, so "
        "they are not drawn as blocks; where they should be, name them with record(..., "
        "blocks=PATTERN)",
        "concatenations that join branches: 3. They are no residual merges and have no residual "
        "branch variance",
    ]
