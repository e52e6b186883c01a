"""Listings of Python source for notebooks: highlighted, in whole lines, with their tildes in place.

JupyterLab breaks a long line of a listing in the middle of a word, and fonts for code put the tilde of X̃
beside the letter. A listing as HTML has neither fault. Its colours are those of JupyterLab's theme.
"""

import html
import re

# the kind of token, as Pygments names it; JupyterLab's variable; a colour for pages that do not have it
COLOURS = (
    ("Keyword", "keyword", "#008000"),
    ("Operator.Word", "keyword", "#008000"),
    ("Literal.String", "string", "#ba2121"),
    ("Literal.Number", "number", "#008800"),
    ("Comment", "comment", "#408080"),
    ("Name.Function", "def", "#0000ff"),
    ("Name.Class", "def", "#0000ff"),
)
# a letter with the marks above it
MARKED = re.compile("\\w[\u0300-\u036f]+")


def listing(code: str) -> str:
    r"""Return Python source as HTML.

    Args:
        code: the source.

    >>> listing("K = 10")[-40:]
    'number-color, #008800)">10</span>\n</pre>'
    """
    from pygments.lexers import PythonLexer

    tokens = (_coloured(str(kind), text) for kind, text in PythonLexer().get_tokens(code))
    return f'<pre style="white-space: pre; overflow-x: auto; margin: 0">{"".join(tokens)}</pre>'


def _coloured(kind: str, text: str) -> str:
    # fonts of text, unlike those of code, put a mark above its letter
    piece = MARKED.sub(
        lambda found: f'<span style="font-family: sans-serif">{found.group()}</span>',
        html.escape(text, quote=False),
    )
    for beginning, variable, colour in COLOURS:
        if kind.startswith(f"Token.{beginning}"):
            return f'<span style="color: var(--jp-mirror-editor-{variable}-color, {colour})">{piece}</span>'
    return piece
