"""``python -m redaes``: the ``redaes`` command."""

from redaes.cli import main

if __name__ == "__main__":
    main()
