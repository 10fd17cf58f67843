"""The scripts of the guide to training on several machines."""

import re
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "user" / "machines.md"
SCRIPTS = dict(re.findall(r'^```sh title="([^"]+)"\n(.*?)^```', _PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE))
