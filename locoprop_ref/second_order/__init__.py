"""Second-order methods behind the contract of `method`."""

from locoprop_ref.second_order.shampoo import Shampoo

__all__ = ["Shampoo"]
