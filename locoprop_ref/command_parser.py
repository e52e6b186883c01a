"""The parser of the command line: every error is one line, with the nearest word that is known."""

import argparse
import difflib
import re
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, and leave with status 2."""
        self.exit(2, f"{self.prog}: {message}{self._hint(message)}\n")

    def _hint(self, message: str) -> str:
        """Return the nearest option, command or value to the one that was not known."""
        pattern = r"unrecognized arguments: (--[\w-]+)|invalid choice: '(\S+)' \(choose from"
        unknown = re.search(pattern, message)
        if not unknown:
            return ""
        known = set(self._option_string_actions)
        for action in self._actions:
            known |= set(map(str, action.choices or ()))
            for command in action.choices.values() if isinstance(action.choices, dict) else ():
                known |= set(command._option_string_actions)
        nearest = difflib.get_close_matches(unknown.group(1) or unknown.group(2), sorted(known), n=1)
        return f" (did you mean {nearest[0]}?)" if nearest else ""
