"""What the task files beside this one call; lmms-eval looks for it here. The code: redaes/evaluation/lmms_tasks.py."""

from redaes.evaluation.lmms_tasks import (
    pair_accuracy,
    pair_doc_to_messages,
    pair_doc_to_target,
    pair_doc_to_text,
    pair_doc_to_visual,
    pair_f1,
    pair_process_results,
    parse_failure_rate,
    plcc,
    score_doc_to_messages,
    score_doc_to_text,
    score_doc_to_visual,
    score_process_results,
    srcc,
    swap_consistency,
)

__all__ = [
    "pair_accuracy",
    "pair_doc_to_messages",
    "pair_doc_to_target",
    "pair_doc_to_text",
    "pair_doc_to_visual",
    "pair_f1",
    "pair_process_results",
    "parse_failure_rate",
    "plcc",
    "score_doc_to_messages",
    "score_doc_to_text",
    "score_doc_to_visual",
    "score_process_results",
    "srcc",
    "swap_consistency",
]
