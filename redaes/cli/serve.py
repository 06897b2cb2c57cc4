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
            help=f"The model to serve: {nano.NAME}, a folder, or a name on the Hugging Face Hub. With --endpoint or "
            "--attach, give the model's name on that server.",
            show_default=f"{nano.NAME}; with --endpoint, the only model on that server",
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
            help="Start vLLM with the Python interpreter of the environment in which it is installed. Without a "
            "value, the current interpreter is used.",
        ),
    ] = None,
    attach: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Use a vLLM server that is already running, for example http://127.0.0.1:8000/v1."
        ),
    ] = None,
    revision: Annotated[
        str,
        typer.Option(
            help="With --attach: the version of the weights on that server, which is recorded in every result."
        ),
    ] = "unpinned",
    structured: Annotated[
        bool, typer.Option(help="With --vllm or --attach: force answers into the grammar while they are generated.")
    ] = False,
    form: Annotated[
        str,
        typer.Option(
            help="The form in which the model is asked to answer: text, json, or auto, which means text for models "
            "that were trained on it and json for others."
        ),
    ] = "auto",
    data_parallel: Annotated[
        int, typer.Option(help="With --vllm: the number of copies of the model, each on one GPU.")
    ] = 1,
    tensor_parallel: Annotated[
        int, typer.Option(help="With --vllm: the number of GPUs that one copy of the model is split over.")
    ] = 1,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            help="Largest area of a picture in pixels; larger pictures are reduced to it. The default is the area that "
            "the model was trained with."
        ),
    ] = None,
    vllm_arg: Annotated[
        list[str] | None, typer.Option(help="With --vllm: pass one more argument to vLLM. The option may be repeated.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Run the model on this device, for example cpu or cuda. With --vllm, give cpu if that vLLM was "
            "built for CPUs."
        ),
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(
            help="Offer /v1/score with these references: a folder of pictures, or a reference set that redaes score "
            "--save wrote."
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            help="Network address to listen on. Any address other than the loopback address needs --api-keys."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on. Give 0 for any free port.")] = 8080,
    api_keys: Annotated[Path | None, typer.Option(help="File that contains one API key on each line.")] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Accept requests that address the service by this host name. The option may be repeated."),
    ] = None,
    max_waiting: Annotated[
        int, typer.Option(help="Largest number of waiting requests. Further requests are refused with status 429.")
    ] = 64,
    timeout: Annotated[float, typer.Option(help="Longest time in seconds for one answer.")] = 120.0,
    background: Annotated[
        bool,
        typer.Option(
            "--background",
            help="Serve no HTTP. Keep the model loaded in a background service for your own compare, score and rank "
            "commands.",
        ),
    ] = False,
    idle: Annotated[
        float,
        typer.Option(
            metavar="MINUTES",
            help="With --background: stop after this many minutes without a request. Give 0 to run until it is "
            "stopped.",
        ),
    ] = 30.0,
    stay: Annotated[
        bool,
        typer.Option("--stay", help="With --background: stay in the foreground instead of returning to the shell."),
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Print whether a background service is running.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the background service.")] = False,
) -> None:
    """Serve the assessor over HTTP, with a web page, at an address of this machine.

    With --background, serve no HTTP, but keep the model loaded for redaes compare, score and rank.
    """
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
                    raise InputError(
                        f"{option} cannot be combined with --background, which loads a model in this process; leave "
                        "one of them out"
                    )
            if form != "auto":
                raise InputError("--form cannot be combined with --background; give --form to redaes compare instead")
            resident.begin(model or nano.NAME, adapter, device, idle_minutes=idle, stay=stay)
        return
    with reporting_errors():
        if vllm is not None and attach is not None:
            raise InputError("--vllm starts a server and --attach uses a running one; give only one of them")
        chosen = loading.ModelChoice(model, adapter, device, endpoint, api_key_env, agreement)
        if endpoint:
            _check_alone(vllm=vllm, attach=attach, max_pixels=max_pixels, structured=structured or None)
            chosen.check()
        model = model or nano.NAME
        if attach is not None and adapter is not None:
            raise InputError(
                "--adapter works only with a model that redaes loads itself; with --attach, give the adapter's name "
                "on that server as --model"
            )
        if attach is not None and (api_key_env is not None or agreement is not None):
            raise InputError(
                "--api-key-env and --agreement work only with --endpoint; give the address of --attach as --endpoint "
                "instead"
            )
        if attach is not None and max_pixels is not None:
            raise InputError(
                "--max-pixels works only with a model that redaes loads itself; with --attach, set the limit on that "
                "server"
            )
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
                    draws = chosen.draws(connected, "each result of /v1/rank and /v1/score")
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
                f"--{name.replace('_', '-')} cannot be combined with --endpoint (or REDAES_ENDPOINT), which names a "
                "server; leave one of them out"
            )
