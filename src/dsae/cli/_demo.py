"""A tour of dsae in one command, on data that comes with scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dsae.cli._compare import made, print_study, write_study

if TYPE_CHECKING:
    from dsae.comparison import Comparison

_SETTINGS = {
    "hidden_layer_sizes": (512, 256),
    "n_components": 16,
    "density": 0.05,
    "batch_size": 32,
    "learning_rate_init": 2e-3,
}


@click.command()
@click.option("-o", "--output", default="demo", show_default=True, metavar="FOLDER", help="Folder to write.")
@click.option("--seed", default=0, show_default=True, help="Of the split and the training.")
@click.option("--max-iter", default=40, show_default=True, help="Epochs.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable figures on stdout.")
def demo(output: str, seed: int, max_iter: int, as_json: bool) -> None:
    """Compress handwritten digits with a sparse network and with its baselines, and show the results."""
    folder = made(output)
    comparison = study_digits(seed, max_iter)
    write_study(folder, comparison, image_shape=(8, 8))
    print_study(comparison, as_json)
    click.echo(f"The model is in {folder / 'model'}, the report in {folder / 'report.html'}.", err=True)


def study_digits(seed: int, max_iter: int) -> Comparison:
    """Scikit-learn's 1,797 digits of 8 x 8 pixels, scaled to [0, 1], a fifth of them held out."""
    from sklearn.datasets import load_digits

    X = load_digits(return_X_y=True)[0].astype("float32") / 16
    from dsae.comparison import compare

    return compare(X, **_SETTINGS, max_iter=max_iter, random_state=seed)
