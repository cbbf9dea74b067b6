import random

import numpy as np
import torch

from sppkit.training.random_streams import RandomStream, random_state, set_random_state


def draw():
    return torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random(), np.random.randn()


def test_a_stream_goes_on_where_it_was_whatever_is_drawn_in_between():
    whole, parts = RandomStream("a", 1), RandomStream("a", 1)
    with whole.active():
        expected = [draw(), draw()]
    found = []
    for _ in range(2):
        draw()
        with parts.active():
            found.append(draw())
    assert found == expected
    with RandomStream("a", 2).active():
        assert draw() not in expected


def test_the_generators_in_force_come_back_also_after_an_error():
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    expected = draw()
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    try:
        with RandomStream("a").active():
            draw()
            raise KeyError
    except KeyError:
        pass
    assert draw() == expected


def test_a_state_survives_a_checkpoint(tmp_path):
    draw()  # numpy keeps the second of two normal numbers back
    torch.save(random_state(), tmp_path / "state.pt")
    expected = draw()
    set_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert draw() == expected
