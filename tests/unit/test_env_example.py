"""``.env.example`` and ``Settings`` agree, both ways; so does the table in the README."""

import re
from itertools import pairwise
from pathlib import Path

from dotenv import dotenv_values

from talksy.config import Settings

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / ".env.example"
SECRET = {"JWT_SECRET": "only-for-tests-" + 32 * "x"}
VARIABLES = {name.upper() for name in Settings.model_fields}


def test_it_names_every_setting_and_no_other() -> None:
    assert set(dotenv_values(EXAMPLE)) == VARIABLES


def test_its_values_are_the_defaults() -> None:
    assert Settings.load(SECRET, EXAMPLE) == Settings.load(SECRET, None)


def test_it_leaves_empty_only_what_has_no_fixed_default() -> None:
    empty = {name for name, value in dotenv_values(EXAMPLE).items() if not value}
    fixed = {
        name.upper()
        for name, field in Settings.model_fields.items()
        if not field.is_required() and field.default not in (None, ())
    }
    assert empty & fixed == {"SYSTEM_PROMPT"}
    assert empty | fixed == VARIABLES


def test_each_setting_is_explained_above_it() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    for above, line in pairwise(lines):
        if "=" in line and not line.startswith("#"):
            assert re.match(r"# \S.*\.$", above), f"{line} is not explained"


def test_the_readme_names_every_setting_and_no_other() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("## Settings")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE)) == VARIABLES


def test_the_defaults_that_the_readme_tells_are_those_of_the_example() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([A-Z_]+)` \| `(\S+)` \|", text, re.MULTILINE))
    example = dotenv_values(EXAMPLE)
    assert told == {name: example[name] for name in told}
