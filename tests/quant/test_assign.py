import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.errors import RecipeError
from edgewise.graph.network import Network
from edgewise.quant.assign import Assignment
from edgewise.quant.placement import place
from edgewise.quant.profiles import ONNX_RUNTIME
from edgewise.quant.scheme import INT8, WIDTHS, Scheme

W2A2 = Scheme(2, 2)


def schemes(network: Network, assignment: Assignment) -> dict[str, Scheme]:
    placement = place(network, ONNX_RUNTIME)
    found = assignment.layers(network, placement)
    return {str(node.meta["path"]): scheme for node, scheme in found.items()}


def test_the_ends_may_be_of_other_bits(tiny_network: Network) -> None:
    found = list(schemes(tiny_network, Assignment(W2A2, INT8)).values())
    assert found[0] == found[-1] == INT8
    assert set(found[1:-1]) <= {W2A2}
    assert set(schemes(tiny_network, Assignment(W2A2)).values()) == {W2A2}


def test_the_first_glob_that_matches_decides(tiny_network: Network) -> None:
    paths = list(schemes(tiny_network, Assignment(W2A2)))
    mixed = ((paths[0], Scheme(4, 8)), ("*", Scheme(3, 3)))
    found = schemes(tiny_network, Assignment(W2A2, INT8, mixed))
    assert found == {path: Scheme(4, 8) if path == paths[0] else Scheme(3, 3) for path in paths}


def test_a_glob_that_covers_nothing_is_refused(tiny_network: Network) -> None:
    with pytest.raises(RecipeError, match=r"no quantized layer is called 'nothing\*'"):
        schemes(tiny_network, Assignment(W2A2, None, (("nothing*", INT8),)))


@given(
    weights=st.sampled_from(WIDTHS), activations=st.sampled_from(WIDTHS), glob=st.text(min_size=1)
)
def test_settings_are_parsed(weights: int, activations: int, glob: str) -> None:
    found = Assignment.of(W2A2, f"w{weights}a{activations}", (f"{glob}=w{weights}a{activations}",))
    assert found == Assignment(
        W2A2, Scheme(weights, activations), ((glob, Scheme(weights, activations)),)
    )


@pytest.mark.parametrize("text", ["", "head", "=w8a8", "head=", "head=w8", "head=w7a7"])
def test_what_gives_no_layer_a_scheme_is_refused(text: str) -> None:
    with pytest.raises(RecipeError):
        Assignment.of(INT8, "", (text,))


def test_an_activation_has_the_most_bits_that_a_reader_wants(tiny_network: Network) -> None:
    assignment = Assignment(W2A2)
    placement = place(tiny_network, ONNX_RUNTIME)
    bits = assignment.activation_bits(
        tiny_network, placement, assignment.layers(tiny_network, placement)
    )
    for node, group in placement.groups.items():
        if node.op == "placeholder" or any(user.op == "output" for user in node.users):
            assert bits[group] == 8, "neither the image nor the answer loses bits"
    assert set(bits) == set(placement.groups.values())
    assert 2 in bits.values()
    ends = Assignment(W2A2, INT8)
    wide = ends.activation_bits(tiny_network, placement, ends.layers(tiny_network, placement))
    assert all(wide[group] >= bits[group] for group in bits)
