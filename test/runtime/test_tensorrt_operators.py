"""Every operator of every graph is one that TensorRT's parser reads, within its restrictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from rose_ros.errors import ModelError
from rose_ros.paths import find_model
from rose_ros.runtime.engine_precision import FLOAT32_GRAPHS, convert
from rose_ros.runtime.manifest import FOLDER, GRAPHS, read_manifest

LIST = Path(__file__).with_name("tensorrt_operators.txt")

#: What TensorRT computes with; DOUBLE would silently be less, UINT8 is for ends only.
TYPES = {
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.BOOL,
}
HALF = {TensorProto.FLOAT16, TensorProto.BFLOAT16}


def supported() -> dict[str, str]:
    """Read the parser's operators with their restrictions."""
    lines = [line for line in LIST.read_text().splitlines() if not line.startswith("#")]
    return {name: limit for name, _, limit in (line.partition("\t") for line in lines)}


class Lint:
    """Finds what the parser would refuse, or read otherwise than ONNX Runtime does."""

    def __init__(self, model: onnx.ModelProto) -> None:
        model = onnx.shape_inference.infer_shapes(model)
        graph = model.graph
        self.nodes = list(graph.node)
        self.opsets = {one.domain: one.version for one in model.opset_import}
        self.constants = {one.name for one in graph.initializer}
        self.constants |= {out for n in graph.node if n.op_type == "Constant" for out in n.output}
        self.types = {one.name: one.data_type for one in graph.initializer}
        self.ranks = {one.name: len(one.dims) for one in graph.initializer}
        for value in (*graph.input, *graph.output, *graph.value_info):
            kind = value.type.tensor_type
            self.types[value.name] = kind.elem_type
            if kind.HasField("shape"):
                self.ranks[value.name] = len(kind.shape.dim)

    def problems(self) -> list[str]:
        allowed = supported()
        found = []
        # "ai.onnx.ml" and others would be plugins; 18 is inside the range of TensorRT 10.3.
        if set(self.opsets) != {""} or not 9 <= self.opsets[""] <= 20:
            found.append(f"opsets {self.opsets}")
        for node in self.nodes:
            if node.op_type not in allowed:
                found.append(f"{node.op_type} is not in the parser's list")
            elif rule := RULES.get(node.op_type):
                found += [f"{node.op_type} {node.name}: {text}" for text in rule(self, node)]
        odd = {kind for kind in self.types.values() if kind and kind not in TYPES}
        found += [f"type {TensorProto.DataType.Name(kind)}" for kind in sorted(odd)]
        return found

    def attribute(self, node: onnx.NodeProto, name: str, default: object) -> object:
        for one in node.attribute:
            if one.name == name:
                value = helper.get_attribute_value(one)
                return value.decode() if isinstance(value, bytes) else value
        return default


Rule = Callable[[Lint, onnx.NodeProto], list[str]]


def constant_input(index: int) -> Rule:
    def rule(lint: Lint, node: onnx.NodeProto) -> list[str]:
        given = node.input[index] if len(node.input) > index else ""
        return [] if not given or given in lint.constants else [f"{given} is not a constant"]

    return rule


def one_output(lint: Lint, node: onnx.NodeProto) -> list[str]:
    return [] if len([name for name in node.output if name]) == 1 else ["has further outputs"]


def pooling(lint: Lint, node: onnx.NodeProto) -> list[str]:
    kernel = lint.attribute(node, "kernel_shape", [])
    dilations = lint.attribute(node, "dilations", [])
    assert isinstance(kernel, list)
    assert isinstance(dilations, list)
    found = [] if len(kernel) in (2, 3) else [f"kernel {kernel}"]
    return found + ([] if all(one == 1 for one in dilations) else [f"dilations {dilations}"])


def floats_only(lint: Lint, node: onnx.NodeProto) -> list[str]:
    kind = lint.types.get(node.input[0])
    return [] if kind == TensorProto.FLOAT or kind in HALF else [f"computes with type {kind}"]


def sampling(lint: Lint, node: onnx.NodeProto) -> list[str]:
    found = [] if lint.ranks.get(node.input[0]) == 4 else ["input is not of four dimensions"]
    if lint.types.get(node.input[0]) == TensorProto.BFLOAT16:
        found.append("is not there in bfloat16")
    return found


def einsum(lint: Lint, node: onnx.NodeProto) -> list[str]:
    """Ellipses, diagonals and broadcasting came with 10.12."""
    equation = str(lint.attribute(node, "equation", ""))
    terms = equation.split("->")[0].replace(" ", "").split(",")
    diagonal = any(len(set(term)) != len(term) for term in terms)
    return [equation] if "." in equation or diagonal or len(terms) > 2 else []


def resizing(lint: Lint, node: onnx.NodeProto) -> list[str]:
    found = []
    if lint.attribute(node, "mode", "nearest") not in ("nearest", "linear"):
        found.append("mode")
    if lint.attribute(node, "antialias", 0) or lint.attribute(node, "exclude_outside", 0):
        found.append("antialias or exclude_outside")
    if lint.attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        found.append("keep_aspect_ratio_policy")
    return found


def top_k(lint: Lint, node: onnx.NodeProto) -> list[str]:
    return [] if lint.attribute(node, "sorted", 1) == 1 else ["is not sorted"]


def scatter(lint: Lint, node: onnx.NodeProto) -> list[str]:
    return [] if lint.attribute(node, "reduction", "none") == "none" else ["has a reduction"]


#: The restrictions of the list that can be broken by a graph; the text is beside each operator.
RULES: dict[str, Rule] = {
    "LayerNormalization": one_output,
    "ReduceMax": constant_input(1),
    "ReduceMean": constant_input(1),
    "ReduceMin": constant_input(1),
    "ReduceSum": constant_input(1),
    "Squeeze": constant_input(1),
    "Unsqueeze": constant_input(1),
    "AveragePool": pooling,
    "MaxPool": pooling,
    "Clip": floats_only,
    "GridSample": sampling,
    "Einsum": einsum,
    "Resize": resizing,
    "TopK": top_k,
    "ScatterND": scatter,
}


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_parser_reads_every_operator(exported: Path, graph: str) -> None:
    assert Lint(onnx.load(exported / FOLDER / f"{graph}.onnx")).problems() == []


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
@pytest.mark.parametrize("graph", [name for name in GRAPHS if name not in FLOAT32_GRAPHS])
def test_and_those_in_half_precision(
    exported: Path, tmp_path: Path, graph: str, precision: str
) -> None:
    target = tmp_path / f"{graph}.onnx"
    counts = convert(exported / FOLDER / target.name, target, precision)
    assert counts["MatMul"] > 0
    model = onnx.load(target)
    assert Lint(model).problems() == []
    ends = [*model.graph.input, *model.graph.output]
    assert not {end.type.tensor_type.elem_type for end in ends} & HALF
    onnx.checker.check_model(model)


def test_the_shipped_graphs_are_read_too() -> None:
    try:
        folder = find_model("rose-tiny") / FOLDER
        manifest = read_manifest(folder)
    except ModelError as error:
        pytest.skip(f"no graphs are shipped: {error}")
    for graph in GRAPHS:
        path = folder / manifest.graphs[graph]["file"]
        assert Lint(onnx.load(path)).problems() == [], graph


def small(node: onnx.NodeProto, kind: int, shape: list[int], opset: int = 18) -> onnx.ModelProto:
    """Make a graph of one node whose inputs are the graph's."""
    ends = [helper.make_tensor_value_info(name, kind, shape) for name in node.input]
    outs = [helper.make_empty_tensor_value_info(name) for name in node.output]
    graph = helper.make_graph([node], "small", ends, outs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (small(helper.make_node("NonZero", ["a"], ["b"]), 1, [2]), "NonZero is not in"),
        (small(helper.make_node("Add", ["a", "a"], ["b"]), TensorProto.DOUBLE, [2]), "DOUBLE"),
        (small(helper.make_node("Add", ["a", "a"], ["b"]), 1, [2], 23), "opsets"),
        (small(helper.make_node("ReduceMean", ["a", "c"], ["b"]), 7, [2]), "c is not a constant"),
        (small(helper.make_node("Unsqueeze", ["a", "c"], ["b"]), 7, [1]), "c is not a constant"),
        (small(helper.make_node("Clip", ["a"], ["b"]), TensorProto.INT64, [2]), "type 7"),
        (
            small(helper.make_node("GridSample", ["a", "g"], ["b"]), 1, [1, 1, 2, 2, 3]),
            "not of four dimensions",
        ),
        (
            small(helper.make_node("GridSample", ["a", "g"], ["b"]), 16, [1, 2, 2, 2]),
            "not there in bfloat16",
        ),
        (
            small(helper.make_node("LayerNormalization", ["a", "s"], ["b", "m"]), 1, [2]),
            "further outputs",
        ),
        (
            small(helper.make_node("Einsum", ["a", "c"], ["b"], equation="...i,ij->...j"), 1, [2]),
            "...i,ij",
        ),
        (
            small(
                helper.make_node("AveragePool", ["a"], ["b"], kernel_shape=[2], dilations=[2]),
                1,
                [1, 1, 4],
            ),
            "kernel",
        ),
    ],
)
def test_what_the_parser_refuses_is_found(model: onnx.ModelProto, problem: str) -> None:
    assert any(problem in text for text in Lint(model).problems()), Lint(model).problems()
