"""Committed folders changed by hand: names, sizes and hashes agree again, so that what lies behind them is reached."""

import hashlib
import json

from dsae.store import Committed, state_from_bytes, state_to_bytes


def stored(folder, name, head="config.json"):
    """Where the file of that name lies."""
    return Committed(folder, head).path(name)


def put(folder, name, data, head="config.json"):
    """Replace a listed file by ``data``."""
    found = Committed(folder, head)
    found.path(name).unlink(missing_ok=True)
    found.content["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    found.path(name).write_bytes(data)
    found.head.write_text(json.dumps(found.content))


def change_state(folder, name, edit, head="config.json"):
    """Rewrite a tree of state by a function of what it holds."""
    path = stored(folder, name, head)
    state = state_from_bytes(path.read_bytes(), path)
    put(folder, name, state_to_bytes(edit(state) or state), head)
