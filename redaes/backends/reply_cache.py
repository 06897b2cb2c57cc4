"""Store answers of servers on disk, one file each, so that a run that was killed asks nothing twice."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from redaes.backends.chat_replies import Reply
from redaes.errors import RecordError
from redaes.file_writing import temporary_beside, write_atomically
from redaes.thinking import split_thinking


class ReplyCache:
    """A folder of answers by key; several processes may share it."""

    def __init__(self, folder: Path | None) -> None:
        """
        Args:
            folder: None: nothing is stored.
        """
        self._folder = folder

    @property
    def keeps(self) -> bool:
        """Whether anything is stored."""
        return self._folder is not None

    def find(self, key: str) -> Reply | None:
        """Return the stored answer; None: there is none.

        Raises:
            RecordError: it cannot be read.
        """
        if self._folder is None:
            return None
        path = self._path(self._folder, key)
        try:
            reply = Reply.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RecordError(f"{path} cannot be read: {error.strerror}") from error
        except ValidationError as error:  # files are created atomically, so this one was altered
            raise RecordError(f"{path} is not a stored answer; delete it") from error
        # Answers that were stored before thoughts were told apart still hold them, and their tokens.
        split = split_thinking(reply.text)
        if not split.thinking or not split.closed:
            return reply.model_copy(update={"cached": True})
        apart = {"text": split.answer, "thinking": split.thinking, "logprobs": None}
        return reply.model_copy(update={**apart, "cached": True})

    def keep(self, key: str, reply: Reply) -> Reply:
        """Store an answer and return the valid one: if another process has stored one first, that one.

        Raises:
            RecordError: it cannot be written.
        """
        if self._folder is None:
            return reply
        path = self._path(self._folder, key)
        temporary = temporary_beside(path)
        write_atomically(temporary, reply.model_dump_json(exclude={"cached"}).encode())
        try:
            os.link(temporary, path)  # unlike a renaming, a link never replaces what is there
        except FileExistsError:
            return self.find(key) or reply
        except OSError as error:
            raise RecordError(
                f"{path} cannot be made: {error.strerror}; put the cache on a file system with hard links"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        return reply

    @staticmethod
    def _path(folder: Path, key: str) -> Path:
        return folder / key[:2] / f"{key}.json"
