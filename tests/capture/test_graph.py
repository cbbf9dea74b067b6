"""The graph of a pass: what a tensor is multiplied with, and which tensors came from which."""

import math

import pytest
import torch
from torch import nn

from sppkit.capture.calls.places import Place
from sppkit.capture.calls.watch import Watch
from sppkit.capture.tracing import graph as names
from sppkit.capture.tracing.graph import Factor
from sppkit.capture.tracing.tracer import Tracer


class Expression(nn.Module):
    """One line of arithmetic on the input, with constants, gains and weights at hand."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.gain = nn.Parameter(torch.tensor(3.0))
        self.per_channel = nn.Parameter(torch.ones(8))
        self.weight = nn.Parameter(torch.ones(3, 8))
        self.register_buffer("four", torch.tensor(4.0))
        self.register_buffer("table", torch.ones(8))

    def forward(self, x):
        return self.function(self, x)


def graph_of(model, *inputs):
    """Trace one pass."""
    missing = []
    tracer = Tracer(model)
    watch = Watch(model, [tracer], operations=True, on_missing=lambda *told: missing.append(told))
    watch.attach()
    model(*inputs)
    watch.detach()
    assert not missing
    return tracer.graph


def last_node(function):
    return graph_of(Expression(function), torch.rand(3, 8)).nodes[-1]


FACTORS = {
    "a number": (lambda m, x: 2 * x, Factor("constant", 2.0)),
    "a number behind": (lambda m, x: torch.multiply(x, 2), Factor("constant", 2.0)),
    "a number in place": (lambda m, x: x.mul_(0.5), Factor("constant", 0.5)),
    "a quotient": (lambda m, x: x / 4, Factor("constant", 0.25)),
    "a true quotient": (lambda m, x: torch.true_divide(x, 4.0), Factor("constant", 0.25)),
    "a quotient with zero": (lambda m, x: x / 0.0, Factor("constant", math.inf)),
    "a buffer": (lambda m, x: m.four * x, Factor("constant", 4.0)),
    "a quotient with a buffer": (lambda m, x: x / m.four, Factor("constant", 0.25)),
    "a quotient with a buffer in place": (lambda m, x: x.div_(m.four), Factor("constant", 0.25)),
    "a buffer of several numbers": (lambda m, x: x * m.table, Factor("constant", None)),
    "a gain": (lambda m, x: x * m.gain, Factor("gain", parameter="gain")),
    "a gain per channel": (lambda m, x: x * m.per_channel, Factor("gain", parameter="per_channel")),
    "a computed gain": (lambda m, x: x * m.gain.tanh(), Factor("gain")),
    "a weight per value": (lambda m, x: x * m.weight, Factor("other")),
    "a mask": (lambda m, x: x * (torch.rand(3, 8) > 0.5), Factor("mask")),
    "a mask like the data": (lambda m, x: x * torch.rand_like(x), Factor("mask")),
    "a scaled mask": (lambda m, x: x * (torch.bernoulli(torch.ones(3, 1)) / 0.5), Factor("mask")),
    "a number over the data": (lambda m, x: 2.0 / x, None),
    "a rounded quotient": (lambda m, x: torch.div(x, 4.0, rounding_mode="floor"), None),
    "a buffer over the data": (lambda m, x: torch.div(m.four, x), Factor("other")),
    "a gain over the data": (lambda m, x: m.gain / x, Factor("other")),
    "the data twice": (lambda m, x: x * x, None),
    "a sum": (lambda m, x: x + 2, None),
}


@pytest.mark.parametrize("name", FACTORS)
def test_what_a_product_multiplies_its_data_with_is_known(name):
    function, factor = FACTORS[name]
    assert last_node(function).factor == factor


# -- names of operations ---------------------------------------------------------------------------

KINDS = ("SHAPE_OPERATIONS", "CASTS", "RANDOM_OPERATIONS", "NORMALISATIONS", "NONLINEARITIES")


@pytest.mark.parametrize("kind", KINDS)
def test_operations_have_the_names_of_torchs_functions(kind):
    homes = (torch.Tensor, torch, nn.functional)
    unknown = [
        name
        for name in getattr(names, kind)
        if not any(hasattr(home, own) for home in homes for own in (name, f"{name}_"))
        and name not in ("getitem", "to_padded_tensor")
    ]
    assert unknown == []
    assert not [n for n in getattr(names, kind) if n.endswith("_")], "canonical names have no '_'"


OPERATIONS = {
    "view": lambda m, x: x.view(24),
    "reshape": lambda m, x: x.reshape(-1),
    "flatten": lambda m, x: torch.flatten(x),
    "getitem": lambda m, x: x[:, 0],
    "T": lambda m, x: x.T,
    "mT": lambda m, x: x.mT,
    "data": lambda m, x: x.data,
    "chunk": lambda m, x: x.chunk(2, 1)[1],
    "clone": lambda m, x: x.clone(),
    "contiguous": lambda m, x: x.contiguous(),
    "pad": lambda m, x: nn.functional.pad(x, (1, 1)),
    "to": lambda m, x: x.to(torch.float64),
    "double": lambda m, x: x.double(),
    "type_as": lambda m, x: x.type_as(m.four),
    "dropout": lambda m, x: nn.functional.dropout(x, 0.5),
    "bernoulli": lambda m, x: x.bernoulli_(0.5),
    "normal": lambda m, x: x.normal_(),
    "layer_norm": lambda m, x: nn.functional.layer_norm(x, (8,)),
    "rms_norm": lambda m, x: nn.functional.rms_norm(x, (8,)),
    "relu": lambda m, x: x.relu_(),
    "clamp": lambda m, x: x.clamp(0, 1),
    "softmax": lambda m, x: x.softmax(-1),
    "hardswish": lambda m, x: nn.functional.hardswish(x),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_known_by_its_name(name):
    node = last_node(OPERATIONS[name])
    assert node.operation == name
    assert any(name in getattr(names, kind) for kind in KINDS)


# -- nodes -----------------------------------------------------------------------------------------


def drawn(graph):
    return [(node.operation, node.parents) for node in graph.nodes]


def test_every_operation_on_the_data_is_a_node_with_its_parents_in_their_order():
    graph = graph_of(Expression(lambda m, x: (x.relu() - x.tanh()) * x), torch.rand(3, 8))
    assert drawn(graph) == [
        *(("input", ()), ("relu", (0,)), ("tanh", (0,)), ("sub", (1, 2)), ("mul", (3, 0))),
    ]
    ancestors = [{k for k in range(5) if node.ancestors >> k & 1} for node in graph.nodes]
    assert ancestors == [{0}, {0, 1}, {0, 2}, {0, 1, 2, 3}, {0, 1, 2, 3, 4}]
    assert graph.children() == [[1, 2, 4], [3], [3], [4], []]


def test_an_operand_used_twice_is_one_parent():
    assert last_node(lambda m, x: torch.cat([x, x])).parents == (0,)


def test_what_is_made_without_the_data_is_no_node():
    def forward(m, x):
        made = torch.zeros(3, 8) + m.weight.exp() + torch.zeros_like(x) + x.new_ones(3, 8)
        return x + made

    graph = graph_of(Expression(forward), torch.rand(3, 8))
    assert drawn(graph) == [("input", ()), ("add", (0,))]
    assert graph.nodes[1].uses_parameter


@pytest.mark.parametrize(
    ("function", "uses"),
    [
        (lambda m, x: x * m.gain, True),
        (lambda m, x: x * (2 * m.gain.exp()), True),
        (lambda m, x: torch.add(x, other=m.weight), True),
        (lambda m, x: x * m.four, False),
        (lambda m, x: x * torch.rand(8), False),
    ],
)
def test_what_comes_of_a_parameter_uses_one(function, uses):
    assert last_node(function).uses_parameter is uses


def test_a_parameter_itself_is_known_where_it_is_given_to_a_functional_call():
    model = Expression(lambda m, x: x * m.gain)
    values = {"gain": torch.tensor(2.0)}
    tracer = Tracer(model)
    watch = Watch(model, [tracer], operations=True, on_missing=lambda *_: None)
    watch.attach()
    torch.func.functional_call(model, values, (torch.rand(3, 8),))
    watch.detach()
    assert tracer.graph.nodes[-1].uses_parameter
    assert tracer.graph.nodes[-1].factor == Factor("gain")


def test_a_write_through_an_index_moves_the_tensor_on():
    def forward(m, x):
        y = x.clone()
        y[0] = x[1].tanh()
        return y.relu()

    graph = graph_of(Expression(forward), torch.rand(3, 8))
    assert drawn(graph) == [
        *(("input", ()), ("clone", (0,)), ("getitem", (0,)), ("tanh", (2,))),
        *(("setitem", (1, 3)), ("relu", (4,))),
    ]


def test_a_value_that_is_written_into_another_tensor_stays_what_it_is():
    def forward(m, x):
        y, value = x.clone(), x[1].tanh()
        y[0] = value
        return value.relu()

    graph = graph_of(Expression(forward), torch.rand(3, 8))
    assert drawn(graph)[-2:] == [("setitem", (1, 3)), ("relu", (3,))]


def test_a_new_tensor_that_is_filled_through_a_view_descends_from_the_data():
    def forward(m, x):
        made = x.new_zeros(5, 8)
        made[:3].copy_(x.tanh())
        return made.relu()

    graph = graph_of(Expression(forward), torch.rand(3, 8))
    operations = [operation for operation, _ in drawn(graph)]
    assert operations == ["input", "tanh", "copy", "setitem", "relu"]
    assert [node.parents for node in graph.nodes][2:] == [(1,), (2,), (3,)]
    assert graph.nodes[3].axis == graph.nodes[2].axis == 1


@pytest.mark.parametrize(
    ("function", "alpha"),
    [
        (lambda m, x: torch.add(x, x.tanh(), alpha=0.5), 0.5),
        (lambda m, x: torch.sub(x, x.tanh(), alpha=3), 3.0),
        (lambda m, x: x + x.tanh(), 1.0),
        (lambda m, x: torch.lerp(x, x.tanh(), 0.25), 0.25),
        (lambda m, x: x.lerp(x.tanh(), weight=0.25), 0.25),
        (lambda m, x: torch.lerp(x, x.tanh(), m.four), None),
        (lambda m, x: x.relu(), None),
        (lambda m, x: torch.add(x, x.tanh(), alpha=torch.tensor(0.5)), None),
    ],
)
def test_the_factor_of_the_second_operand_of_a_sum_is_its_alpha(function, alpha):
    assert last_node(function).alpha == alpha


def test_the_arguments_of_the_root_are_the_first_nodes():
    class Two(nn.Module):
        def forward(self, pair, *, scale):
            return pair["a"] * scale + pair["b"]

    model = Two()
    tracer = Tracer(model)
    watch = Watch(model, [tracer], operations=True, on_missing=lambda *_: None)
    watch.attach()
    model({"a": torch.rand(3, 8), "b": torch.rand(2, 3, 8)}, scale=torch.rand(8))
    watch.detach()
    nodes = tracer.graph.nodes
    assert [node.operation for node in nodes] == ["input"] * 3 + ["mul", "add"]
    assert [(node.shape, node.axis) for node in nodes[:3]] == [
        *(((3, 8), 1), ((2, 3, 8), None), ((8,), None)),
    ]
    assert {node.place.operation for node in nodes[:3]} == {"input"}
    assert len({node.place for node in nodes}) == 5


def test_a_pass_begins_with_an_empty_graph():
    model = Expression(lambda m, x: x.relu())
    tracer = Tracer(model)
    watch = Watch(model, [tracer], operations=True, on_missing=lambda *_: None)
    watch.attach()
    for _ in range(2):
        model(torch.rand(3, 8))
    watch.detach()
    assert len(tracer.graph.nodes) == 2


# -- modules ---------------------------------------------------------------------------------------


def test_a_node_names_the_modules_that_returned_it_innermost_first():
    model = nn.Sequential(nn.Sequential(nn.Linear(8, 4)), nn.Identity())
    graph = graph_of(model, torch.rand(3, 8))
    (node,) = graph.nodes[1:]
    assert [place.layer for place in node.emitted] == ["0.0", "0", "1", ""]
    assert node.output_place == Place("0.0")
    assert node.stack == (("", 0), ("0", 0), ("0.0", 0))
    assert {layer: graph.nodes[index].operation for (layer, _), index in
            graph.module_inputs.items()} == {
        "0.0": "input", "0": "input", "1": "linear", "": "input",
    }  # fmt: skip
    assert graph.nodes[0].output_place.operation == "input"
    assert set(graph.calls) == {("0.0", 0), ("0", 0), ("1", 0), ("", 0)}


class Opaque(nn.Module):
    """Computes where nothing is seen."""

    def __init__(self, weighted):
        super().__init__()
        if weighted:
            self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return torch.from_numpy(x.detach().numpy() * 2)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_module_that_computed_unseen_is_one_node(weighted):
    model = nn.Sequential(nn.ReLU(), Opaque(weighted), nn.ReLU())
    graph = graph_of(model, torch.rand(2, 3, 8))
    assert drawn(graph) == [
        *(("input", ()), ("relu", (0,)), ("detach", (1,)), ("module", (1,)), ("relu", (3,))),
    ]
    node = graph.nodes[3]
    assert node.uses_parameter is weighted
    assert (node.place, node.emitted) == (Place("1"), [Place("1")])


def test_a_module_that_returns_its_parameter_shows_no_data():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(8))

        def forward(self, x):
            return self.weight

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = Table()

        def forward(self, x):
            return x + self.table(x)

    graph = graph_of(Both(), torch.rand(3, 8))
    assert drawn(graph) == [("input", ()), ("add", (0,))]
    assert graph.nodes[1].uses_parameter


# -- channel axes ----------------------------------------------------------------------------------

AXES = {
    "a column": (lambda x: x[:, :, 0], 1),
    "a row of a batch": (lambda x: x[0], 0),
    "a new axis": (lambda x: x[:, None], 2),
    "the last axes": (lambda x: x[..., 0], 1),
    "between": (lambda x: x[:, ..., None], 1),
    "a slice": (lambda x: x[1:, :2, ::2], 1),
    "a sum over positions": (lambda x: x.sum(-1), 1),
    "a kept sum": (lambda x: x.mean(-1, keepdim=True), 1),
    "a permutation": (lambda x: x.permute(0, 2, 3, 1), 3),
    "a transposition": (lambda x: torch.transpose(x, 1, 2), 2),
    "a mean by keyword": (lambda x: x.mean(dim=2), 1),
    "a transposition by keywords": (lambda x: torch.transpose(input=x, dim0=1, dim1=2), 2),
}


@pytest.mark.parametrize("name", AXES)
def test_the_channels_are_followed_through_indices_reductions_and_permutations(name):
    function, axis = AXES[name]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 1)

        def forward(self, x):
            return function(self.conv(x)).relu()

    graph = graph_of(Net(), torch.rand(2, 3, 6, 7))
    node = graph.nodes[-1]
    assert node.shape[axis] == (2 if name == "a slice" else 5)
    assert node.axis == axis


def test_a_masked_index_and_a_sum_over_channels_lose_the_axis():
    def of(function):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv1d(3, 5, 1)

            def forward(self, x):
                return function(self.conv(x))

        return graph_of(Net(), torch.rand(2, 3, 6)).nodes[-1].axis

    assert of(lambda x: x.sum((1, 2))) is None
    assert of(lambda x: x[x > -100]) is None
    assert of(lambda x: x[True]) is None


def test_axes_behind_an_ellipsis_are_counted_from_the_end():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 8)

        def forward(self, x):
            return self.linear(x)[..., 0, :]

    node = graph_of(Net(), torch.rand(2, 3, 6, 4)).nodes[-1]
    assert (node.shape, node.axis) == ((2, 3, 8), 2)


def test_an_index_of_tensors_and_slices_leaves_the_axis_undecided():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 1)

        def forward(self, x):
            return self.conv(x)[torch.tensor([0, 1, 1]), :, 0]

    node = graph_of(Net(), torch.rand(2, 3, 6, 7)).nodes[-1]
    assert (node.shape, node.axis) == ((3, 5, 7), None)


def test_what_reads_a_tensor_decides_its_axis_where_its_origin_did_not():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.act, self.norm = nn.ReLU(), nn.LayerNorm(8)

        def forward(self, x):
            return self.norm(self.act(x.tanh()))

    graph = graph_of(Net(), torch.rand(2, 3, 8))
    assert [node.axis for node in graph.nodes] == [None, None, None, 2]
    assert graph.decide_axes_by_readers() == {Place("act"): 2}
    assert [node.axis for node in graph.nodes] == [2, 2, 2, 2]


def test_a_convolution_decides_the_axis_of_what_it_reads():
    graph = graph_of(nn.Conv2d(3, 5, 1), torch.rand(2, 3, 6, 7))
    graph.decide_axes_by_readers()
    assert [node.axis for node in graph.nodes] == [1, 1]


def test_a_vector_of_two_is_no_gain_of_channels_that_are_not_known():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(2))

        def forward(self, x):
            return x * self.scale

    assert graph_of(Net(), torch.rand(3, 4, 2)).nodes[-1].factor == Factor("other")


def test_a_reader_of_another_shape_that_has_no_layout_decides_nothing():
    graph = graph_of(Expression(lambda m, x: x.tanh().sum(2)), torch.rand(2, 3, 8))
    assert graph.decide_axes_by_readers() == {}
    assert [node.axis for node in graph.nodes] == [None, None, 1]


def test_only_the_first_operand_is_read_with_the_layout_of_an_operation():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Linear(4, 8)

        def forward(self, x, scale):
            return nn.functional.layer_norm(x, (8,), weight=scale)

    graph = graph_of(Net(), torch.rand(2, 3, 8), torch.rand(8))
    graph.decide_axes_by_readers()
    assert [node.axis for node in graph.nodes] == [2, None, 2]


def test_the_axis_of_a_table_of_positions_is_followed_without_the_data():
    seen = []

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(11, 8)

        def forward(self, x):
            positions = self.table(torch.arange(3))
            seen.append(positions)
            seen.append(positions[None])
            return x + positions

    model = Net()
    tracer = Tracer(model)
    watch = Watch(model, [tracer], operations=True, on_missing=lambda *_: None)
    watch.attach()
    x = torch.rand(2, 3, 8)
    model(x)
    watch.detach()
    assert [tracer.axis_of(tensor) for tensor in seen] == [1, 2]
    assert tracer.axis_of(torch.rand(3)) is None
    assert tracer.node_of(seen[0]) is None
    assert tracer.node_of(x).operation == "input"


def test_a_view_of_the_same_layout_is_the_tensor_and_another_is_not():
    model = Expression(lambda m, x: x.relu())
    tracer = Tracer(model)
    watch = Watch(model, [tracer], operations=True, on_missing=lambda *_: None)
    watch.attach()
    x = torch.rand(3, 8)
    model(x)
    watch.detach()
    assert tracer.node_of(x.view(3, 8)).index == 0
    for other in (x.view(8, 3), x[:, :4], x.t()):
        assert tracer.node_of(other) is None
