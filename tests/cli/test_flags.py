import pytest

from sppkit.cli.flags import Measuring, parse_size


def test_a_size_is_read_in_the_ways_people_write_it():
    for text in ("3,64,64", "3x64x64", "(3, 64, 64)", "[3,64,64]"):
        assert parse_size(text) == (3, 64, 64)


@pytest.mark.parametrize("text", ["", "3;64", "3,,64", "0,3", "-1", "3.5", "b,c"])
def test_what_is_no_size_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="-s 3,64,64"):
        parse_size(text)


def test_a_vocabulary_means_tokens_unless_a_type_is_given():
    assert Measuring().dtype == "float32"
    assert Measuring(vocabulary=10).dtype == "int"
    assert Measuring(vocabulary=10, input_dtype="int32").dtype == "int32"


def test_the_flags_of_a_command_are_grouped_under_titles(spp):
    text = spp("plot", "--help").stdout
    order = [text.index(title) for title in ("Arguments:", "Options:", "Input of the model:")]
    assert order == sorted(order)
