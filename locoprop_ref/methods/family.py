r"""The family: known algorithms as rows of one table, local loss × targets × regularizer × solver.

A row that trains on minibatches is a `LocoProp` with other parts, and `build` makes it, so that all of them go
through the same step. Other rows are theorems, which hold for one example, one layer or one linear unit, or
algorithms that see all examples at once; these have no minibatch method. `proof` is the identity of `verify`
that measures the row.

>>> member("K-FAC").targets
'Kronecker'
>>> build("SGD").local_loss
'linear'

To add a row, write a line. If a part is new, give it a name in one of the tables of parts as well. A row of
your own need not stand in the table: `build` takes it as it is (docs/extending.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from locoprop_ref import checks
from locoprop_ref.code_targets import CodeTargets
from locoprop_ref.feedback_targets import FeedbackTargets
from locoprop_ref.gauss_newton_targets import GaussNewtonTargets
from locoprop_ref.inverse_targets import InverseTargets
from locoprop_ref.majorised_solver import Majorised
from locoprop_ref.memory import Memory
from locoprop_ref.methods.kronecker_targets import KroneckerTargets
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.mirror import MirrorDescent
from locoprop_ref.optimizers import SGD, Adam
from locoprop_ref.regularizers import DecoupledDecay, L2Decay, Proximal, RunningMetric
from locoprop_ref.solvers import ClosedForm, Descend, Newton
from locoprop_ref.targets import GradientTargets

Kind = Literal["minibatch", "theorem", "offline"]
Part = Callable[[int], Any]  # the number of layers → the part


# The parts by their names in the table. γ = 10 (the authors) and η = 0.01, so that the linear loss has the rate ηγ = 0.1
# of gradient descent; nothing is tuned.
TARGETS: Mapping[str, Part] = {
    "gradient": lambda layers: GradientTargets(),
    "geometric γ": lambda layers: GradientTargets.geometric(0.5, layers),
    "Kronecker": lambda layers: KroneckerTargets(),
    "Gauss–Newton": lambda layers: GaussNewtonTargets(tau=0),
    "inverses": lambda layers: InverseTargets(correction="plain"),
    "inverses, difference": lambda layers: InverseTargets(),
    "feedback": lambda layers: FeedbackTargets(),
    "direct feedback": lambda layers: FeedbackTargets(path="direct"),
    "codes": lambda layers: CodeTargets(),
    "codes, gradient on top": lambda layers: CodeTargets(last_layer="gradient"),
}
REGULARIZERS: Mapping[str, Part] = {
    "none": lambda layers: Proximal(),
    "proximal": lambda layers: Proximal(0.01),
    "L2 decay": lambda layers: L2Decay(0.01),
    "decoupled decay": lambda layers: DecoupledDecay(0.01),
    "past inputs": lambda layers: RunningMetric(0.01, decay=0.95),
}
SOLVERS: Mapping[str, Part] = {
    "closed form": lambda layers: ClosedForm(),
    "Newton": lambda layers: Newton(),
    "majorised steps": lambda layers: Majorised(),
    "K steps": lambda layers: Descend(),
    "one step": lambda layers: Descend(SGD(), 0.01, 1, local_decay="constant"),
    "one Adam step": lambda layers: Descend(Adam(), 1e-3, 1, local_decay="constant"),
    "one EG± step": lambda layers: Descend(MirrorDescent("eg+-"), 0.01, 1, local_decay="constant"),
    "memory": lambda layers: Memory(),
}


@dataclass(frozen=True)
class Member:
    """One row of the table.

    Args:
        name: the algorithm.
        kind: "minibatch", "theorem" or "offline".
        local_loss: "linear", "squared", "matching"; for a theorem in words.
        targets, regularizer, solver: names of parts; for a theorem in words.
        inputs: "forward", those of the forward pass; "moved", those of the codes below.
        proof: id of the identity in `verify`, or "" where there is none: the rule is the definition.
        reference: where the algorithm, or the equivalence, comes from.
    """

    name: str
    kind: Kind
    local_loss: str
    targets: str
    inputs: str
    regularizer: str
    solver: str
    proof: str
    reference: str


# fmt: off
# ruff: noqa: E501
FAMILY: tuple[Member, ...] = tuple(Member(*row) for row in (
    # name                         kind         local loss  targets                   inputs     regularizer        solver           proof  reference
    ("SGD",                        "minibatch", "linear",   "gradient",               "forward", "proximal",        "closed form",   "A1",  "Rumelhart, Hinton, Williams 1986"),
    ("SGD by one inner step",      "minibatch", "squared",  "gradient",               "forward", "none",            "one step",      "I1",  "Amid, Anil, Warmuth 2022"),
    ("SGD with L2 decay",          "minibatch", "linear",   "gradient",               "forward", "L2 decay",        "closed form",   "D1",  "Krogh, Hertz 1991"),
    ("SGD with decoupled decay",   "minibatch", "linear",   "gradient",               "forward", "decoupled decay", "closed form",   "D2",  "Loshchilov, Hutter 2019"),
    ("EG±",                        "minibatch", "linear",   "gradient",               "forward", "none",            "one EG± step",  "D5",  "Kivinen, Warmuth 1997"),
    ("LocoProp-S",                 "minibatch", "squared",  "gradient",               "forward", "none",            "K steps",       "I4",  "Amid, Anil, Warmuth 2022"),
    ("LocoProp-S, closed form",    "minibatch", "squared",  "gradient",               "forward", "proximal",        "closed form",   "I3",  "Amid, Anil, Warmuth 2022"),
    ("LocoProp-M",                 "minibatch", "matching", "gradient",               "forward", "none",            "K steps",       "I13", "Amid, Anil, Warmuth 2022"),
    ("LocoProp-M, exact",          "minibatch", "matching", "gradient",               "forward", "proximal",        "Newton",        "I7",  "Amid, Anil, Warmuth 2022"),
    ("ProxProp",                   "minibatch", "squared",  "gradient",               "forward", "proximal",        "closed form",   "A2",  "Frerix et al. 2018"),
    ("FOOF of a batch",            "minibatch", "squared",  "gradient",               "forward", "proximal",        "closed form",   "I9",  "Benzing 2022"),
    ("FOOF",                       "minibatch", "squared",  "gradient",               "forward", "past inputs",     "closed form",   "B4",  "Benzing 2022"),
    ("K-FAC",                      "minibatch", "squared",  "Kronecker",              "forward", "proximal",        "closed form",   "E2",  "Martens, Grosse 2015"),
    ("Gauss–Newton targets",       "minibatch", "squared",  "Gauss–Newton",           "forward", "proximal",        "closed form",   "E3",  "Meulemans et al. 2020"),
    ("target propagation",         "minibatch", "matching", "inverses",               "forward", "none",            "K steps",       "F1",  "LeCun 1986; Bengio 2014"),
    ("difference target prop.",    "minibatch", "matching", "inverses, difference",   "forward", "none",            "K steps",       "F1",  "Lee et al. 2015"),
    ("feedback alignment",         "minibatch", "squared",  "feedback",               "forward", "none",            "one step",      "",    "Lillicrap et al. 2016"),
    ("direct feedback alignment",  "minibatch", "squared",  "direct feedback",        "forward", "none",            "one step",      "",    "Nøkland 2016"),
    ("predictive coding, Z-IL",    "minibatch", "squared",  "geometric γ",            "forward", "none",            "one step",      "F9",  "Song et al. 2020"),
    ("alternating minimization",   "minibatch", "squared",  "codes",                  "moved",   "none",            "one Adam step", "I11", "Choromanska et al. 2019"),
    ("AM-mem",                     "minibatch", "squared",  "codes, gradient on top", "moved",   "proximal",        "memory",        "B4",  "Choromanska et al. 2019"),
    ("natural gradient of a layer", "theorem",  "matching", "gradient",               "forward", "proximal",        "a Newton step", "A5",  "Amari 1998"),
    ("implicit SGD",               "theorem",   "matching", "label, γ = B",           "forward", "proximal",        "exact",         "B1",  "Kulis, Bartlett 2010"),
    ("IRLS",                       "theorem",   "matching", "label, γ = B",           "forward", "proximal",        "Newton",        "B2",  "Green 1984"),
    ("logistic regression",        "theorem",   "matching", "label, γ = B",           "forward", "none",            "exact",         "I8",  "Amid, Anil, Warmuth 2022"),
    ("ε-NLMS",                     "theorem",   "squared",  "gradient, B = 1",        "forward", "proximal",        "closed form",   "C1",  "Widrow, Hoff 1960; Nagumo, Noda 1967"),
    ("Kaczmarz, affine projection", "theorem",  "squared",  "label, γ = B",           "forward", "none",            "closed form",   "C2",  "Kaczmarz 1937; Ozeki, Umeda 1984"),
    ("recursive least squares",    "theorem",   "squared",  "label, γ = B",           "forward", "past inputs",     "closed form",   "C6",  "Plackett 1950"),
    ("perceptron",                 "theorem",   "|a|",      "label ±1",               "forward", "none",            "one step",      "D11", "Rosenblatt 1958"),
    ("Winnow",                     "theorem",   "|a|",      "label ±1",               "forward", "none",            "one EG step",   "D12", "Littlestone 1988"),
    ("Fenchel lifted networks",    "theorem",   "matching", "optimized too",          "forward", "none",            "joint",         "dual", "Gu, Askari, El Ghaoui 2020"),
    ("MAC",                        "offline",   "squared",  "codes of all examples",  "moved",   "none",            "alternating",   "MAC", "Carreira-Perpiñán, Wang 2014"),
    ("ADMM",                       "offline",   "squared",  "codes of all examples",  "moved",   "none",            "least squares", "F14", "Taylor et al. 2016"),
))
# fmt: on


def member(name: str) -> Member:
    """Return a row by the name of its algorithm.

    Raises:
        ValueError: an unknown name; the nearest is suggested.
    """
    rows = {row.name: row for row in FAMILY}
    return rows[checks.one_of("name", name, rows)]


def build(name: str | Member, *, num_layers: int = 2, **settings: Any) -> LocoProp:
    """Return the method of a minibatch row, with parts at their first settings.

    Args:
        name: the algorithm, see `FAMILY`; or a row of your own.
        num_layers: M, for targets with a step of its own for every layer; default 2.
        **settings: of `LocoProp`, among them parts in place of those of the row.

    Raises:
        ValueError, TypeError: an unknown name (the nearest is suggested), a row that is no minibatch method,
            a part that has no name in its table and is not given, or a setting out of its range.
    """
    row = name if isinstance(name, Member) else member(name)
    layers = checks.integer("num_layers", num_layers)
    if row.kind != "minibatch":
        raise ValueError(
            f"name must be of a minibatch method, got {row.name!r}, which is marked {row.kind!r}"
        )
    tables = {"targets": TARGETS, "regularizer": REGULARIZERS, "solver": SOLVERS}
    for part, table in tables.items():
        if part not in settings:
            settings[part] = table[checks.one_of(part, getattr(row, part), table)](layers)
    return LocoProp(row.local_loss, **settings)
