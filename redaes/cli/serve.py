"""``redaes serve``: the assessor over HTTP."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from redaes.cli import loading, resident
from redaes.cli.options import Adapter
from redaes.cli.running import quiet, reporting_errors
from redaes.cli.spinner import Spinner
from redaes.early_checks import check_judge
from redaes.errors import InputError
from redaes.models import nano

if TYPE_CHECKING:
    from redaes.backends.base import Backend


def serve(
    model: Annotated[str, typer.Option(help=f"{nano.NAME}, a folder, a hub name; with --attach: its name there.")] = (
        nano.NAME
    ),
    adapter: Adapter = None,
    vllm: Annotated[
        Path | None, typer.Option(metavar="PYTHON", help="Start vLLM, by the Python of the environment that has it.")
    ] = None,
    attach: Annotated[
        str | None, typer.Option(metavar="URL", help="Use a vLLM that runs already, such as http://127.0.0.1:8000/v1.")
    ] = None,
    revision: Annotated[
        str, typer.Option(help="With --attach: what pins the weights; results repeat it.")
    ] = "unpinned",
    structured: Annotated[bool, typer.Option(help="With vLLM: hold answers to the grammar while written.")] = False,
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
    stay: Annotated[bool, typer.Option("--stay", help="With --background: do not return.")] = (False),
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
                ("--api-keys", api_keys), ("--allow-host", allow_host),
            ):  # fmt: skip
                if given is not None:
                    raise InputError(
                        f"{option} is of the HTTP service, and --background has none; leave one of them out"
                    )
            resident.begin(model, adapter, device, idle_minutes=idle, stay=stay)
        return
    with reporting_errors():
        if vllm is not None and attach is not None:
            raise InputError("--vllm starts a server and --attach uses one that runs; give one of them")
        if attach is not None and adapter is not None:
            raise InputError("--adapter goes with a model that is loaded here; with --attach, name it as --model")
        if attach is not None and max_pixels is not None:
            raise InputError("--max-pixels goes with a model that is loaded here; the server of --attach has its own")
        if attach is None:
            check_judge(model, adapter)
        from redaes.assessor import Assessor
        from redaes.references import references_of
        from redaes.serving import run
        from redaes.serving.limits import ServiceLimits
        from redaes.serving.vllm import ServedModel, is_healthy

        keys = run.read_api_keys(api_keys) if api_keys is not None else ()
        address = run.ServiceAddress(host, port, keys, tuple(allow_host or ()))
        limits = ServiceLimits(
            workers=run.SERVER_WORKERS if vllm or attach else 1, max_waiting=max_waiting, timeout_s=timeout
        )
        ranked = None if references is None else references_of(references)
        backend: Backend
        healthy = None
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
                    run.vllm_backend(served, vllm, structured=structured, timeout_s=timeout)
                )
                typer.echo(f"vLLM answers at {server.base_url}; its log is {server.log}", err=True)
                healthy = server.is_healthy
            elif attach is not None:
                backend = stack.enter_context(
                    run.attached_backend(attach, model, revision=revision, structured=structured, timeout_s=timeout)
                )
                healthy = partial(is_healthy, attach.rstrip("/"))
            else:
                with quiet(), Spinner(f"loading {model}"):
                    backend = loading.load_model(model, adapter, device, max_pixels)
            scored = None
            if ranked is not None:
                assessor = Assessor(backend, mode="fast")
                scored = ranked(assessor)
                assessor.check_references(scored)
            run.serve(backend, address, limits, references=scored, is_healthy=healthy, announce=typer.echo)
