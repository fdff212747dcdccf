"""A policy as a LlamaIndex node postprocessor: keeps the first k of the retrieved cases."""

from typing import Any

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle


class PolicyPostprocessor(BaseNodePostprocessor):
    """Cuts retrieved nodes, best first, to as many as the policy reads.

    Parameters
    ----------
    policy
        Any `calibration.Policy`: fixed k, ratio cut, or a certificate's.
    logit_scale
        The encoder's factor on cosines, which turns the nodes' scores into log-similarities for the ratio cut.
    """

    policy: Any  # a Policy; pydantic cannot check protocols
    logit_scale: float = 1.0

    @classmethod
    def class_name(cls) -> str:
        """The name LlamaIndex stores with a serialised component."""
        return "TitratePolicyPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        scores = [self.logit_scale * (node.score or 0.0) for node in nodes]
        kept: int = self.policy.count(scores)
        return nodes[:kept]
