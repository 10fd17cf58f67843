"""Models on the Hugging Face Hub: ``hf://user/repo[@revision][/subfolder]``."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from dsae.store._card import card
from dsae.store._commit import Committed, write_beside
from dsae.store._header import FORMAT
from dsae.store._joint import JOINT_HEAD, JointModel, joint_card, write_joint
from dsae.store._model import FILES_1, HEAD, LEARNING, SAMPLER, Model, write

SCHEME = "hf://"
# As huggingface_hub's file system writes them; refs/pr/1 and refs/convert/x are the revisions that have slashes.
_ADDRESS = re.compile(
    r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>refs/(?:pr|convert)/[^/@]+|[^/@]+))?(?:/(?P<subfolder>[^@]+))?"
)
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_HEX = "[0-9a-f]"


class _Address(NamedTuple):
    repo: str
    revision: str | None
    subfolder: str

    def __str__(self) -> str:
        revision = "" if self.revision is None else f"@{self.revision}"
        return f"{SCHEME}{self.repo}{revision}" + (f"/{self.subfolder}" if self.subfolder else "")

    def inside(self, name: str) -> str:
        """The path of a file in the repository."""
        return f"{self.subfolder}/{name}" if self.subfolder else name


def fetched(
    folder: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    learning: bool = False,
    files: Sequence[str] = (),
) -> Path:
    """The folder itself, or that into which a model of the Hub has been fetched.

    Only the files that make up the model are, of one commit; those that are in the cache are not fetched again.

    Parameters
    ----------
    folder : str or Path
        A folder, or ``"hf://user/repo"``, ``"hf://user/repo@revision/sub/folder"``.
    revision : str, optional
        Branch, tag or commit, if the address has none; by default the main branch.
    cache_dir : str or Path, optional
        By default that of ``huggingface_hub``.
    token : str or bool, optional
        By default that of the user who is logged in.
    local_files_only : bool
        Whether to take what is in the cache, without asking the Hub.
    learning : bool
        Whether the state from which training continues is fetched, too.
    files : sequence of str
        Names of what is fetched if it is there, in place of the files of a model of dsae.

    Raises
    ------
    ValueError
        If the address is wrong, holds no model, or something is given that only an address of the Hub has.
    ImportError
        If ``huggingface_hub`` is not installed.
    OSError
        If the Hub cannot be reached and the cache does not have the files, or there is no such repository.
    """
    given = {"revision": revision, "cache_dir": cache_dir, "token": token, "local_files_only": local_files_only or None}
    if not is_address(folder):
        for name, value in given.items():
            if value is not None:
                raise ValueError(
                    f"[load] {name} is for a model of the Hub, hf://user/repo; got {folder}. Leave it out."
                )
        return Path(folder)
    address = _address(str(folder), revision)
    options = {"cache_dir": cache_dir, "token": token, "local_files_only": local_files_only}
    with _named(str(address)):
        got = Path(_fetch(address, address.revision, files or [HEAD, JOINT_HEAD], options))
        target = got.joinpath(address.subfolder) if address.subfolder else got
        if files:
            return target
        head = next((name for name in (JOINT_HEAD, HEAD) if (target / name).is_file()), None)
        if head is None:
            raise ValueError(f"[load] {address} holds no model: it has neither {HEAD} nor {JOINT_HEAD}.")
        # The name of the snapshot is its commit: what is pushed meanwhile is another.
        _fetch(address, got.name, _files(target, head, learning), options)
    return target


def push(
    model: Model | JointModel,
    repo_id: str,
    *,
    subfolder: str = "",
    revision: str | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    license: str | None = None,
    with_card: bool = True,
    message: str | None = None,
) -> str:
    """Upload a model to a repository of the Hub, in one commit that also takes away an older model there.

    Parameters
    ----------
    model : Model or JointModel
        Without the state from which training continues.
    repo_id, subfolder, revision, private, token, license, message
        As in `dsae.Runtime.push`.
    with_card : bool
        Its ``card``.

    Returns
    -------
    str
        The address, for `fetched`.

    Raises
    ------
    ValueError
        If the name of the repository or the license is wrong, or the model cannot be saved.
    ImportError
        If ``huggingface_hub`` is not installed.
    OSError
        If the Hub cannot be reached, or refuses the upload.
    """
    address = _target(repo_id, revision, subfolder)
    if license is not None and not _LICENSE.fullmatch(license):
        raise ValueError(f"[push] license must be an identifier such as bsd-3-clause or mit; got {license!r}.")
    hub = _hub("push")
    with tempfile.TemporaryDirectory() as made, _named(str(address), "push"):
        target = Path(made, "model")
        _write(target, model, license, str(address) if with_card else None)
        api = hub.HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo_id,
            folder_path=target,
            path_in_repo=subfolder or None,
            revision=revision,
            commit_message=message or "Upload a model of dsae",
            delete_patterns=_earlier(target),
        )
    return str(address)


def is_address(folder: Any) -> bool:
    """Whether a folder is one of the Hub."""
    return isinstance(folder, str) and folder.startswith(SCHEME)


def _address(text: str, revision: str | None = None, verb: str = "load") -> _Address:
    found = _ADDRESS.fullmatch(text.rstrip("/"))
    parts = found["subfolder"].split("/") if found and found["subfolder"] else []
    if not found or any(part in ("", ".", "..") for part in parts):
        raise ValueError(
            f"[{verb}] An address of the Hub must be hf://user/repo, hf://user/repo@revision or "
            f"hf://user/repo/subfolder; got {text!r}."
        )
    if found["revision"] is not None and revision is not None:
        raise ValueError(f"[{verb}] The revision is given twice: by {text!r} and revision={revision!r}. Leave one out.")
    return _Address(found["repo"], revision or found["revision"], "/".join(parts))


def _target(repo_id: str, revision: str | None, subfolder: str) -> _Address:
    text = str(repo_id).removeprefix(SCHEME)
    if text != repo_id or not re.fullmatch(r"[\w.-]+/[\w.-]+", text):
        raise ValueError(f"[push] repo_id must be user/repo; got {repo_id!r}.")
    return _address(f"{SCHEME}{text}" + (f"/{subfolder}" if subfolder else ""), revision, "push")


def _hub(verb: str) -> ModuleType:
    try:
        import huggingface_hub
    except ImportError:
        raise ImportError(
            f'[{verb}] The Hub needs huggingface_hub, which is not installed: pip install "dsae[hub]".'
        ) from None
    return huggingface_hub


def _fetch(address: _Address, revision: str | None, names: Sequence[str], options: dict[str, Any]) -> str:
    patterns = [address.inside(name) for name in names]
    return _hub("load").snapshot_download(address.repo, revision=revision, allow_patterns=patterns, **options)


def _files(folder: Path, head: str, learning: bool) -> list[str]:
    """The files of the model whose head is there, and the head."""
    try:
        found = Committed(folder, head)
        if not str(found.content.get("format")).startswith(FORMAT):
            raise ValueError(f"{found.head} does not describe a dsae model.")
        if found.content.get("format_version") == 1 and head == HEAD:
            return [head, *FILES_1]
        names = [name for name in found.listed if learning or name != LEARNING]
        return [head, *(found.path(name).relative_to(folder).as_posix() for name in names)]
    except ValueError as error:
        raise ValueError(f"[load] {error}") from None


def _write(target: Path, model: Model | JointModel, license: str | None, address: str | None) -> None:
    """The folder that is uploaded."""
    if isinstance(model, JointModel):
        write_joint(target, replace(model, learning=None))
        text = joint_card(model, license, address)
    else:
        write(target, replace(model, learning=None))
        text = card(model, license, address)
    if address is None:
        (target / "README.md").unlink()
    else:
        write_beside(target / "README.md", text)


def _earlier(target: Path) -> list[str]:
    """Patterns of the files that an earlier model may have left, whose names say their content."""
    head = JOINT_HEAD if (target / JOINT_HEAD).is_file() else HEAD
    names = {*Committed(target, head).listed, LEARNING, SAMPLER}
    stems = [name.removesuffix(".safetensors") for name in sorted(names)]
    return [f"{stem}-{_HEX * 16}-{_HEX * 8}.safetensors" for stem in stems]


@contextlib.contextmanager
def _named(address: str, verb: str = "load") -> Iterator[None]:
    """Errors of the Hub in one line, with the remedy."""
    _hub(verb)
    from huggingface_hub import errors

    try:
        yield
        return
    except (ValueError, MemoryError):
        raise
    except errors.RepositoryNotFoundError:
        why = "there is no such repository, or you may not see it. Check its name, or log in with: hf auth login"
    except errors.RevisionNotFoundError:
        why = "the repository has no such revision. Name a branch, tag or commit of it."
    except errors.LocalEntryNotFoundError:
        why = "the Hub cannot be reached, and the cache does not have it. Try again when it can."
    except Exception as error:  # also of the client for HTTP, of which huggingface_hub has had several
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
    raise OSError(f"[{verb}] {address}: {why}")
