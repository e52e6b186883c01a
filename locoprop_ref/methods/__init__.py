r"""The training methods, all with the interface of `base.Method`.

    backprop.py      gradient descent with a first-order optimizer
    locoprop.py      LocoProp: local loss × targets × regularizer × solver
    kfac.py, foof.py, shampoo.py     the second-order methods that LocoProp is compared with
    admm.py, mac.py  two methods of all examples at once; offline.py is what they share
    gradient.py      the template of all that follow the gradient of the network loss
    registry.py, options.py          every method by its name; what there is to choose

The second-order methods differ in their preconditioner:

    K-FAC      W̃ ← W̃ − s·(A + ...)⁻¹ ∂L/∂W̃ (G + ...)⁻¹     Martens and Grosse 2015
    FOOF       W̃ ← W̃ − s·(A + λI)⁻¹ ∂L/∂W̃                   Benzing 2022
    Shampoo    W̃ ← W̃ − s·L^(−1/4) ∂L/∂W̃ R^(−1/4)            Gupta, Koren and Singer 2018

A is the second moment of a layer's inputs, G that of the derivatives at its outputs. K-FAC and FOOF are
choices of target for LocoProp-S in closed form (identity I9 of `verify`): K-FAC's is â − γgG⁻¹, FOOF's is
LocoProp's. L and R are the second moments of the rows and columns of ∂L/∂W̃.
"""

from locoprop_ref.methods.admm import ADMM
from locoprop_ref.methods.foof import FOOF
from locoprop_ref.methods.kfac import KFAC
from locoprop_ref.methods.mac import MAC
from locoprop_ref.methods.shampoo import Shampoo

__all__ = ["ADMM", "FOOF", "KFAC", "MAC", "Shampoo"]
