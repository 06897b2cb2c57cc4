"""The command line: ``redaes compare``, ``score``, ``rank``, ``serve``, ``eval``, ``train``, ``demo``, ``data``,
``doctor``.

Exit status: 0 an answer, "undecided" among them; 2 the input is wrong; 3 the model gave no usable answer; 4 the model
cannot be loaded or asked, or a package is missing; 5 finished, but some of the input could not be used, and is named;
130 interrupted. With ``--json``, standard output holds JSON Lines and nothing else. Nothing heavy is imported before a
command needs it. Each command has a file; the scripts in ``data_gen/``, ``stages/`` and ``eval/`` run the same
functions.
"""

from __future__ import annotations


def main() -> None:
    """Entry point of the ``redaes`` command."""
    from redaes.cli.app import app
    from redaes.cli.running import run

    run(app)
