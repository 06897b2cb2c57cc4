"""The command line: ``redaes compare``, ``score``, ``rank``, ``serve``, ``eval``, ``train``, ``demo``, ``data``,
``doctor``.

Exit status: 0 an answer, "undecided" among them; 2 the input is wrong; 3 the model gave no usable answer; 4 the model
cannot be loaded or asked, or a package is missing; 5 finished, but some of the input could not be used, and is named;
130 interrupted. With ``--json``, standard output holds JSON Lines and nothing else. Nothing heavy is imported before a
command needs it. Each command has a file; the scripts in ``data_gen/``, ``stages/`` and ``eval/`` start the same
commands.
"""

from __future__ import annotations

import errno
import os
import sys


def main(*command: str) -> None:
    """Entry point of the ``redaes`` command, and of the scripts.

    Args:
        command: words that go before those of the command line, such as ``"data", "build"``.
    """
    from redaes.cores import prepare_threads

    prepare_threads()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its code: an answer must not die of its printing.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    words = [*command, *sys.argv[1:]]
    if words[:1] == ["compare"]:
        _let_the_service_answer(words)
    from redaes.cli.app import app

    try:
        if command:
            app(words, prog_name="redaes")
        else:
            app()
    except SystemExit as end:
        if words[:1] in (["compare"], ["score"]):  # they leave nothing open
            _leave_at_once(end)
        raise
    except OSError as error:
        _end_if_unwritten(error)
        raise


def _let_the_service_answer(words: list[str]) -> None:
    """End the process with what the background service says, where there is one that may answer for this process."""
    from redaes.background.client import forwarded
    from redaes.cli.spinner import Spinner

    try:
        with Spinner("comparing"):
            outcome = forwarded(words)
    except KeyboardInterrupt:
        sys.stderr.write("\nAborted.\n")
        raise SystemExit(1) from None
    if outcome is None:
        return
    try:
        for stream, text in ((sys.stdout, outcome.stdout), (sys.stderr, outcome.stderr)):
            stream.write(text)
            stream.flush()
    except OSError as error:
        _end_if_unwritten(error)
        raise
    raise SystemExit(outcome.status)


def _end_if_unwritten(error: OSError) -> None:
    """End the process with one line where its output found no room, and silently where nobody reads it any more.

    Raises:
        SystemExit: with status 2, or 1 where nobody reads it; any other error is the caller's to raise again.
    """
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EPIPE):
        return
    # The interpreter would try once more at its end, and say so.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if error.errno == errno.EPIPE:
        raise SystemExit(1) from None
    sys.stderr.write(
        f"redaes: {error.filename or 'the output'} cannot be written ({error.strerror}); free some disk space\n"
    )
    raise SystemExit(2) from None


def _leave_at_once(end: SystemExit) -> None:
    """End the process: to take apart torch and all that it loaded takes a quarter of a second."""
    if "torch" not in sys.modules or not isinstance(end.code, int | None):
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # the interpreter has its own way to say that
        return
    os._exit(end.code or 0)
