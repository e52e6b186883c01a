"""A finding of the diagnosis: failing cases with what explains them, as one line of text."""

from dataclasses import dataclass

from locoprop_ref.oracle.flag import BUG, VARIANT, Flag
from locoprop_ref.oracle.flags import ARITHMETIC, BY_FLAG


@dataclass(frozen=True)
class Finding:
    """A flag or a pair of flags with the failing cases that it explains, or cases that no flag explains.

    Attributes:
        flags: names of the flags; empty if nothing matches.
        ids: the explained cases.
        failing: the number of failing cases that were diagnosed.
        others: other flags or pairs that explain the same cases equally well.
        contradicted: ids of cases that pass although they would fail under these flags.
        complete: whether there was enough time to try all pairs.
        unmatched: the number of other failing cases that these flags would change, but not into what was
            returned, neither alone nor together with a further flag.
        words: without flags, what is wrong with the cases; "" if nothing is known about them.
        malformed: whether outputs are missing, superfluous, or of the wrong shape.
        unchecked: the number of passing cases that may fail under these flags, for which there was no time.
    """

    flags: tuple[str, ...]
    ids: tuple[str, ...]
    failing: int
    others: tuple[tuple[str, ...], ...] = ()
    contradicted: tuple[str, ...] = ()
    complete: bool = True
    unmatched: int = 0
    words: str = ""
    malformed: bool = False
    unchecked: int = 0

    @property
    def names(self) -> str:
        """The names of the flags, as "A" or "A with B"."""
        return " with ".join(self.flags)

    @property
    def variant(self) -> bool:
        """Whether every flag is a legitimate variant."""
        return bool(self.flags) and all(flag_of(name).kind == VARIANT for name in self.flags)

    @property
    def acceptable(self) -> bool:
        """Whether the finding is a documented choice: a variant, made everywhere, and surely no bug."""
        return self.variant and not (
            self.contradicted or self.unchecked or self.malformed or self._perhaps_bug
        )

    @property
    def _perhaps_bug(self) -> bool:
        return any(flag_of(name).kind == BUG for names in self.others for name in names)

    @property
    def kind(self) -> str:
        """Whether the finding is acceptable, and if not, why not."""
        if self.acceptable:
            return "acceptable: variant"
        if self.variant and self.contradicted:
            return "a variant, but not made everywhere, which is a bug"
        if self.variant and self._perhaps_bug:
            return "a variant, or a bug that looks the same"
        if self.variant and self.unchecked:
            return "a variant, if it is made everywhere, which there was no time to see"
        return "bug"

    @property
    def advice(self) -> list[str]:
        """For each flag a line that says what follows, where to look, and how to mend it."""
        return [f"    {name}: {flag_of(name).effect}" for name in self.flags]

    @property
    def text(self) -> str:
        """The finding as one line of text."""
        return self._line(f"flag {self.names}; {self.kind}")

    @property
    def unjudged(self) -> str:
        """The same without its kind: an exercise accepts no variant, so that the kind would mislead."""
        return self._line(f"flag {self.names}")

    def _line(self, named: str) -> str:
        """Return the finding as one line of text, with what is said of its flags in brackets."""
        shown = ", ".join(self.ids[:4]) + (", ..." if len(self.ids) > 4 else "")
        count = f"{len(self.ids)} of {self.failing} failing cases"
        if self.words:
            return f"{count} {self.words} ({shown})"
        if not self.flags:
            stopped = "" if self.complete else "; the search for pairs ran out of time"
            return f"{count} match no known deviation, alone or in pairs ({shown}){stopped}"
        when = ", and when ".join(flag_of(name).when for name in self.flags)
        line = f"{count} match when {when} ({named})"
        if self.others:
            line += (
                "; " + ", or ".join(" with ".join(names) for names in self.others) + " would explain them too"
            )
        if self.contradicted:
            passing = len(self.contradicted)
            line += f"; {passing} passing cases would fail under it, so it is not made everywhere"
        if self.unmatched:
            line += f"; {self.unmatched} other failing cases should match it, and do not"
        return line


def flag_of(name: str) -> Flag:
    """Return the flag with a name."""
    return ARITHMETIC[name] if name in ARITHMETIC else BY_FLAG[name]
