"""The errors of `causalvlm`. Every message says what must hold, what was received and what to do."""

from cdc.errors import CausalVLMError as CausalVLMError
from cdc.errors import InputError as InputError


class NotIdentifiedError(CausalVLMError):
    """The effect is not identified: which condition fails, along which open path, and what would mend it.

    Attributes:
        condition: the condition that fails, in words.
        open_path: the path that violates it, as text such as ``"X <- G_i -> Y"``; empty if there is none.
        remedies: what would mend it (a node to observe, an edge to drop), most useful first.
        hedge: two sets of nodes that show that nothing identifies the effect, the larger first; None if one criterion
            alone was asked for.
    """

    def __init__(
        self,
        message: str,
        *,
        condition: str,
        open_path: str,
        remedies: tuple[str, ...],
        hedge: tuple[frozenset[str], frozenset[str]] | None = None,
    ) -> None:
        super().__init__(message)
        self.condition = condition
        self.open_path = open_path
        self.remedies = remedies
        self.hedge = hedge


class OverlapError(CausalVLMError):
    """A refusal: the data cannot answer the question, whatever the estimator (no overlap, an empty cell).

    Attributes:
        effective_sample_size: effective number of rows behind the estimate, where it could be computed.
        auc: area under the ROC curve of the treatment decoded from the mediator, where it could be computed.
    """

    def __init__(self, message: str, *, effective_sample_size: float | None = None, auc: float | None = None) -> None:
        super().__init__(message)
        self.effective_sample_size = effective_sample_size
        self.auc = auc
