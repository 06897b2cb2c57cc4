"""Photographs that come with scikit-image and scikit-learn: something to work on without a download."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from redaes.errors import MissingDependency


@dataclass(frozen=True)
class Sample:
    """A photograph that some installed package ships."""

    name: str
    path: Path
    licence: str
    attribution: str
    """Who made it, and where the package's authors have it from."""

    @property
    def credit(self) -> str:
        """Licence and author in one line, as rows of a dataset carry it."""
        return f"{self.licence}; {self.attribution}"


# As stated in skimage/data/_fetchers.py and sklearn/datasets/images/README.txt. The latter credits both of its
# pictures to danielbuechele, but the second one's links lead to the account vultilion.
_SKIMAGE = (
    ("astronaut", "astronaut.png", "public domain", "NASA (Great Images in NASA)"),
    ("chelsea", "chelsea.png", "CC0", "Stefan van der Walt"),
    ("coffee", "coffee.png", "CC0", "Rachel Michetti, courtesy of Pikolo Espresso Bar"),
    ("rocket", "rocket.jpg", "public domain", "SpaceX (SpaceX Photos)"),
)
_SKLEARN = (
    ("china", "china.jpg", "CC BY 2.0", "danielbuechele, flickr.com/photos/danielbuechele/6061409035"),
    ("flower", "flower.jpg", "CC BY 2.0", "vultilion, flickr.com/photos/vultilion/6056698931"),
)
_PACKAGES = (
    ("scikit-image", "skimage", "data", _SKIMAGE),
    ("scikit-learn", "sklearn", "datasets/images", _SKLEARN),
)


def sample_photographs() -> list[Sample]:
    """The colour photographs that scikit-image and scikit-learn ship, without importing either.

    Raises:
        MissingDependency: one of the packages is absent, or was installed without its pictures.
    """
    samples: list[Sample] = []
    for package, module, folder, known in _PACKAGES:
        spec = find_spec(module)
        if spec is None or not spec.submodule_search_locations:
            raise MissingDependency(package, "demo")
        root = Path(spec.submodule_search_locations[0]) / folder
        for name, file, licence, attribution in known:
            path = root / file
            if not path.is_file():
                raise MissingDependency(f"{package} with its pictures ({path} is missing)", "demo")
            samples.append(Sample(name, path, licence, attribution))
    return samples


def ensure_sample_dataset(folder: Path) -> Path:
    """A small RED dataset of the sample photographs, built unless it is there already.

    Several processes may ask at once: one builds, the others wait.

    Returns:
        ``folder``.

    Raises:
        MissingDependency: a package that this needs is absent.
        RecordError: the folder holds another dataset, or cannot be written.
    """
    if find_spec("datasets") is None:
        raise MissingDependency("datasets", "demo")
    from redaes.datagen.pipeline import build
    from redaes.datagen.ranking_group import Settings

    samples = sample_photographs()
    build(
        [sample.path for sample in samples],
        folder,
        Settings(),
        licences={sample.path: sample.credit for sample in samples},
    )
    return folder


def ensure_sample_series(folder: Path) -> tuple[Path, Path]:
    """Small lists of series and coarse pictures of the sample photographs, made unless they are there already.

    The last photograph is held out. For one process at a time.

    Raises:
        MissingDependency: a package that ships photographs is absent.
        RecordError: the folder cannot be written to.
    """
    lists = folder / "series.jsonl", folder / "coarse.jsonl"
    if all(path.is_file() for path in lists):
        return lists
    from redaes.datagen.series.synthetic import write_series

    samples = sample_photographs()
    return write_series(
        {sample.name: sample.path for sample in samples},
        folder,
        per_category=2,
        lengths=(3, 4),
        n_coarse=8,
        side=128,
        split_of={sample.name: "test" if sample is samples[-1] else "train" for sample in samples},
        seed=0,
    )
