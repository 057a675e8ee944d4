"""A package that adds a model vendor, as other people write them."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

ECHO = """
from talksy.ai.llm import Delta, Used
from talksy.messages import Usage

class Echo:
    provider = "echo"

    def __init__(self, *, model="loud", mark="!"):
        self.model, self.mark = model, mark

    async def stream(self, messages, tools=()):
        for word in messages[-1].content.split():
            yield Delta(word + self.mark)
        yield Used(Usage(1, 2))

    async def ping(self): pass

    async def close(self): pass
"""
"""The source of a vendor that repeats what was said, each word with a mark."""


def contents(
    vendor: str, source: str, kind: str = "Echo", group: str = "talksy.llm"
) -> Mapping[str, str]:
    """The files of an installed package whose class ``kind`` is the model of ``vendor``."""
    name = f"their_{vendor}"
    about = f"{name}-1.0.dist-info"
    return {
        f"{name}.py": source,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{about}/entry_points.txt": f"[{group}]\n{vendor} = {name}:{kind}\n",
    }


def unpacked(folder: Path, *args: str) -> Path:
    """The package as it lies in ``folder``, ready to be put on the path."""
    for name, text in contents(*args).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def wheel(folder: Path, *args: str) -> Path:
    """The package as a file that pip installs."""
    files = dict(contents(*args))
    about = next(name for name in files if name.endswith("METADATA")).rpartition("/")[0]
    files[f"{about}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: us\nTag: py3-none-any\n"
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])
    path = folder / f"{about.removesuffix('.dist-info')}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path
