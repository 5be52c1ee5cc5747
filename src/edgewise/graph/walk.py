"""A network run node by node over many batches at once: what comes later may still change."""

from collections.abc import Iterator, Sequence

from torch import Tensor, fx


class Walk:
    """Values of one node after the other, for all batches; each is kept until its last reader.

    Memory: what is alive between two nodes, for all images together.
    """

    def __init__(self, module: fx.GraphModule, batches: Sequence[Tensor]) -> None:
        self._runs = [fx.Interpreter(module) for _ in batches]
        for run, batch in zip(self._runs, batches, strict=True):
            run.args_iter = iter((batch,))
        self._left = list(module.graph.nodes)
        self._done: set[str] = set()
        self._last: dict[fx.Node, fx.Node] = {}
        for node in self._left:
            for source in node.all_input_nodes:
                self._last[source] = node

    def inputs(self, node: fx.Node) -> Iterator[Tensor]:
        """The first input of a node that has not run yet, batch by batch."""
        while self._left[0] is not node:
            self._step()
        return (run.env[node.all_input_nodes[0]] for run in self._runs)

    def outputs(self, name: str) -> Iterator[Tensor]:
        """The output of the node of that name, batch by batch, before anything reads it."""
        while name not in self._done:
            self._step()
        return (next(v for node, v in run.env.items() if node.name == name) for run in self._runs)

    def _step(self) -> None:
        node = self._left.pop(0)
        over = [source for source in node.all_input_nodes if self._last[source] is node]
        for run in self._runs:
            run.env[node] = run.run_node(node)
            for source in over:
                del run.env[source]
        self._done.add(node.name)
