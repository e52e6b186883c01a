"""What pyproject.toml cannot say: files from beside the package, and a README whose links lead somewhere.

The one setting is `repository` in [tool.locoprop-ref] of pyproject.toml: the address of the project, to which
the relative links of the README are completed. Without one, the installed README names the files instead.
"""

import re
import shutil
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
# folder → what of it an installed package holds, see locoprop_ref/experiments/material.py
MATERIAL = {"notebooks": "*.ipynb", "answers": "*.md", "examples": "*.*", "results": "*/*.json"}


def readme(text: str, repository: str) -> str:
    """Return the README as it can be read outside the repository."""

    def picture(found: re.Match[str]) -> str:
        alt, target = found.groups()
        return f"![{alt}]({repository}/raw/main/{target})" if repository else f"*Figure: {alt}*"

    def link(found: re.Match[str]) -> str:
        words, target = found.groups()
        if repository:
            return f"[{words}]({repository}/blob/main/{target})"
        return words if words == target else f"{words} (`{target}`)"

    text = re.sub(r"!\[([^\]]*)\]\((?!\w+://)([^)]+)\)", picture, text)
    return re.sub(r"(?<!!)\[([^\]]*)\]\((?!\w+://)([^)]+)\)", link, text)


class BuildWithMaterial(build_py):
    """Puts the notebooks, the examples and the results of the comparisons into the built package."""

    def run(self) -> None:
        """Build the package; an editable one finds the files beside it."""
        super().run()
        if self.editable_mode:
            return
        for folder, pattern in MATERIAL.items():
            for source in sorted((HERE / folder).glob(pattern)):
                target = Path(self.build_lib, "locoprop_ref", "material", source.relative_to(HERE))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)


if __name__ == "__main__":
    settings = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))
    repository = settings["tool"]["locoprop-ref"]["repository"].rstrip("/")
    setup(
        cmdclass={"build_py": BuildWithMaterial},
        long_description=readme((HERE / "README.md").read_text(encoding="utf-8"), repository),
        long_description_content_type="text/markdown",
        project_urls={"Repository": repository} if repository else {},
    )
