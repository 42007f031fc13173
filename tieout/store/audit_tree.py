"""Where the hashes of a proof stand in a Merkle tree whose full subtrees are stored.

Pure numbers. A full subtree is named (level, index): it covers 2**level leaves from
index * 2**level on. Any stretch of the tree is a few of them, so a proof reads O(log n) hashes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tieout.store.audit_verifier import Range, node_hash

Node = tuple[int, int]
Stretch = tuple[int, int]  # leaves from first up to, not with, last


def peaks(first: int, last: int) -> list[Node]:
    """The full subtrees that make up leaves first to last-1, from left to right.

    `first` must be where a subtree of the tree begins, as in all proofs.
    """
    found = []
    while first < last:
        level = (last - first).bit_length() - 1
        found.append((level, first >> level))
        first += 1 << level
    return found


def inclusion(index: int, size: int) -> list[Stretch]:
    """The stretches whose hashes prove leaf `index` of a tree of `size` (RFC 9162 §2.1.3.1).

    Raises ValueError when the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} has no leaf {index}")
    found: list[Stretch] = []
    first, last = 0, size
    while last - first > 1:
        middle = first + _split(last - first)
        if index < middle:
            found.append((middle, last))
            last = middle
        else:
            found.append((first, middle))
            first = middle
    return found[::-1]


def consistency(old_size: int, size: int) -> list[Stretch]:
    """The stretches whose hashes prove that the old tree begins the new (RFC 9162 §2.1.4.1).

    Raises ValueError when the old tree is larger.
    """
    if not 0 <= old_size <= size:
        raise ValueError(f"a tree of {old_size} is not the beginning of one of {size}")
    if old_size in (0, size):
        return []
    found: list[Stretch] = []
    first, last, whole = 0, size, True
    while old_size != last:
        middle = first + _split(last - first)
        if old_size <= middle:
            found.append((middle, last))
            last = middle
        else:
            found.append((first, middle))
            first, whole = middle, False
    if not whole:
        found.append((first, last))
    return found[::-1]


def nodes_of(stretches: Sequence[Stretch]) -> list[Node]:
    """Every stored node that these stretches need."""
    return [node for first, last in stretches for node in peaks(first, last)]


def hash_of(stretch: Stretch, stored: Mapping[Node, bytes]) -> bytes:
    """The hash over a stretch, from the hashes of its full subtrees. Raises KeyError."""
    found = [stored[node] for node in peaks(*stretch)]
    top = found[-1]
    for left in reversed(found[:-1]):
        top = node_hash(left, top)
    return top


def proof_in(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The inclusion path of one leaf of a small tree that is given whole."""
    stored: dict[Node, bytes] = {(0, at): leaf for at, leaf in enumerate(leaves)}
    tree = Range()
    for leaf in leaves:
        stored |= {(level, at): hashed for level, at, hashed in tree.append(leaf)}
    return [hash_of(stretch, stored) for stretch in inclusion(index, len(leaves))]


def _split(count: int) -> int:
    """The largest power of two below `count` (RFC 6962 §2.1)."""
    return 1 << ((count - 1).bit_length() - 1)
