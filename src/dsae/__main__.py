"""``python -m dsae`` is ``dsae``: what torchrun starts."""

from dsae.cli import main

if __name__ == "__main__":
    main()
