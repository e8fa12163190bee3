"""The exporter's arithmetic in the order in which runtimes know it, and run it as one step.

PyTorch writes GELU and the root mean square norm as chains of elementary operators. ONNX Runtime
has one kernel for each, and takes it where the chain is the one it knows.
"""

from __future__ import annotations

from typing import Any


def rewrite(graph: Any) -> None:
    """Reorder the chains in an ``onnx_ir`` graph, which computes the same as before."""
    for node in list(graph):
        if node.op_type == "Erf":
            _reorder_gelu(node)
        elif node.op_type == "Reciprocal":
            _divide_instead(graph, node)


def _reorder_gelu(erf: Any) -> None:
    """x * (0.5 * (erf(..) + 1)) becomes (x * (erf(..) + 1)) * 0.5."""
    plus_one = _only_user(erf, "Add")
    inner = _only_user(plus_one, "Mul")
    outer = _only_user(inner, "Mul")
    if outer is None:
        return
    half, x = _other(inner, plus_one), _other(outer, inner)
    if half.const_value is None or half.const_value.size != 1:
        return
    inner.replace_input_with(0, x)
    inner.replace_input_with(1, plus_one.outputs[0])
    outer.replace_input_with(0, inner.outputs[0])
    outer.replace_input_with(1, half)


def _divide_instead(graph: Any, reciprocal: Any) -> None:
    """x * (1 / r) becomes x / r."""
    import onnx_ir

    product = _only_user(reciprocal, "Mul")
    if product is None:
        return
    root, x = reciprocal.inputs[0], _other(product, reciprocal)
    quotient = onnx_ir.node("Div", [x, root])
    graph.insert_after(product, quotient)
    product.outputs[0].replace_all_uses_with(quotient.outputs[0])
    graph.remove([product, reciprocal], safe=True)


def _only_user(node: Any, op_type: str) -> Any:
    """Return the one node that takes a node's output, if it is of that kind."""
    if node is None or node.outputs[0].is_graph_output():
        return None
    users = list(node.outputs[0].uses())
    if len(users) != 1 or users[0].node.op_type != op_type:
        return None
    return users[0].node


def _other(node: Any, one: Any) -> Any:
    """Return the input of a node of two inputs that does not come from ``one``."""
    first, second = node.inputs
    return second if first is one.outputs[0] else first
