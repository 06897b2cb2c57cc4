"""Answers that are kept on disk, by several threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from redaes.backends.chat_replies import Reply
from redaes.backends.reply_cache import ReplyCache


def test_threads_may_keep_answers_to_one_question_at_the_same_time(tmp_path: Path) -> None:
    cache = ReplyCache(tmp_path)
    together = Barrier(8)

    def keep(number: int) -> list[str]:
        kept = []
        for question in range(20):
            together.wait(timeout=10)
            reply = Reply(text=str(number), finish_reason="stop", logprobs=None, usage=None)
            kept.append(cache.keep(f"{question:064d}", reply).text)
        return kept

    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(keep, range(8)))
    assert all(answers == kept[0] for answers in kept)
    assert [file.suffix for file in tmp_path.rglob("*") if file.is_file()] == [".json"] * 20
