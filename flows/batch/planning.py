"""A job's pieces: every file looked at by the workers, cut, and its columns' forms settled before a row is scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from distributed import Client

from flows.batch.column_forms import decided, piece_proofs, sampled, together
from flows.batch.cuts import Piece, Survey, blocks, cut, has_utf8_letters, not_utf8, refuse_bytes, survey, whole
from flows.batch.layouts import FileLayout, Lane, in_encoding, opened, read_whole_instead
from flows.batch.places import Source
from service.lexicon.limits import ReadOptions
from service.lexicon.text_encoding import WINDOWS

Mapper = Callable[..., Iterable[Any]]
"""`map` over any number of sequences, here or on workers; keywords are the same for all."""


def plan(sources: Sequence[Source], rows: int, options: ReadOptions, client: Client) -> list[Piece]:
    """The pieces of all files, in order; workers look into the files.

    Raises:
        BatchRefused: a file cannot be read, its columns are not the contract's, or something of it stays open.
    """

    def mapped(function: Callable[..., Any], *sequences: Sequence[Any], **same: Any) -> Iterable[Any]:
        if not sequences[0]:
            return []
        results: Iterable[Any] = client.gather(client.map(function, *sequences, **same, pure=False))
        return results

    return planned(sources, rows, options, mapped)


def planned(sources: Sequence[Source], rows: int, options: ReadOptions, mapped: Mapper) -> list[Piece]:
    """`plan` by any kind of map."""
    layouts = list(mapped(opened, sources, range(len(sources)), rows=rows, options=options))
    ranges = [(layout, *block) for layout in layouts for block in blocks(layout)]
    surveys = iter(mapped(survey, *zip(*ranges, strict=True)) if ranges else [])
    surveys_of = [[next(surveys) for _ in blocks(layout)] for layout in layouts]
    formed = list(mapped(_formed, layouts, surveys_of, rows=rows))
    settled: list[Piece] = []
    for layout, own, decides in formed:
        if not decides:
            layout = replace(decided(layout, together(mapped(piece_proofs, own, rows=rows))), complete=True)
        settled += [replace(piece, layout=layout) for piece in own]
    return settled


def _formed(layout: FileLayout, surveys: list[Survey], rows: int) -> tuple[FileLayout, list[Piece], bool]:
    """The layout with its forms, the pieces, and whether the file's beginning decides the forms."""
    layout, pieces = _cut(layout, surveys, rows)
    sample = sampled(layout) if pieces else layout
    return sample or layout, pieces, sample is not None


def _cut(layout: FileLayout, surveys: list[Survey], rows: int) -> tuple[FileLayout, list[Piece]]:
    if layout.lane is Lane.CUT:
        if not_utf8(layout, surveys):
            if layout.options.encoding or has_utf8_letters(surveys):
                refuse_bytes(layout, surveys)
            layout = in_encoding(layout, rows, WINDOWS)
    if layout.lane is Lane.CUT:
        pieces = cut(layout, surveys)
        if pieces is not None:
            return layout, pieces
        layout = read_whole_instead(layout)
    return layout, whole(layout, rows)
