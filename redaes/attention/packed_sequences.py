"""Pack sequences of tokens into one row, in which their common beginnings occur once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from redaes.attention.token_trees import BRANCHES, Segment

LEAST_SHARED = 32
"""Number of shared tokens from which a separate segment is worth it [ours]; fewer are repeated in each branch."""

_MOST_PARTS = 1 << 32
"""A number larger than the number of parts that a picture can have."""


@dataclass(frozen=True)
class TokenSequence:
    """What a model reads: text with pictures in it."""

    ids: Sequence[int]
    """Its tokens, including those that stand for parts of pictures."""
    pictures: tuple[int, ...] = ()
    """Numbers of the pictures that it shows, in order; pictures with equal numbers are the same in every pixel."""
    cut: int = 0
    """Number of first tokens that form a segment of their own even if no other sequence shares them. The cut does not
    lie inside a picture.
    """
    known: bool = False
    """Whether keys and values of the segment up to the cut are available, so that its tokens need not be in the row."""


@dataclass(frozen=True)
class PackedSequences:
    """A packed row of L tokens, and the places of each sequence in it."""

    inputs: dict[str, Any]
    """Arguments of the model except ``pixel_values``, which are the patches of `shown`."""
    shown: tuple[int, ...]
    """Numbers of the pictures in the order in which the row shows them; a number can occur several times."""
    places: tuple[Tensor, ...]
    """For each sequence the places of its tokens in the row, (tokens,), on the CPU; -1 for a token that is known and
    therefore not in the row.
    """
    roots: tuple[int, ...]
    """For each sequence the number of the segment in which it begins."""

    @property
    def last(self) -> Tensor:
        """(sequences,) places of their last tokens."""
        return torch.stack([place[-1] for place in self.places])


def packed_sequences(
    network: Any,
    sequences: Sequence[TokenSequence],
    grids: Tensor,
    *,
    repeat_last: bool = False,
    least_shared: int = LEAST_SHARED,
) -> PackedSequences:
    """Pack sequences for a model.

    The row branches where sequences go on differently, but not inside a picture. The probability of a sequence's token
    is read at the place of the token before it.

    Args:
        network: a Qwen-VL without LoRA around it; only its function for the positions of tokens is called.
        sequences: the sequences; none of them is empty.
        grids: (pictures, 3), the grid of the picture with each number.
        repeat_last: whether each branch begins with the last shared token. Without it, that token is followed by
            several tokens; with it, each place of the row has one next token, so that heads that take one label for
            each place can be used.
        least_shared: number of shared tokens from which they become a segment of their own.

    Raises:
        ValueError: a sequence has no tokens, or its number of picture tokens is not that of its pictures' parts.
    """
    image_token: int = network.config.image_token_id
    parts = (grids.cpu().prod(-1) // network.config.vision_config.spatial_merge_size**2).tolist()
    read = [_Read.of(one, image_token, parts) for one in sequences]
    trees = _Trees(read, int(repeat_last), least_shared).roots(sequences)
    layout: list[Segment] = []
    places = [np.full(len(one.keys), -1) for one in read]
    roots = [0] * len(read)
    shown: list[int] = []
    leaves: list[int] = []
    at = 0
    for node, parent in _in_order(trees):
        if parent is None:
            for member in node.members:
                roots[member] = len(layout)
            if sequences[node.members[0]].known:
                layout.append(Segment(at, 0))
                continue
        layout.append(Segment(at, node.end - node.begin, parent))
        for member in node.members:
            places[member][node.begin : node.end] = np.arange(at, layout[-1].end)
        at = layout[-1].end
        some = node.members[0]
        shown += [number for number, (begin, _) in read[some].pictures if node.begin <= begin < node.end]
        if not node.children:
            leaves.append(some)
    ids = np.empty(at, dtype=np.int64)
    positions = np.empty((3, at), dtype=np.int64)
    for leaf in leaves:  # shared tokens have the same positions in each of them
        there = places[leaf] >= 0
        ids[places[leaf][there]] = np.array(sequences[leaf].ids)[there]
        positions[:, places[leaf][there]] = _positions(network, sequences[leaf], grids, image_token)[:, there]
    device = network.device
    inputs = {
        "input_ids": torch.from_numpy(ids)[None].to(device),
        "position_ids": torch.from_numpy(positions)[:, None].to(device),
        "image_grid_thw": grids[shown].to(device),
        BRANCHES: tuple(layout),
    }
    return PackedSequences(inputs, tuple(shown), tuple(map(torch.from_numpy, places)), tuple(roots))


def _positions(network: Any, one: TokenSequence, grids: Tensor, image_token: int) -> NDArray[np.int64]:
    """Return the positions (3, tokens) that the model gives to the whole sequence."""
    ids = torch.tensor(one.ids)[None]
    found, _ = network.base_model.get_rope_index(
        ids, mm_token_type_ids=(ids == image_token).int(), image_grid_thw=grids[list(one.pictures)].cpu()
    )
    positions: NDArray[np.int64] = found[:, 0].numpy()
    return positions


@dataclass(frozen=True)
class _Read:
    """A sequence in the form in which sequences are compared."""

    keys: NDArray[np.int64]
    """A number for each token; numbers are equal where the model reads the same."""
    pictures: tuple[tuple[int, tuple[int, int]], ...]
    """Number of each picture, with the places at which its tokens begin and end."""

    @classmethod
    def of(cls, one: TokenSequence, image_token: int, parts: Sequence[int]) -> _Read:
        """Read a sequence.

        Raises:
            ValueError: it has no tokens, or its number of picture tokens is not that of its pictures' parts.
        """
        keys = np.array(one.ids, dtype=np.int64)
        if not len(keys):
            raise ValueError("a sequence without tokens cannot be packed")
        shown = np.flatnonzero(keys == image_token)
        counts = [parts[number] for number in one.pictures]
        if len(shown) != sum(counts):
            raise ValueError(
                f"a sequence has {len(shown)} tokens of pictures, and its pictures have {sum(counts)} parts"
            )
        pictures = []
        at = 0
        for number, count in zip(one.pictures, counts, strict=True):
            its = shown[at : at + count]
            keys[its] = -1 - number * _MOST_PARTS - np.arange(count)  # negative, so never equal to a token's number
            pictures.append((number, (int(its[0]), int(its[-1]) + 1)))
            at += count
        return cls(keys, tuple(pictures))

    def n_same(self, other: _Read) -> int:
        """Return how many tokens from the beginning are the same in both sequences."""
        n = min(len(self.keys), len(other.keys))
        apart = np.flatnonzero(self.keys[:n] != other.keys[:n])
        return int(apart[0]) if len(apart) else n

    def outside_pictures(self, place: int) -> int:
        """Return the place, or the beginning of the picture if the place is inside one."""
        return next((begin for _, (begin, end) in self.pictures if begin < place < end), place)


@dataclass(frozen=True)
class _Node:
    """Tokens ``begin`` to ``end`` of each of the ``members``; they are the same in all members."""

    begin: int
    end: int
    members: Sequence[int]
    children: Sequence[_Node]


@dataclass(frozen=True)
class _Trees:
    """Finds how sequences branch off from each other."""

    read: Sequence[_Read]
    n_repeated: int
    least_shared: int

    def roots(self, sequences: Sequence[TokenSequence]) -> list[_Node]:
        """Return all trees; a sequence with a cut begins with its tokens before the cut."""
        apart: dict[tuple[bool, bytes], list[int]] = {}
        for number, (one, read) in enumerate(zip(sequences, self.read, strict=True)):
            apart.setdefault((one.known, read.keys[: one.cut].tobytes()), []).append(number)
        found: list[_Node] = []
        for members in apart.values():
            cut = sequences[members[0]].cut
            branches = self.branches(members, cut, cut)
            found += [_Node(0, cut, members, branches)] if cut else branches
        return found

    def branches(self, members: Sequence[int], begin: int, same: int) -> list[_Node]:
        """Return the nodes from ``begin`` on, of sequences that are the same up to ``same`` (at least ``begin``)."""
        apart: dict[int | None, list[int]] = {}
        for member in members:
            keys = self.read[member].keys
            apart.setdefault(int(keys[same]) if same < len(keys) else None, []).append(member)
        found: list[_Node] = []
        for alike in apart.values():
            first = self.read[alike[0]]
            n_same = min(first.n_same(self.read[member]) for member in alike)
            if all(len(self.read[member].keys) == n_same for member in alike):
                if begin < n_same:  # otherwise the sequence ends where others continue
                    found.append(_Node(begin, n_same, alike, ()))
                continue
            end = first.outside_pictures(n_same - self.n_repeated)
            if end - begin < self.least_shared:
                found += self.branches(alike, begin, n_same)
            else:
                found.append(_Node(begin, end, alike, self.branches(alike, end, n_same)))
        return found


def _in_order(roots: Sequence[_Node]) -> Iterator[tuple[_Node, int | None]]:
    """Yield all nodes with the numbers of their parents, tree by tree; the children of a node are consecutive."""
    n_given = 0
    for root in roots:
        waiting: deque[tuple[_Node, int | None]] = deque([(root, None)])
        while waiting:
            node, parent = waiting.popleft()
            yield node, parent
            waiting.extend((child, n_given) for child in node.children)
            n_given += 1
