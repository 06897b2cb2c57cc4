"""What servers say about fields that they cannot use, in their own forms; each with where it was reported."""

from __future__ import annotations

import json
from typing import Any

import pytest

from redaes.backends.dialect import Dialect, changes
from redaes.backends.refusals import Refusal, refusals

BODY: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "Unsupported parameter: 'seed'"}],
    "temperature": 0.7,
    "max_completion_tokens": 512,
    "seed": 3,
    "logprobs": True,
    "top_logprobs": 20,
    "response_format": {"type": "json_schema"},
    "continue_final_message": True,
    "add_generation_prompt": False,
    "chat_template_kwargs": {},
    "top_p": 1.0,
}

WITHOUT_TEMPERATURE = (
    "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported."
)


def openai(message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def forbidden(*names: str) -> list[dict[str, Any]]:
    return [
        {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"} for name in names
    ]


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        # OpenAI. https://github.com/QwenLM/qwen-code/issues/921, https://github.com/gabrii/Cursor-Azure-GPT-5/issues/33
        (400, openai(WITHOUT_TEMPERATURE, "temperature", "unsupported_value"), {"temperature": 1.0}),
        # https://github.com/griptape-ai/ComfyUI-Griptape/issues/312 (of max_tokens, where only that was sent)
        (400, openai("Unsupported parameter: 'max_completion_tokens' is not supported with this model. Use "
                     "'max_tokens' instead.", "max_completion_tokens", "unsupported_parameter"),
         {"max_completion_tokens": None}),
        # https://github.com/confident-ai/deepeval/pull/2184
        (403, openai("You are not allowed to request logprobs from this model"), {"logprobs": None}),
        (400, openai("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."),
         {"response_format": None}),
        (400, openai("Invalid 'top_logprobs': integer above maximum value. Expected a value <= 5, but got 20 instead."),
         {"top_logprobs": 5}),
        # Azure. https://github.com/sinaptik-ai/pandas-ai/issues/749, https://github.com/Tencent/WeKnora/pull/496
        (400, openai("Unrecognized request argument supplied: seed"), {"seed": None}),
        (400, openai("Unrecognized request arguments supplied: seed, chat_template_kwargs"),
         {"seed": None, "chat_template_kwargs": None}),
        # https://github.com/confident-ai/deepeval/issues/843
        (400, openai("Invalid value for 'top_logprobs': must be less than or equal to 5"), {"top_logprobs": 5}),
        # Mistral. https://github.com/editor-code-assistant/eca/issues/231
        (422, {"object": "error", "message": {"detail": forbidden("max_completion_tokens")}, "code": None},
         {"max_completion_tokens": None}),
        (422, {"detail": forbidden("seed", "logprobs")}, {"seed": None, "logprobs": None}),
        # https://github.com/mistralai/platform-docs-public/issues/7
        (422, {"object": "error", "message": json.dumps({"detail": forbidden("seed")})}, {"seed": None}),
        # https://github.com/langchain-ai/langchain-azure/issues/82
        (422, {"detail": forbidden("seed")}, {"seed": None}),
        # vLLM before 0.6. https://github.com/1Panel-dev/MaxKB/issues/2912
        (400, {"object": "error", "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'max_completion_tokens'), "
               "'msg': 'Extra inputs are not permitted', 'input': 800}]", "code": 400},
         {"max_completion_tokens": None}),
        # https://github.com/EleutherAI/lm-evaluation-harness/issues/1735
        (400, {"object": "error", "message": "Cannot request more than 5 logprobs."}, {"top_logprobs": 5}),
        # https://github.com/vllm-project/vllm-gaudi/pull/1098
        (400, openai("Gaudi doesn't support logprobs. Please remove 'logprobs'/'top_logprobs' from your request to "
                     "receive a response."), {"logprobs": None}),
        # Gemini. https://github.com/Vali-98/ChatterUI/issues/227
        (400, [{"error": {"code": 400, "status": "INVALID_ARGUMENT",
                          "message": 'Invalid JSON payload received. Unknown name "top_p": Cannot find field.\n'
                          'Invalid JSON payload received. Unknown name "seed": Cannot find field.'}}],
         {"top_p": None, "seed": None}),
        # https://github.com/mscraftsman/generative-ai/issues/135
        (400, [{"error": {"message": "Logprobs is not enabled for models/gemini-2.5-pro"}}], {"logprobs": None}),
        # LM Studio. https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/169
        (400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}, {"response_format": None}),
        # DeepSeek. https://github.com/llm-exe/llm-exe/issues/662
        (400, openai("This response_format type is unavailable now"), {"response_format": None}),
        # Groq. https://github.com/groq/groq-python/issues/25, https://github.com/fanenr/chatbot/issues/21
        (400, openai("`logprobs` is not supported with this model"), {"logprobs": None}),
        (400, openai("property 'seed' is unsupported, did you mean 'stop'?"), {"seed": None}),
        # Cerebras. https://github.com/OpenWhispr/openwhispr/issues/831
        (400, {"message": "chat_template_kwargs: property 'chat_template_kwargs' is unsupported"},
         {"chat_template_kwargs": None}),
        # xAI. https://github.com/yym68686/uni-api/issues/105, https://github.com/open-webui/open-webui/issues/21266
        (400, {"code": "Client specified an invalid argument", "error": "Argument not supported on this model: seed"},
         {"seed": None}),
        (400, {"error": "Model grok-4-1 does not support parameter topLogprobs."}, {"top_logprobs": None}),
        # Anthropic. https://github.com/sipeed/picoclaw/issues/2939, https://github.com/RooCodeInc/Roo-Code/issues/12162
        (400, openai("temperature is deprecated for this model."), {"temperature": None}),
        (400, openai('litellm.BadRequestError: BedrockException - {"message":"The model returned the following errors: '
                     '{\\"error\\":{\\"message\\":\\"`temperature` is deprecated for this model.\\"}}"}'),
         {"temperature": None}),
        # https://github.com/amrit110/oli/issues/7
        (400, openai("response_format: Extra inputs are not permitted"), {"response_format": None}),
        (400, openai("`temperature` may only be set to 1 when thinking is enabled."), {"temperature": 1.0}),
        # Moonshot. https://github.com/opencyvis/opencyvis-phone/issues/12, https://github.com/arcsin1/oh-my-ppt/issues/45
        (400, openai("invalid temperature: only 1 is allowed for this model"), {"temperature": 1.0}),
        (400, openai("invalid temperature: only 0.6 is allowed for this model"), {"temperature": 0.6}),
        # LiteLLM. https://github.com/HKUDS/nanobot/issues/370
        (400, openai("litellm.UnsupportedParamsError: gpt-5 models (including gpt-5-codex) don't support "
                     "temperature=0.7. Only temperature=1 is supported. For gpt-5.1, temperature is supported when "
                     "reasoning_effort='none'"), {"temperature": 1.0}),
        (400, openai("Unsupported value: 'temperature' does not support 0.7 with this model."), {"temperature": None}),
        # Go's encoding/json and Rust's serde, in whatever is written with them; Bedrock's schemas; Fireworks
        (400, openai('json: unknown field "seed"'), {"seed": None}),
        (422, "Failed to deserialize the JSON body into the target type: unknown field `seed`, expected one of "
              "`model`, `messages` at line 1 column 40", {"seed": None}),
        (400, {"message": "Malformed input request: #: extraneous key [seed] is not permitted, please reformat your "
                          "input and try again."}, {"seed": None}),
        (400, openai("Extra inputs are not permitted, field: 'seed', value: 3"), {"seed": None}),
        (400, openai("Unknown parameter: max_completion_tokens"), {"max_completion_tokens": None}),
        (400, openai("top_logprobs must be <= 5"), {"top_logprobs": 5}),
        # Together. https://github.com/stanford-crfm/helm/pull/2325
        (400, openai("5 is greater than the maximum of 1 - 'logprobs'", "logprobs"), {"top_logprobs": 1}),
        # pydantic behind others
        (422, {"detail": [{"type": "less_than_equal", "loc": ["body", "top_logprobs"], "ctx": {"le": 5}}]},
         {"top_logprobs": 5}),
    ],
)  # fmt: skip
def test_a_refused_field_is_named(status: int, content: Any, expected: dict[str, float | None]) -> None:
    found = refusals(status, json.dumps(content).encode(), BODY)
    assert {refusal.field: refusal.value for refusal in found} == expected


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (
            400,
            openai("max_tokens is too large: 8192. This model supports at most 4096 completion tokens.", "max_tokens"),
        ),
        (400, openai("Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3.")),
        (400, openai("This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.")),
        (400, openai("The image could not be processed: seed corrupt")),
        (
            400,
            openai(
                "Unsupported parameter: 'model' is not supported with this model.", "model", "unsupported_parameter"
            ),
        ),
        (400, openai("Unrecognized request argument supplied: tools")),  # never sent
        (400, openai("Unknown name \"seed\" at 'tools[0]': Cannot find field.")),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "messages", 3, "assistant", "seed"]}]}),
        (422, {"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required"}]}),
        (403, openai("Unrecognized request argument supplied: seed")),
        (401, openai("Unrecognized request argument supplied: seed")),
        (500, openai("Unrecognized request argument supplied: seed")),
        (400, openai("Cannot request more than 20 logprobs.")),  # no more were asked for
        (422, "messages[1]: unknown field `seed`, expected `role`"),
        (400, openai("temperature: Input should be less than or equal to 0.5")),
        (400, "out of order"),
        (400, {"error": None}),
        (400, [[[[[[[[[["Unrecognized request argument supplied: seed"]]]]]]]]]]),
    ],
)
def test_other_complaints_stay_errors(status: int, content: Any) -> None:
    assert refusals(status, json.dumps(content).encode(), BODY) == ()
    assert refusals(status, b"\xff{not json", BODY) == ()


def test_a_request_is_written_as_the_server_takes_it() -> None:
    dialect = Dialect()
    assert dialect.written(BODY) == BODY
    dialect.learn([Refusal("temperature", 1.0), Refusal("max_completion_tokens"), Refusal("top_logprobs", 5)])
    written = dialect.written(BODY)
    assert (written["temperature"], written["max_tokens"], written["top_logprobs"]) == (1, 512, 5)
    assert changes(BODY, written) == ("temperature=1", "top_logprobs=5")
    dialect.learn([Refusal("max_tokens"), Refusal("logprobs"), Refusal("add_generation_prompt")])
    written = dialect.written(BODY)
    left_out = {"max_completion_tokens", "logprobs", "top_logprobs", "continue_final_message", "add_generation_prompt"}
    assert set(BODY) - set(written) == left_out
    assert changes(BODY, written) == tuple(sorted(["temperature=1", *(f"without {name}" for name in left_out)]))
    dialect.learn([Refusal("temperature")])
    assert "temperature" not in dialect.written(BODY)
    # Fewer than the cap stay as many; a request without the field gets none.
    assert dialect.written({"model": "m", "messages": []}) == {"model": "m", "messages": []}


def test_no_listed_tokens_at_all_is_no_request_for_them() -> None:
    dialect = Dialect()
    dialect.learn([Refusal("top_logprobs", 0)])
    assert {"logprobs", "top_logprobs"} & set(dialect.written(BODY)) == set()
