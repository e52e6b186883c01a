"""The page of the book that derives each identity.

The book's pages name the identities that prove them, and this table is where they take them from, so that the
two agree. A page is named by its place in `book/`, without the ending.
"""

_PAGES = {
    "derivations/1-matching-loss": "I5 I6 dual",
    "derivations/2-target": "I8 F15",
    "derivations/3-first-step": "I1 I2",
    "derivations/4-closed-form": "I3 I10 I12 A2 C1 C2",
    "derivations/5-preconditioner": "I4 I13 A5",
    "derivations/6-exact-m": "I7 B1 B2",
    "derivations/7-shared-rows": "L1 L2 L3 L4 L5",
    "derivations/8-family": "A1 I9 I11 B4 C6 D1 D2 D5 D11 D12 E2 E3 F1 F9 F13 F14 MAC",
}

# id of an identity → the page
PAGES: dict[str, str] = {name: page for page, names in _PAGES.items() for name in names.split()}


def page_list() -> str:
    """Return the pages as lines for the terminal, each with its identities.

    >>> page_list().splitlines()[0]
    'book/derivations/1-matching-loss.md derives I5, I6, dual'
    """
    return "\n".join(f"book/{page}.md derives {', '.join(names.split())}" for page, names in _PAGES.items())
