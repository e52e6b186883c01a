"""A JSON layout that is easy to read: a value that fits on one line is written on one line."""

import json
import textwrap
from typing import Any

WIDTH = 108


def text(value: Any, indent: int = 0, lead: int = 0, *, paragraphs_from: int = 13) -> str:
    """Return JSON in which every value that fits on one line is on one line; no newline at the end.

    Args:
        value: a JSON value.
        indent: depth of the value.
        lead: length of the text before the value on its first line.
        paragraphs_from: lists of at least this many numbers are broken like a paragraph if they do not fit on
            one line; shorter ones have one number on a line.
    """
    flat_text = json.dumps(value, ensure_ascii=False)
    if indent + lead + len(flat_text) <= WIDTH or not isinstance(value, dict | list):
        return flat_text
    pad = "\n" + " " * (indent + 1)
    if isinstance(value, dict):
        keys = [f"{json.dumps(key)}: " for key in value]
        parts = [
            key + text(item, indent + 1, len(key), paragraphs_from=paragraphs_from)
            for key, item in zip(keys, value.values(), strict=True)
        ]
    elif all(isinstance(item, str) for item in value) or _many_numbers(value, paragraphs_from):
        lines = textwrap.wrap(flat_text[1:-1], WIDTH - indent, break_long_words=False, break_on_hyphens=False)
        return "[" + pad + pad.join(lines) + "\n" + " " * indent + "]"
    else:
        parts = [text(item, indent + 1, paragraphs_from=paragraphs_from) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return opening + pad + ("," + pad).join(parts) + "\n" + " " * indent + closing


def _many_numbers(value: list[Any], count: int) -> bool:
    return len(value) >= count and all(isinstance(item, int | float) for item in value)
