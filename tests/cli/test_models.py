import json

from sppkit import models
from sppkit.models import REFERENCES


def test_the_list_names_every_reference_with_family_size_and_expectation(spp):
    text = spp("models").stdout
    words = " ".join(text.split())
    for reference in REFERENCES:
        row = next(line for line in text.splitlines() if line.startswith(f"{reference.name} "))
        assert f"{reference.parameters:,}" in row
        assert ",".join(map(str, reference.input_size)) in row
        assert f"\n{reference.family}" in f"\n{text}"
        assert reference.paper in words
        assert f"Expect: {reference.expectation}" in words
    assert max(map(len, text.splitlines())) <= 80


def test_the_list_is_there_for_machines(spp):
    listed = json.loads(spp("models", "--output-format", "json").stdout)
    assert [entry["name"] for entry in listed] == [reference.name for reference in REFERENCES]
    assert listed[0]["input_size"] == [64]
    assert listed[0]["parameters"] == 479_754
    assert listed[0]["family"] == "fully connected"
    assert listed[0]["expectation"]


def test_a_reference_is_described_with_paper_arguments_and_parameters(spp):
    text = spp("models", "mlp").stdout
    count = sum(parameter.numel() for parameter in models.build("mlp").parameters())
    assert f"{count:,}" in text
    assert "Delving deep into rectifiers" in text
    assert "-k depth=8" in text


def test_a_description_is_there_for_machines(spp):
    described = json.loads(spp("models", "ref:mlp", "--output-format", "json").stdout)
    assert described["arguments"]["depth"] == 8
    assert described["parameters"] > 0


def test_an_unknown_reference_names_the_nearest(fails):
    assert "nf_resnet20" in fails("models", "nf_resnet2O")
