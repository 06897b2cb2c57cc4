"""Run the ``redaes`` command as ``python -m redaes``."""

from redaes.cli import main

if __name__ == "__main__":
    main()
