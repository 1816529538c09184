"""``eval``: accuracy of the forms of one network on a folder of pictures, in one pass.

Sums so far are kept in a file, so that a stopped run goes on, and shards run elsewhere add up.
"""

from knightlite.api.evaluation.run import EvaluationResult, ModelScore, evaluate_models, resumable

__all__ = [
    "EvaluationResult",
    "ModelScore",
    "evaluate_models",
    "resumable",
]
