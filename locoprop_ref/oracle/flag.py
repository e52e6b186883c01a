"""What a flag is: a possible deviation from the conventions of a group, with its name, kind and effect.

A flag is a change of conventions (`conventions.py`). A *variant* is a choice that a correct implementation
may make and should document; a case that it explains is acceptable. A *bug* makes the case fail. If a group
already states the value to which a flag would change a convention, the flag has no effect.
"""

from dataclasses import dataclass, field

from locoprop_ref.oracle.conventions import BY_NAME

VARIANT, BUG, PROPERTY = "variant", "bug", "property"


@dataclass(frozen=True)
class Flag:
    """A named deviation.

    Attributes:
        name: the name in CamelCase, as in the vectors.
        kind: "variant" or "bug".
        change: the conventions that it changes, with their new values.
        when: the clause that completes "... match when <when>".
        effect: its consequence.
        given: conventions that a group must state so that the flag has a meaning there.
        topics: the topics that it concerns, if not all those of its conventions.
        only_where: a convention that a group must state, with whatever value; "" for none.
    """

    name: str
    kind: str
    change: dict[str, str]
    when: str
    effect: str
    given: dict[str, str] = field(default_factory=dict)
    topics: tuple[str, ...] = ()
    only_where: str = ""

    def concerns(self, topic: str, conventions: dict[str, str]) -> bool:
        """Return whether the flag has a meaning for a topic under the conventions of a group."""
        if self.topics and topic not in self.topics:
            return False
        if self.only_where and self.only_where not in conventions:
            return False
        return any(topic in BY_NAME[name].topics for name in self.change) and all(
            conventions.get(name) == value for name, value in self.given.items()
        )


def variant(
    name: str,
    change: dict[str, str],
    when: str,
    effect: str,
    *,
    topics: tuple[str, ...] = (),
    only_where: str = "",
    **given: str,
) -> Flag:
    """Return a flag for a choice that a correct implementation may make."""
    return Flag(name, VARIANT, change, when, effect, given, topics, only_where)


def bug(
    name: str,
    change: dict[str, str],
    when: str,
    effect: str,
    *,
    topics: tuple[str, ...] = (),
    only_where: str = "",
    **given: str,
) -> Flag:
    """Return a flag for a mistake."""
    return Flag(name, BUG, change, when, effect, given, topics, only_where)
