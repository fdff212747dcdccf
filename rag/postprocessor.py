"""A policy as a LlamaIndex node postprocessor: keeps the first k of the retrieved cases."""

from typing import Any

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle

from calibration import Policy


class PolicyPostprocessor(BaseNodePostprocessor):
    """Cuts retrieved nodes, best first, to as many as the policy reads.

    Parameters
    ----------
    policy
        Fixed k, ratio cut, or a certificate's policy.
    logit_scale
        The encoder's factor on cosines, which turns the nodes' scores into log-similarities for the ratio cut.
    """

    policy: Any
    logit_scale: float = 1.0

    def __init__(self, policy: Policy, logit_scale: float = 1.0) -> None:
        super().__init__(policy=policy, logit_scale=logit_scale)

    @classmethod
    def class_name(cls) -> str:
        """The name LlamaIndex stores with a serialised component."""
        return "TitratePolicyPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        scores = [self.logit_scale * (node.score or 0.0) for node in nodes]
        return nodes[: self.policy.count(scores)]
