"""Graphs in half precision: what TensorRT 10 and 11 run is what the graph says, type by type.

Matrix products and convolutions take half precision, and so does what only moves or joins their
results. Everything else stays float32: norms, softmax, sums of squares, the residual stream, and
all inputs and outputs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rose_ros.errors import EngineError

#: Where half precision saves time: the hardware multiplies it faster and weights are half as large.
_MATRIX = {"MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum"}
#: What keeps half precision when all it gets is in half precision already.
_MOVING = {
    "Reshape",
    "Transpose",
    "Slice",
    "Squeeze",
    "Unsqueeze",
    "Expand",
    "Concat",
    "Split",
    "Flatten",
    "Identity",
    "Add",
    "Mul",
    "Relu",
}
#: Angles: an error of a thousandth of a large one turns the result.
_ANGLES = {"Sin", "Cos"}
#: Small, and its averages over masks have weights that float16 does not hold.
FLOAT32_GRAPHS = ("region",)
_WEIGHTS_SUFFIX = ".weights"


def convert(source: Path, target: Path, precision: str) -> dict[str, int]:
    """Write a graph in "float16" or "bfloat16" beside its weights.

    Returns how many nodes run in half precision, by operator. Raises ``EngineError`` when a weight
    does not fit into float16.
    """
    import onnx_ir

    model = onnx_ir.load(source)
    converter = _Converter(model.graph, precision)
    converter.run()
    onnx_ir.save(model, target, external_data=f"{target.name}{_WEIGHTS_SUFFIX}")
    return converter.counts


class _Converter:
    """Walks the nodes in order and knows each value's form in half precision."""

    def __init__(self, graph: Any, precision: str) -> None:
        import onnx_ir

        self._ir = onnx_ir
        self._graph = graph
        self._half = onnx_ir.DataType[precision.upper()]
        self._forms: dict[Any, Any] = {}
        self._inner: set[Any] = set()
        self._exact = self._behind_angles()
        self.counts: dict[str, int] = {}

    def run(self) -> None:
        """Change the graph in place."""
        for node in list(self._graph):
            if self._takes_half(node):
                self._change(node)
                self.counts[node.op_type] = self.counts.get(node.op_type, 0) + 1
        self._drop_unused()

    def _takes_half(self, node: Any) -> bool:
        floats = [value for value in node.inputs if self._is_float(value)]
        if (
            node in self._exact
            or not floats
            or not all(self._is_float(value) for value in node.outputs)
        ):
            return False
        if node.op_type in _MATRIX:
            return True
        # Constants follow what they are added to; something must have come in half precision.
        computed = [value for value in floats if value.const_value is None]
        return (
            node.op_type in _MOVING
            and bool(computed)
            and all(value in self._inner for value in computed)
        )

    def _behind_angles(self) -> set[Any]:
        """Find the products that become angles, with only sums and moves in between."""
        found: set[Any] = set()
        waiting = [node for node in self._graph if node.op_type in _ANGLES]
        while waiting:
            makers = {value.producer() for value in waiting.pop().inputs if value is not None}
            for maker in makers - found - {None}:
                if maker.op_type in _MATRIX | _MOVING:
                    found.add(maker)
                    waiting.append(maker)
        return found

    def _is_float(self, value: Any) -> bool:
        return value is not None and value.dtype == self._ir.DataType.FLOAT

    def _change(self, node: Any) -> None:
        """Give a node inputs and outputs in half precision, and its readers what they had."""
        for index, value in enumerate(node.inputs):
            if self._is_float(value):
                node.replace_input_with(index, self._form(value, node))
        for output in node.outputs:
            self._widen_after(node, output)

    def _widen_after(self, node: Any, output: Any) -> None:
        """Turn an output to half precision; a cast after it makes what its readers had."""
        name, ends = output.name, self._graph.outputs
        users = list(output.uses())
        output.name, output.type = f"{name}_half", self._ir.TensorType(self._half)
        cast = self._cast(output, name, self._ir.DataType.FLOAT)
        self._graph.insert_after(node, cast)
        wide = cast.outputs[0]
        for user, place in users:
            user.replace_input_with(place, wide)
        for place, end in enumerate(ends):
            if end is output:
                ends[place] = wide
        self._forms[wide] = output
        self._inner.add(wide)

    def _form(self, value: Any, reader: Any) -> Any:
        """Return a value in half precision, made at most once."""
        if value not in self._forms:
            if value.is_initializer():
                self._forms[value] = self._half_weights(value)
            else:
                cast = self._cast(value, f"{value.name}_half", self._half)
                self._graph.insert_before(reader, cast)
                self._forms[value] = cast.outputs[0]
        return self._forms[value]

    def _half_weights(self, value: Any) -> Any:
        given = value.const_value.numpy()
        with np.errstate(over="ignore"):
            half = given.astype(self._half.numpy())
        if not np.isfinite(half.astype(np.float32)).all():
            raise EngineError(
                f"the weights {value.name} reach {np.abs(given).max():.3g}, more than float16 "
                "holds; use precision bfloat16"
            )
        name = f"{value.name}_half"
        tensor = self._ir.Tensor(half, dtype=self._half, name=name)
        made = self._ir.Value(
            name=name,
            shape=value.shape,
            type=self._ir.TensorType(self._half),
            const_value=tensor,
        )
        self._graph.register_initializer(made)
        return made

    def _cast(self, value: Any, name: str, to: Any) -> Any:
        cast = self._ir.node("Cast", [value], {"to": int(to)}, name=f"{name}_cast")
        cast.outputs[0].name = name
        cast.outputs[0].type = self._ir.TensorType(to)
        cast.outputs[0].shape = value.shape
        return cast

    def _drop_unused(self) -> None:
        """Remove casts and weights that nobody reads."""
        ends = set(self._graph.outputs)
        for node in reversed(list(self._graph)):
            unread = all(not value.uses() and value not in ends for value in node.outputs)
            if unread and node.op_type == "Cast":
                self._graph.remove(node, safe=True)
        for name, value in list(self._graph.initializers.items()):
            if not value.uses() and value not in ends:
                del self._graph.initializers[name]
