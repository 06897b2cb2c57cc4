"""Photographs that come with scikit-image and scikit-learn, for trying things without a download."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from redaes.errors import MissingDependency


@dataclass(frozen=True)
class Sample:
    """A photograph that an installed package ships."""

    name: str
    path: Path
    licence: str
    attribution: str
    """Who made the photograph, and where the package's authors took it from."""

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
    """Return the colour photographs that scikit-image and scikit-learn ship, without importing either.

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
