"""Build proofs over the company log (RFC 9162, section 2.1); checking them is in ``verify.py``."""

from __future__ import annotations

from collections.abc import Iterable

from .verify import frontier_root, leaf_hash, node_hash


class MerkleTree:
    """A tree over entry hashes, with every level kept: about 64 bytes of digests for a leaf.

    A node without a right neighbour moves up unchanged, which gives the tree of the RFC.
    """

    def __init__(self, entries: Iterable[str]):
        level = [leaf_hash(entry) for entry in entries]
        self.size = len(level)
        self.levels = [level]
        while len(level) > 1:
            paired = [node_hash(*level[i : i + 2]) for i in range(0, len(level) - 1, 2)]
            level = paired + level[len(level) & ~1 :]
            self.levels.append(level)

    @property
    def root(self) -> bytes:
        """The root hash."""
        return self.levels[-1][0] if self.size else frontier_root([])

    def inclusion(self, index: int) -> list[bytes]:
        """Return the path that proves the leaf at an index.

        :raise IndexError: when there is no such leaf.
        """
        if not 0 <= index < self.size:
            raise IndexError(index)
        path = []
        for level in self.levels:
            if index ^ 1 < len(level):
                path.append(level[index ^ 1])
            index >>= 1
        return path

    def consistency(self, old_size: int) -> list[bytes]:
        """Return the path that proves this tree to be an extension of its first leaves.

        :raise IndexError: when the old size is not between 1 and the size of this tree.
        """
        if not 0 < old_size <= self.size:
            raise IndexError(old_size)
        path, start, end, whole = [], 0, self.size, True
        while old_size != end:
            middle = start + _split(end - start)
            if old_size <= middle:
                path.append(self._root(middle, end))
                end = middle
            else:
                path.append(self._root(start, middle))
                start, whole = middle, False
        if not whole:
            path.append(self._root(start, end))
        return path[::-1]

    def _root(self, start: int, end: int) -> bytes:
        """Return the hash over a range which is either a complete aligned subtree or the end of the tree."""
        count = end - start
        if count & (count - 1) == 0:
            height = count.bit_length() - 1
            return self.levels[height][start >> height]
        middle = start + _split(count)
        return node_hash(self._root(start, middle), self._root(middle, end))


def _split(count: int) -> int:
    """Return the largest power of two below a count of at least two."""
    return 1 << (count - 1).bit_length() - 1


def dump_frontier(frontier: list[tuple[int, bytes]]) -> str:
    """Return a frontier as text, ``height:hex`` separated by blanks."""
    return " ".join(f"{height}:{node.hex()}" for height, node in frontier)


def load_frontier(text: str) -> list[tuple[int, bytes]]:
    """Return the frontier which a text holds; see ``dump_frontier``."""
    pairs = (part.split(":") for part in (text or "").split())
    return [(int(height), bytes.fromhex(node)) for height, node in pairs]
