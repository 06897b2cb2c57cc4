"""The systems that answer a benchmark's questions: models, servers, scores in a file, and simple baselines.

An assessor answers questions, which show one picture, two, or a series. :data:`ASSESSORS` makes one from its kind and
options; a new kind is one more entry. The identity of an assessor contains everything that determines its answers,
because only the same assessor may continue a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from redaes.assessing.agreement import USUAL_DRAWS
from redaes.assessing.choosing import COMPARISONS, check_placing
from redaes.backends.base import Backend
from redaes.backends.connecting import ConnectedModel
from redaes.backends.endpoint import Endpoint
from redaes.errors import InputError
from redaes.evaluation.assessors.base import BenchmarkAssessor
from redaes.evaluation.assessors.baselines import PyiqaScores, make_baseline
from redaes.evaluation.assessors.fgaesq import FGAesQAssessor
from redaes.evaluation.assessors.letters import LEAST_SHARE, LetterPairs, prompt_from
from redaes.evaluation.assessors.local import LocalPairs, LocalScores, Tournament
from redaes.evaluation.assessors.placed import PlacedScores
from redaes.evaluation.assessors.score_file import ScoreFile
from redaes.evaluation.assessors.servers import EndpointPairs, EndpointScores
from redaes.lenient import Reader, known_reader

Options = Mapping[str, str]


def _fine_grained(options: Options, arity: Literal["one", "series"]) -> BenchmarkAssessor:
    from redaes.models.fgaesq.scorer import FGAesQScorer

    folder = Path(_needed(options, "model", "runs/fgaesq"))
    return FGAesQAssessor(FGAesQScorer.load(folder, options.get("device", "cpu")), arity=arity)


def _server_or_local(options: Options) -> Backend:
    """Return a model on a vLLM server if an address is given, otherwise one on this machine."""
    if "url" not in options:
        return _local_backend(options)
    from redaes.backends.server import ServerBackend

    endpoint, *more = _endpoints(options)
    if more:
        raise InputError("a tournament asks one server; give one url, and more workers to ask it more at once")
    return ServerBackend(endpoint)


def _backend(options: Options) -> Backend:
    """Return a model behind the server that an endpoint names, otherwise one on this machine."""
    if "endpoint" not in options:
        beside = [name for name in (*_CONNECTED, "agreement") if name in options and name not in ("endpoint", "reader")]
        if beside:
            raise InputError(f"option {beside[0]} works only together with endpoint=…, the address of a server")
        return _local_backend(options)
    for name in ("adapter", "device"):
        if name in options:
            raise InputError(f"option {name} is for models in this process, and endpoint names a server; leave one out")
    from redaes.backends.connecting import connect, key_from

    cache = options.get("cache")
    return connect(
        options["endpoint"],
        options.get("model"),
        api_key=key_from(options.get("api_key_env")),
        reader=_reader(options) or "lenient",
        revision=options.get("revision"),
        concurrency=_whole(options, "concurrency", 8),
        max_calls=_whole(options, "max_calls", None),
        max_tokens=_whole(options, "max_tokens", None),
        cache=Path(cache) if cache else None,
    )


def _reader(options: Options) -> Reader | None:
    """Return the reader of answers; None: the one that suits the model."""
    return known_reader(options["reader"]) if "reader" in options else None


def _draws(options: Options, backend: Backend) -> int:
    """Return the number of answers to sample in each order if a tournament gets no probabilities."""
    usual = 0
    if isinstance(backend, ConnectedModel) and "agreement" not in options and not backend.reports_probabilities():
        usual = USUAL_DRAWS
    return int(_whole(options, "agreement", usual))


def _tournament(options: Options) -> Tournament:
    backend = _backend(options) if "url" not in options else _server_or_local(options)
    return Tournament(
        backend,
        options.get("mode", "fast"),
        _whole(options, "tournament_seed", 0),
        reader=_reader(options),
        agreement=_draws(options, backend),
    )


def _placed(options: Options) -> PlacedScores:
    comparisons, enough = _whole(options, "comparisons", COMPARISONS), _number(options, "enough", 0.0)
    check_placing(comparisons, enough)
    backend = _backend(options)
    return PlacedScores(
        backend,
        options.get("mode", "fast"),
        comparisons,
        enough,
        reader=_reader(options),
        agreement=_draws(options, backend),
    )


def _letters(options: Options) -> LetterPairs:
    file = options.get("prompt_file")
    prompt = None if file is None else prompt_from(Path(file))
    return LetterPairs(_backend(options), prompt, _number(options, "least_share", LEAST_SHARE, "a number from 0 to 1"))


def _local_backend(options: Options) -> Backend:
    from redaes.backends.local import LocalBackend
    from redaes.models import nano

    adapter = options.get("adapter")
    return LocalBackend(
        options.get("model", nano.NAME),
        adapter=Path(adapter) if adapter else None,
        device=options.get("device"),
    )


def _endpoints(options: Options) -> list[Endpoint]:
    if "url" not in options or "model" not in options:
        raise InputError("a server needs the options url=… (several separated by commas) and model=…")
    from redaes.backends.connecting import key_from

    cache = options.get("cache")
    return [
        Endpoint(
            url,
            options["model"],
            api_key=key_from(options.get("api_key_env")),
            revision=options.get("revision", ""),
            concurrency=_whole(options, "concurrency", 8),
            max_calls=_whole(options, "max_calls", None),
            max_tokens=_whole(options, "max_tokens", None),
            cache=Path(cache) if cache else None,
        )
        for url in options["url"].split(",")
    ]


def _whole(options: Options, name: str, default: Any) -> Any:
    if name not in options:
        return default
    if not options[name].isdecimal():
        raise InputError(f"option {name} is {options[name]!r}; give a whole number")
    return int(options[name])


def _number(options: Options, name: str, default: float, wanted: str = "a number") -> float:
    try:
        return float(options.get(name, default))
    except ValueError as error:
        raise InputError(f"option {name} is {options[name]!r}; give {wanted}") from error


def _checks(options: Options) -> bool:
    """Return whether to check reasons against the pictures, which is the default."""
    given = options.get("check", "yes")
    if given not in ("yes", "no"):
        raise InputError(f"option check is {given!r}; give yes or no")
    return given == "yes"


def _needed(options: Options, name: str, example: str) -> str:
    if name not in options:
        raise InputError(f"option {name} is missing; give {name}={example}")
    return options[name]


_LOCAL = ("model", "adapter", "device")
_CONNECTED = ("endpoint", "api_key_env", "revision", "concurrency", "max_calls", "max_tokens", "cache", "reader")
"""Options of a model behind any server, instead of one on this machine."""
_SERVER = ("url", "model", "revision", "concurrency", "max_calls", "max_tokens", "cache", "api_key_env")

ASSESSORS: dict[str, tuple[Callable[[Options], BenchmarkAssessor], tuple[str, ...]]] = {
    "vlm": (lambda options: LocalScores(_backend(options)), (*_LOCAL, *_CONNECTED)),
    "vlm_pairs": (
        lambda options: LocalPairs(
            _backend(options),
            options.get("mode", "fast"),
            options.get("prompt"),
            options.get("form"),
            check=_checks(options),
            reader=_reader(options),
        ),
        (*_LOCAL, *_CONNECTED, "mode", "prompt", "form", "check"),
    ),
    "vlm_placed": (_placed, (*_LOCAL, *_CONNECTED, "agreement", "mode", "comparisons", "enough")),
    "vlm_letter": (
        _letters,
        (*_LOCAL, *(name for name in _CONNECTED if name != "reader"), "prompt_file", "least_share"),
    ),
    "vlm_tournament": (
        _tournament,
        (*dict.fromkeys((*_LOCAL, *_SERVER, *_CONNECTED)), "agreement", "mode", "tournament_seed"),
    ),
    "fgaesq": (lambda options: _fine_grained(options, "one"), ("model", "device")),
    "fgaesq_series": (lambda options: _fine_grained(options, "series"), ("model", "device")),
    "endpoint": (lambda options: EndpointScores(_endpoints(options)), _SERVER),
    "endpoint_pairs": (
        lambda options: EndpointPairs(
            _endpoints(options),
            options.get("mode", "reasoned"),
            _whole(options, "max_new_tokens", 512),
            options.get("prompt"),
            options.get("reader", "strict"),
            options.get("form"),
            check=_checks(options),
        ),
        (*_SERVER, "mode", "max_new_tokens", "prompt", "reader", "form", "check"),
    ),
    "csv": (lambda options: ScoreFile(Path(_needed(options, "file", "scores.csv"))), ("file",)),
    "pyiqa": (
        lambda options: PyiqaScores(_needed(options, "metric", "nima"), options.get("device", "cpu")),
        ("metric", "device"),
    ),
    "baseline": (
        lambda options: make_baseline(_needed(options, "measure", "sharpness"), options.get("better", "larger")),
        ("measure", "better"),
    ),
}
"""For each kind of assessor, the function that makes it and its options."""


def make_assessor(kind: str, options: Options) -> BenchmarkAssessor:
    """Return the assessor of a kind.

    Raises:
        InputError: the kind or an option is unknown, or an option is missing.
        BackendError: the model cannot be loaded.
        MissingDependency: a package is absent.
    """
    if kind not in ASSESSORS:
        raise InputError(f"assessor {kind!r} is unknown; give one of {', '.join(ASSESSORS)}")
    make, known = ASSESSORS[kind]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InputError(f"assessor {kind} has no option {', '.join(unknown)}; it has {', '.join(known)}")
    return make(options)
