"""A policy as a LlamaIndex node postprocessor: keeps the first k of the retrieved cases."""

from itertools import pairwise
from math import isfinite
from typing import Any

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle

from indexing import log_similarities
from titrate import InputError


class PolicyPostprocessor(BaseNodePostprocessor):
    """Cuts retrieved nodes, best first, to as many as the policy reads.

    Parameters
    ----------
    policy
        A `calibration.Policy`: fixed k, ratio cut, or a certificate's.
    logit_scale
        The encoder's factor on cosines, which turns the nodes' scores into log-similarities for the ratio cut.
    logit_bias
        What it adds, if it was trained with a sigmoid loss and the nodes' scores compare image and report; else None.

    A blend or a gate raises `InputError`, being no number of contexts.
    A ratio cut raises `InputError` on nodes whose scores do not fall, as after fusion: it has no fall to look for.
    """

    policy: Any  # a Policy, which is checked where it is made
    logit_scale: float = 1.0
    logit_bias: float | None = None

    @classmethod
    def class_name(cls) -> str:
        """The name LlamaIndex stores with a serialised component."""
        return "TitratePolicyPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if self.policy.needs_options:
            raise InputError("a blend or a gate weighs several answers and is no number of cases; ask a Pipeline")
        scores = log_similarities([node.score or 0.0 for node in nodes], self.logit_scale, self.logit_bias)
        if isfinite(self.policy.gamma) and any(later > earlier for earlier, later in pairwise(scores)):
            raise InputError(
                "the cases do not come in order of similarity, as after fusion, so there is no ratio to cut at; "
                "retrieve by one comparison or read a fixed number"
            )
        kept: int = self.policy.count(scores)
        return nodes[:kept]
