"""Models that go to the Hugging Face Hub."""

from __future__ import annotations

from dsae import store


class Pushed:
    """The verb of `Runtime` and `JointRuntime` that shares a model."""

    model: store.Model | store.JointModel

    def push(
        self,
        repo_id: str,
        *,
        subfolder: str = "",
        revision: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        license: str | None = None,
        card: bool = True,
        message: str | None = None,
    ) -> str:
        """Upload the model to a repository of the Hugging Face Hub, where `dsae.load` finds it.

        One commit puts the files of this model in the place of those of an older one, and leaves all others alone. The
        state from which `partial_fit` continues is not uploaded; a sampler is, and one of kind ``"neighbours"`` holds
        the codes of training rows.

        Parameters
        ----------
        repo_id : str
            ``"user/repo"``. The repository is made where it is not there.
        subfolder : str
            Of the repository; by default the model lies at its top.
        revision : str, optional
            A branch that is there; by default the main one.
        private : bool, optional
            Whether a repository that is made is private; by default as the account says.
        token : str or bool, optional
            With the right to write; by default that of the user who is logged in (``hf auth login``).
        license : str, optional
            For the card: an identifier of the Hub, such as ``"bsd-3-clause"``.
        card : bool
            Whether to write the model card, README.md, with tags and metrics for the Hub. False leaves the one of the
            repository alone.
        message : str, optional
            Of the commit.

        Returns
        -------
        str
            The address, ``"hf://user/repo"``, for `dsae.load`.

        Raises
        ------
        ValueError
            If ``repo_id``, ``subfolder`` or ``license`` is wrong, or the model diverged.
        OSError
            If the Hub cannot be reached, or refuses.
        ImportError
            If ``huggingface_hub`` is not installed.
        """
        return store.push(
            self.model,
            repo_id,
            subfolder=subfolder,
            revision=revision,
            private=private,
            token=token,
            license=license,
            with_card=card,
            message=message,
        )
