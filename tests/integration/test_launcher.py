"""Starting vLLM and keeping it alive, on a program that behaves as vLLM's server does; and its arguments."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from redaes.errors import BackendError, InputError, MissingDependency
from redaes.models import nano
from redaes.serving.vllm import ServedModel, VllmServer, is_healthy, served_models

FAKE = """
import http.server, json, os, sys
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
if os.environ.get("FAKE_VLLM_FAILS"):
    sys.exit("no room for the key-value cache")
print("key", "VLLM_API_KEY" in os.environ, flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        data = {"/health": b"", "/v1/models": json.dumps({"data": [{"id": "m"}]}).encode()}.get(self.path)
        self.send_response(404 if data is None else 200)
        self.end_headers()
        self.wfile.write(data or b"")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


@pytest.fixture(autouse=True)
def logs_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs stay behind where a start fails."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with something called vLLM; its Python."""
    module = tmp_path / "site" / "vllm" / "entrypoints" / "openai" / "api_server.py"
    module.parent.mkdir(parents=True)
    module.write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return Path(sys.executable)


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_answers_while_entered_and_is_gone_afterwards(vllm: Path) -> None:
    with VllmServer(ServedModel(nano.NAME), vllm) as server:
        assert server.is_healthy()
        assert served_models(server.base_url) == ["m"]
        pid = server.pid
        assert pid is not None
        assert "key True" in server.log.read_text()
    assert gone(pid)
    assert not is_healthy(server.base_url)
    assert not server.log.exists()


def test_it_is_started_again_when_it_is_killed(vllm: Path) -> None:
    with VllmServer(ServedModel(nano.NAME), vllm) as server:
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: server.pid not in (None, pid) and server.is_healthy())
        second = server.pid
        assert second is not None
    assert gone(second)


def test_one_that_does_not_start_says_why(vllm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_VLLM_FAILS", "1")
    with pytest.raises(BackendError, match="no room for the key-value cache"), VllmServer(ServedModel(nano.NAME), vllm):
        pass


def test_an_environment_without_vllm_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "")
    server = VllmServer(ServedModel(nano.NAME), Path(sys.executable))
    with pytest.raises(MissingDependency, match=r"pip install 'vllm<0\.34,>=0\.31'"), server:
        pass


def test_no_python_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no program"):
        VllmServer(ServedModel(nano.NAME), tmp_path / "python")


def test_a_server_that_is_none() -> None:
    with pytest.raises(BackendError, match="is it a vLLM server"):
        served_models("http://127.0.0.1:9/v1")


# --- arguments --------------------------------------------------------------------------------------------------


def arguments(served: ServedModel) -> dict[str, str]:
    found = served.arguments(8123)
    return {name: value for name, value in zip(found, [*found[1:], ""], strict=True) if name.startswith("--")}


def test_what_vllm_is_told() -> None:
    found = arguments(ServedModel(nano.NAME, max_pixels=50_176, data_parallel=2, tensor_parallel=4))
    assert found["--model"] == str(nano.weights())
    assert found["--served-model-name"] == nano.NAME
    assert (found["--host"], found["--port"]) == ("127.0.0.1", "8123")
    assert json.loads(found["--limit-mm-per-prompt"]) == {"image": 4, "video": 0}
    assert json.loads(found["--mm-processor-kwargs"])["size"]["longest_edge"] == 50_176
    assert found["--generation-config"] == "vllm"
    assert "--enable-prefix-caching" in found
    assert (found["--data-parallel-size"], found["--tensor-parallel-size"]) == ("2", "4")
    assert found["--mm-encoder-tp-mode"] == "data"
    assert "--trust-remote-code" not in found


def test_no_more_tokens_than_the_model_knows_positions_for(tmp_path: Path) -> None:
    assert arguments(ServedModel(nano.NAME))["--max-model-len"] == "4096"  # vLLM refuses more, and does not start
    assert arguments(ServedModel("owner/name"))["--max-model-len"] == "8192"
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"max_position_embeddings": 262_144}}))
    assert arguments(ServedModel(str(tmp_path)))["--max-model-len"] == "8192"
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(BackendError, match=r"config\.json cannot be read"):
        ServedModel(str(tmp_path)).arguments(1)


def test_a_cpu_gets_a_small_cache_and_exact_numbers() -> None:
    found = arguments(ServedModel(nano.NAME, cpu=True, extra=("--dtype", "bfloat16")))
    assert "--kv-cache-memory-bytes" in found
    assert ServedModel(nano.NAME, cpu=True, extra=("--x",)).arguments(1)[-1] == "--x"


def adapter(folder: Path, tensor: str = "base.model.language_model.layers.0.q_proj.lora_A", **config: object) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": 12, "base_model_name_or_path": nano.NAME, **config}))
    save_file({tensor: np.zeros((2, 2), np.float32)}, folder / "adapter_model.safetensors")
    return folder


def test_an_adapter_has_its_own_name_and_room(tmp_path: Path) -> None:
    served = ServedModel(nano.NAME, adapter(tmp_path / "a"))
    found = arguments(served)
    assert json.loads(found["--lora-modules"]) == {"name": served.name, "path": str(tmp_path / "a")}
    assert found["--max-lora-rank"] == "16"
    assert served.name == f"{nano.NAME} + {tmp_path / 'a'}"
    assert served.revision() != ServedModel(nano.NAME).revision()


def test_an_adapter_of_the_embedded_base_goes_on_the_base(tmp_path: Path) -> None:
    served = ServedModel(nano.NAME, adapter(tmp_path / "a", base_model_name_or_path=nano.BASE))
    assert served.name == f"{nano.BASE} + {tmp_path / 'a'}"
    assert arguments(served)["--model"] == str(nano.weights(nano.BASE))
    # A model that was named on purpose is taken at its word.
    assert ServedModel("owner/name", tmp_path / "a").name.startswith("owner/name + ")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"r": 1000}, "rank 1000"),
        ({"r": None}, "adapter_config.json"),
        ({"tensor": "base.model.visual.blocks.0.attn.qkv.lora_A"}, "vision tower"),
    ],
)
def test_adapters_that_vllm_would_not_serve_as_trained(tmp_path: Path, settings: dict[str, object], words: str) -> None:
    folder = adapter(tmp_path / "a", **settings)  # type: ignore[arg-type]
    with pytest.raises(BackendError, match=words):
        ServedModel(nano.NAME, folder).arguments(1)


def test_what_pins_the_weights_is_what_a_local_backend_says() -> None:
    from redaes.backends.weights import revision_of

    assert ServedModel(nano.NAME).revision() == revision_of(nano.weights())
    assert ServedModel("owner/name").revision() == "unpinned"
    assert ServedModel("owner/name").arguments(1)[1] == "owner/name"
