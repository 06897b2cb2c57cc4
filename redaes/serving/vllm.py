"""Start a vLLM server, wait until it answers, and restart it when it dies.

vLLM is installed in a separate environment; that environment's Python runs it, and redaes sends requests over HTTP.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from redaes.backends.adapters import check_base
from redaes.backends.endpoint import API_KEY_VARIABLE, checked_key
from redaes.backends.preprocessing import (
    IMAGE_CONFIG,
    NESTED_CONFIG,
    TEMPLATE,
    at_size,
    chat_template_of,
    picture_size,
    size_shown,
)
from redaes.backends.weights import ADAPTER_CONFIG, base_of, revision_of
from redaes.errors import BackendError, InputError, MissingDependency
from redaes.models import nano
from redaes.serving.vllm_adapters import check_patches, room_for
from redaes.serving.vllm_versions import FITTING

LOG = logging.getLogger("redaes.serving")

_LONGEST_RESTART_S = 60.0
_MAX_MODEL_LEN = 8192
_LOG_TAIL = 2000


@dataclass(frozen=True)
class ServedModel:
    """A model, and how vLLM is to serve it."""

    model: str
    """``redaes/nano`` or ``redaes/nano-base``, a folder with a model or with an adapter, which names its base, or a
    name on the hub.
    """
    adapter: Path | None = None
    """Folder of a LoRA adapter for the model; None: no adapter."""
    max_images: int = 4
    """Most pictures in one request."""
    max_pixels: int | None = None
    """Area in pixels to which the model's processor shrinks a picture; None: that of its training, or else the
    processor's default."""
    cpu: bool = False
    """Whether vLLM runs on a CPU: float32, eager mode, a small cache."""
    data_parallel: int = 1
    """Number of copies of the model, each on its own GPU."""
    tensor_parallel: int = 1
    """Number of GPUs over which one copy is split; each has a copy of the vision encoder, and pictures are
    distributed.
    """
    extra: tuple[str, ...] = ()
    """Further arguments for vLLM; they come last and so override the others."""

    def __post_init__(self) -> None:
        if (Path(self.model) / ADAPTER_CONFIG).is_file():
            if self.adapter is not None:
                raise BackendError(f"{self.model} is itself an adapter; give its base beside adapter {self.adapter}")
            object.__setattr__(self, "adapter", Path(self.model))
            object.__setattr__(self, "model", base_of(Path(self.model)))
        # As in the local backend: an adapter that was trained on the embedded base must not be put on the trained
        # model.
        if self.adapter is not None and self.model == nano.NAME and base_of(self.adapter) == nano.BASE:
            object.__setattr__(self, "model", nano.BASE)

    @property
    def name(self) -> str:
        """Name of the model in requests and results, the same as for a local backend."""
        return self.model if self.adapter is None else f"{self.model} + {self.adapter}"

    @property
    def folder(self) -> Path | None:
        """Folder of the weights; None: vLLM downloads them from the hub."""
        if self.model in nano.NAMES:
            return nano.weights(self.model)
        return Path(self.model) if Path(self.model).is_dir() else None

    def revision(self) -> str:
        """Return the revision of the weights, the same as for a local backend; ``unpinned`` for a name on the hub."""
        if self.folder is None:
            return "unpinned"
        revision = revision_of(self.folder) if self.adapter is None else revision_of(self.folder, self.adapter)
        return at_size(revision, size_shown(self.folder, self.adapter, self.max_pixels), picture_size(self.folder))

    def arguments(self, port: int) -> list[str]:
        """Return the command line of vLLM's server, on this machine's loopback only.

        Raises:
            BackendError: the model's configuration cannot be read, or vLLM would refuse the adapter or silently use
                only a part of it.
            InputError: ``max_pixels`` is not what the adapter or the model was trained with.
        """
        limits = {"image": self.max_images, "video": 0}
        found = [
            *("--model", str(self.folder or self.model)),
            *("--served-model-name", self.model),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--limit-mm-per-prompt", json.dumps(limits)),
            *("--max-model-len", str(self._most_tokens())),
            *("--load-format", "safetensors"),
            # The sampling settings in the model's files are not used (docs/reading.md).
            *("--generation-config", "vllm"),
            "--enable-prefix-caching",
        ]
        found += self._preprocessing()
        if self.adapter is not None:
            if self.folder is not None:
                check_base(self.adapter, self.model, self.folder)
            lora = json.dumps({"name": self.name, "path": str(self.adapter)})
            found += ["--enable-lora", "--lora-modules", lora, "--max-lora-rank", str(room_for(self.adapter))]
        if self.cpu:
            # Without a size, vLLM reserves nearly all of the machine's memory. Prefix caching needs whole blocks.
            found += ["--dtype", "float32", "--enforce-eager", "--kv-cache-memory-bytes", "500M"]
            found += ["--block-size", "32", "--mm-processor-cache-gb", "0.25", "--max-num-seqs", "16"]
        if self.data_parallel > 1:
            found += ["--data-parallel-size", str(self.data_parallel)]
        if self.tensor_parallel > 1:
            found += ["--tensor-parallel-size", str(self.tensor_parallel), "--mm-encoder-tp-mode", "data"]
        return [*found, *self.extra]

    def _preprocessing(self) -> list[str]:
        """Return arguments for picture size and chat template, which vLLM would otherwise take from the model's folder.

        Raises:
            BackendError: the adapter's pictures differ from the model's in more than their size, or nobody says at
                which size a model from the hub shows them.
            InputError: another size is asked for than that of the training.
        """
        folder = self._settings_folder()
        size = size_shown(folder, self.adapter, self.max_pixels)
        own = None if folder is None else picture_size(folder)
        found = []
        if size is not None and (size != own or self.max_pixels is not None):
            found += ["--mm-processor-kwargs", json.dumps({"size": size.as_dict()})]
        elif size is None and self.max_pixels is not None:
            raise BackendError(f"{self.model} does not say at which size it shows pictures; leave max_pixels out")
        if self.adapter is not None:
            if folder is not None:
                check_patches(self.adapter, folder)
            template = self.adapter / TEMPLATE
            if template.is_file() and (folder is None or chat_template_of(folder) != chat_template_of(self.adapter)):
                found += ["--chat-template", str(template)]
        return found

    def _settings_folder(self) -> Path | None:
        """Return the folder with the model's picture settings; those of a model on the hub are downloaded if they are
        needed.
        """
        if self.folder is not None or self.max_pixels is None or self._adapter_says():
            return self.folder
        from huggingface_hub import snapshot_download

        try:
            return Path(snapshot_download(self.model, allow_patterns=[IMAGE_CONFIG, NESTED_CONFIG]))
        except (OSError, ValueError) as error:
            raise BackendError(
                f"{self.model}: its picture settings are not available from the Hugging Face Hub ({error}), and "
                "max_pixels needs them; check the name, or leave max_pixels out"
            ) from error

    def _adapter_says(self) -> bool:
        return self.adapter is not None and picture_size(self.adapter) is not None

    def _most_tokens(self) -> int:
        """Return the most tokens of prompt and answer together: the positions that the model knows, up to our own
        bound.
        """
        if self.folder is None:
            return _MAX_MODEL_LEN
        file = self.folder / "config.json"
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
            known = config.get("text_config", config).get("max_position_embeddings", _MAX_MODEL_LEN)
            return min(_MAX_MODEL_LEN, int(known))
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise BackendError(f"{file} cannot be read ({error}); give the folder of a whole model") from error


class VllmServer:
    """A vLLM process that is restarted when it dies. As a context manager, it starts the server and stops it at the
    end."""

    def __init__(self, served: ServedModel, python: Path, *, start_s: float = 900.0) -> None:
        """
        Args:
            served: the model to be served.
            python: interpreter of the environment that has vLLM.
            start_s: longest wait for the first sign of health, in seconds; large models take minutes to load.

        Raises:
            InputError: there is no such interpreter.
            BackendError: the adapter cannot be served.
        """
        if not os.access(python, os.X_OK):
            raise InputError(f"{python}: no program; give the Python of the environment that has vLLM")
        self.served = served
        self.port = _free_port()
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        self.api_key = secrets.token_urlsafe(24)
        """Random key that keeps other users of this machine out of ``/v1``."""
        self._command = [
            str(python), "-m", "vllm.entrypoints.openai.api_server", *served.arguments(self.port)
        ]  # fmt: skip
        self._start_s = start_s
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._keep_alive, name="redaes-vllm", daemon=True)
        # The log is kept after a failure, as it shows the reason.
        self.log = Path(tempfile.mkstemp(prefix="redaes-vllm-", suffix=".log")[1])

    def __enter__(self) -> VllmServer:
        """Start the server and wait until it is healthy.

        Raises:
            BackendError: the server ended or did not become healthy; the message contains the end of its log.
        """
        self._process = self._start()
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the server."""
        self._closing.set()
        self._watcher.join()
        self._stop()
        self.log.unlink(missing_ok=True)

    @property
    def pid(self) -> int | None:
        """Id of the running process; None: none is running."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def is_healthy(self) -> bool:
        """Return whether the server reports that it can answer."""
        return self.pid is not None and is_healthy(self.base_url)

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {
            "VLLM_NO_USAGE_STATS": "1",
            **os.environ,
            "VLLM_API_KEY": self.api_key,
        }
        if self.served.folder is not None:
            environment["HF_HUB_OFFLINE"] = "1"
        if self.served.cpu:
            environment.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
            # Otherwise the first request waits for a C++ compiler, minutes if busy, and its failure ends the engine.
            environment.setdefault("TORCHDYNAMO_DISABLE", "1")
        with self.log.open("ab") as log:
            # In its own process group, so that an interrupt at the terminal reaches only this process, which first
            # finishes open requests.
            return subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def _wait(self) -> None:
        assert self._process is not None
        end = time.monotonic() + self._start_s
        while not is_healthy(self.base_url):
            status = self._process.poll()
            if status is not None:
                tail = self._tail()
                if "No module named 'vllm'" in tail or "No module named vllm" in tail:
                    raise MissingDependency(f"'vllm{FITTING}' (in the environment that --vllm names)", None)
                raise BackendError(f"vLLM ended with status {status} while starting; {self.log} ends with:\n{tail}")
            if time.monotonic() > end:
                raise BackendError(
                    f"vLLM did not become healthy within {self._start_s:g} s; {self.log} ends with:\n{self._tail()}"
                )
            if self._closing.wait(0.5):
                return

    def _keep_alive(self) -> None:
        """Restart the server when it ends; if its engine is killed, it ends with status 0."""
        delay_s = 1.0
        while not self._closing.wait(0.5):
            assert self._process is not None
            status = self._process.poll()
            if status is None:
                continue
            LOG.error(json.dumps({"event": "vllm ended", "status": status, "restart_in_s": delay_s}))
            self._stop()  # engine processes of a killed server
            if self._closing.wait(delay_s):
                return
            delay_s = min(_LONGEST_RESTART_S, 2 * delay_s)
            self._process = self._start()
            try:
                self._wait()
            except (BackendError, MissingDependency) as error:
                LOG.error(json.dumps({"event": "vllm does not start", "reason": str(error)[-_LOG_TAIL:]}))
                continue
            delay_s = 1.0
            LOG.info(json.dumps({"event": "vllm answers again"}))

    def _stop(self) -> None:
        """Stop the process and all processes that it started."""
        process = self._process
        if process is None:
            return
        for number, wait_s in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 20.0)):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                break
            try:
                process.wait(wait_s)
            except subprocess.TimeoutExpired:
                continue
        process.wait()

    def _tail(self) -> str:
        return self.log.read_bytes()[-_LOG_TAIL:].decode("utf-8", "replace")


def is_healthy(base_url: str) -> bool:
    """Return whether a vLLM server reports that it can answer.

    Args:
        base_url: base URL of its OpenAI protocol, such as ``http://127.0.0.1:8000/v1``.
    """
    httpx = _httpx()
    try:
        return bool(httpx.get(f"{base_url.removesuffix('/v1')}/health", timeout=2.0).status_code == 200)
    except httpx.HTTPError:
        return False


def served_models(base_url: str) -> Sequence[str]:
    """Return the names under which a server offers models; its key, if it has one, is ``REDAES_API_KEY``.

    Raises:
        BackendError: the server does not list them.
        InputError: the key cannot be sent.
    """
    httpx = _httpx()
    api_key = checked_key(os.environ.get(API_KEY_VARIABLE, ""))
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        answer = httpx.get(f"{base_url}/models", headers=headers, timeout=10.0)
        answer.raise_for_status()
        return [str(model["id"]) for model in answer.json()["data"]]
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        raise BackendError(f"{base_url}/models does not list models ({error}); is it a vLLM server?") from error


def _httpx() -> Any:
    try:
        import httpx
    except ImportError as error:
        raise MissingDependency("httpx", "serve") from error
    return httpx


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
