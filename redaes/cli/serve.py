"""``redaes serve``: the assessor over HTTP."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from redaes.cli import loading, resident
from redaes.cli.options import Adapter, Agreement, ApiKeyEnv, Endpoint
from redaes.cli.running import quiet, reporting_errors
from redaes.cli.spinner import Spinner
from redaes.errors import InputError
from redaes.models import nano
from redaes.serving.vllm_versions import check_vllm

if TYPE_CHECKING:
    from redaes.backends.base import Backend


class OwnVllm(TyperCommand):
    """A command whose ``--vllm``, without a value, means the Python that runs it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give ``--vllm`` the value that it stands for."""
        return super().parse_args(ctx, with_own_python(args))


def with_own_python(words: Sequence[str]) -> list[str]:
    """The words of a command line, in which ``--vllm`` has a value.

    >>> import sys
    >>> with_own_python(["--vllm", "--port", "0"]) == ["--vllm", sys.executable, "--port", "0"]
    True
    >>> with_own_python(["--vllm", "env/bin/python"])
    ['--vllm', 'env/bin/python']
    """
    found: list[str] = []
    for place, word in enumerate(words):
        found.append(word)
        following = words[place + 1] if place + 1 < len(words) else "-"
        if word == "--vllm" and following.startswith("-"):
            found.append(sys.executable)
    return found


def serve(
    model: Annotated[
        str | None,
        typer.Option(
            help=f"{nano.NAME}, a folder, a hub name; with --endpoint or --attach: its name there.",
            show_default=f"{nano.NAME}; with --endpoint the only model there",
        ),
    ] = None,
    endpoint: Endpoint = None,
    api_key_env: ApiKeyEnv = None,
    agreement: Agreement = None,
    adapter: Adapter = None,
    vllm: Annotated[
        Path | None,
        typer.Option(
            metavar="[PYTHON]",
            help="Start vLLM, by the Python of the environment that has it; without a value: of this one.",
        ),
    ] = None,
    attach: Annotated[
        str | None, typer.Option(metavar="URL", help="Use a vLLM that runs already, such as http://127.0.0.1:8000/v1.")
    ] = None,
    revision: Annotated[
        str, typer.Option(help="With --attach: what pins the weights; results repeat it.")
    ] = "unpinned",
    structured: Annotated[bool, typer.Option(help="With vLLM: hold answers to the grammar while written.")] = False,
    form: Annotated[
        str,
        typer.Option(
            help="How reasons are asked for: as text, as json, or auto: text of models trained on it, else json."
        ),
    ] = "auto",
    data_parallel: Annotated[int, typer.Option(help="With --vllm: copies of the model, one a GPU.")] = 1,
    tensor_parallel: Annotated[int, typer.Option(help="With --vllm: GPUs that one copy is split over.")] = 1,
    max_pixels: Annotated[
        int | None, typer.Option(help="Area in pixels to which pictures are shrunk; default: as in training.")
    ] = None,
    vllm_arg: Annotated[
        list[str] | None, typer.Option(help="With --vllm: one more argument for it; may be repeated.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Such as cpu or cuda; with --vllm: cpu, if it is one for CPUs.")
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="Offer /v1/score against this folder of pictures, or a file of redaes score.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; others than loopback need keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0: any that is free.")] = 8080,
    api_keys: Annotated[Path | None, typer.Option(help="File with one API key a line.")] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Name by which the service may be addressed; may be repeated.")
    ] = None,
    max_waiting: Annotated[int, typer.Option(help="Requests that wait; more are sent away with 429.")] = 64,
    timeout: Annotated[float, typer.Option(help="For one answer, in seconds.")] = 120.0,
    background: Annotated[
        bool,
        typer.Option(
            "--background", help="No HTTP: keep the model loaded for compare, score and rank of this user, and return."
        ),
    ] = False,
    idle: Annotated[
        float,
        typer.Option(metavar="MINUTES", help="With --background: end when nobody asks for so long; 0: never."),
    ] = 30.0,
    stay: Annotated[bool, typer.Option("--stay", help="With --background: do not return.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Say whether a service runs in the background.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the service in the background.")] = False,
) -> None:
    """Serve the assessor over HTTP, with a page to look at; on this machine unless told otherwise."""
    if status or stop:
        with reporting_errors():
            resident.show_status() if status else resident.end()
        return
    if background:
        with reporting_errors():
            for option, given in (
                ("--vllm", vllm), ("--attach", attach), ("--max-pixels", max_pixels), ("--references", references),
                ("--api-keys", api_keys), ("--allow-host", allow_host), ("--endpoint", endpoint or None),
                ("--api-key-env", api_key_env), ("--agreement", agreement), ("--vllm-arg", vllm_arg),
                ("--structured", structured or None),
            ):  # fmt: skip
                if given is not None:
                    raise InputError(f"{option} does not go with --background, which loads a model of this machine")
            if form != "auto":
                raise InputError("--form does not go with --background; give it to redaes compare")
            resident.begin(model or nano.NAME, adapter, device, idle_minutes=idle, stay=stay)
        return
    with reporting_errors():
        if vllm is not None and attach is not None:
            raise InputError("--vllm starts a server and --attach uses one that runs; give one of them")
        chosen = loading.ModelChoice(model, adapter, device, endpoint, api_key_env, agreement)
        if endpoint:
            _check_alone(vllm=vllm, attach=attach, max_pixels=max_pixels, structured=structured or None)
            chosen.check()
        model = model or nano.NAME
        if attach is not None and adapter is not None:
            raise InputError("--adapter goes with a model that is loaded here; with --attach, name it as --model")
        if attach is not None and (api_key_env is not None or agreement is not None):
            raise InputError("--api-key-env and --agreement go with --endpoint; give the server of --attach as that")
        if attach is not None and max_pixels is not None:
            raise InputError("--max-pixels goes with a model that is loaded here; the server of --attach has its own")
        if attach is None and not endpoint:
            chosen.check()
        if vllm is not None and (notice := check_vllm(vllm)) is not None:
            typer.echo(f"redaes: {notice}", err=True)
        from redaes.backends.forms import known_form

        asked_as = known_form(form)
        from redaes.assessor import Assessor
        from redaes.backends.server import ServerBackend
        from redaes.references import references_of
        from redaes.serving import run
        from redaes.serving.limits import ServiceLimits
        from redaes.serving.vllm import ServedModel, is_healthy

        keys = run.read_api_keys(api_keys) if api_keys is not None else ()
        address = run.ServiceAddress(host, port, keys, tuple(allow_host or ()))
        workers = run.SERVER_WORKERS if vllm or attach else run.CHAT_WORKERS if endpoint else 1
        limits = ServiceLimits(workers=workers, max_waiting=max_waiting, timeout_s=timeout)
        ranked = None if references is None else references_of(references)
        backend: Backend
        healthy = None
        draws = 0
        with run.orderly_end(), ExitStack() as stack:
            if vllm is not None:
                served = ServedModel(
                    model,
                    adapter,
                    max_pixels=max_pixels,
                    cpu=device == "cpu",
                    data_parallel=data_parallel,
                    tensor_parallel=tensor_parallel,
                    extra=tuple(vllm_arg or ()),
                )
                typer.echo(f"starting vLLM with {served.name}", err=True)
                backend, server = stack.enter_context(
                    run.vllm_backend(served, vllm, structured=structured, timeout_s=timeout, form=asked_as)
                )
                typer.echo(f"vLLM answers at {server.base_url}; its log is {server.log}", err=True)
                healthy = server.is_healthy
            elif attach is not None:
                backend = stack.enter_context(
                    run.attached_backend(
                        attach, model, revision=revision, structured=structured, timeout_s=timeout, form=asked_as
                    )
                )
                healthy = partial(is_healthy, attach.rstrip("/"))
            elif endpoint:
                connected = stack.enter_context(chosen.connect(timeout_s=timeout))
                connected.greet()
                if agreement != 0:
                    draws = chosen.draws(connected, "what /v1/rank and /v1/score answer")
                backend, healthy = connected, connected.is_reachable
                if isinstance(connected.backend, ServerBackend):  # its questions can be called off
                    connected.backend.ask_in(connected.form)
                    backend, limits = connected.backend, replace(limits, workers=run.SERVER_WORKERS)
            else:
                with quiet(), Spinner(f"loading {model}"):
                    local = loading.load_model(model, adapter, device, max_pixels)
                if asked_as != "auto":
                    local.ask_in(asked_as)
                backend = local
            scored = None
            if ranked is not None:
                assessor = Assessor(backend, mode="fast", agreement=draws)
                scored = ranked(assessor)
                assessor.check_references(scored)
            run.serve(
                backend,
                address,
                limits,
                references=scored,
                is_healthy=healthy,
                agreement=draws,
                announce=typer.echo,
            )


def _check_alone(**options: object) -> None:
    """Refuse options of another way to have a model beside the address of a server.

    Raises:
        InputError: one is given.
    """
    for name, value in options.items():
        if value is not None:
            raise InputError(
                f"--{name.replace('_', '-')} does not go with --endpoint (or REDAES_ENDPOINT), which names a server; "
                "leave one of them out"
            )
