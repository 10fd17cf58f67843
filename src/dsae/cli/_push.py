"""The command that shares a model."""

from __future__ import annotations

from typing import Any

import click

from dsae.cli._encode import load_model


@click.command()
@click.argument("model")
@click.argument("repository", metavar="USER/REPO")
@click.option("--subfolder", default="", metavar="PATH", help="Of the repository; by default its top.")
@click.option("--revision", metavar="BRANCH", help="By default the main branch.")
@click.option("--private", is_flag=True, help="Of a repository that is made.")
@click.option("--license", metavar="NAME", help="For the card, such as bsd-3-clause.")
@click.option("--card/--no-card", default=True, help="Whether to write the model card, README.md.")
@click.option("--message", metavar="TEXT", help="Of the commit.")
def push(model: str, repository: str, private: bool, **options: Any) -> None:
    """Upload MODEL to a repository of the Hugging Face Hub.

    The repository is made where it is not there. dsae.load("hf://USER/REPO") reads the model, and so does every command
    in place of a folder. Log in with: hf auth login
    """
    runtime = load_model(model, several=True)
    click.echo(runtime.push(repository, private=private or None, **options))
