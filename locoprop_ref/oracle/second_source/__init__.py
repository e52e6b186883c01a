"""The second source: the mathematics of the vectors, written again in mpmath without any code of the package.

It is written from the definitions, with loops over lists of numbers of any precision. With the documented
conventions and 60 digits it certifies the expected values. With 53 or 24 bits it measures the rounding error
to be expected. With one convention changed it imitates a port that uses the other choice.
"""

from typing import Any

from locoprop_ref.oracle.second_source.numbers import Inapplicable, context, floats, narrow_products
from locoprop_ref.oracle.second_source.topics import TOPICS

__all__ = ["evaluate", "Inapplicable", "context", "floats", "narrow_products", "TOPICS"]

DIGITS = 60


def evaluate(
    topic: str, choices: dict[str, str], inputs: dict[str, Any], *, ctx: Any = None
) -> dict[str, Any]:
    """Return the expected values of a case, as (nested lists of) numbers of the context.

    Args:
        topic: one of `TOPICS`.
        choices: a value for every convention (`conventions.choices`).
        inputs: the inputs of the case, as in the vectors.
        ctx: an arithmetic that `context` returned; default 60 digits.

    Raises:
        Inapplicable: a choice has no meaning for these inputs.
    """
    return TOPICS[topic](ctx or context(digits=DIGITS), inputs, choices)
