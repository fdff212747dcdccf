"""Embedding what a reader yields, in batches, while its threads decode the next and the writer stores the last."""

from dataclasses import replace
from typing import Any

import numpy as np

from indexing.building.reader import CorpusReader, Prepared
from indexing.building.writer import Entry, IndexWriter
from indexing.encoder import Encoder
from indexing.folder.ledger import Ledger
from indexing.routing.classifier import DomainClassifier
from indexing.stores.points import Point
from titrate import independent_unit

BATCH = 64


class CorpusEmbedder:
    """Embeds prepared records and hands them to the index or, if they are held out, to the ledger.

    Parameters
    ----------
    encoder, ledger, writer
        Of the index.
    zero_shot
        Chooses the domain of records that name none; None puts them all into one.
    """

    def __init__(
        self, encoder: Encoder, ledger: Ledger, writer: IndexWriter, zero_shot: DomainClassifier | None
    ) -> None:
        self._encoder, self._ledger, self._writer, self._zero_shot = encoder, ledger, writer, zero_shot

    def run(self, reader: CorpusReader[Any]) -> None:
        """Embed and store every record; memory holds at most a few batches."""
        batch: list[Prepared[Any]] = []
        for prepared in reader.records():
            batch.append(prepared)
            if len(batch) == BATCH:
                self._embed(batch, reader)
                batch = []
        if batch:
            self._embed(batch, reader)
        self._writer.finish()

    def _embed(self, batch: list[Prepared[Any]], reader: CorpusReader[Any]) -> None:
        pixels = [item.pixels for item in batch if item.pixels is not None]
        images = self._encoder.embed_pixels(pixels)  # n images → [n, d]
        kept = [row for row, item in enumerate(batch) if not item.held_out]
        if kept:
            reports = [batch[row].record.report for row in kept]
            texts = self._encoder.embed_texts(reports)  # [kept, d]
            reader.counts.cut_reports += self._encoder.cut_texts(reports)
            domains = self._zero_shot.predict(images[kept]) if self._zero_shot is not None else [None] * len(kept)
            entries = []
            for row, text, domain in zip(kept, texts, domains, strict=True):
                record = batch[row].record
                placed = replace(record, domain=record.domain or domain)
                entries.append(Entry(Point(placed, images[row], text), batch[row].content, batch[row].picture))
            self._writer.write(entries)
            reader.counts.embedded += len(kept)
        held_out = [
            (
                item.record.id,
                item.content,
                independent_unit(item.record.patient, item.record.study, item.record.id),
                image.tobytes(),
            )
            for item, image in zip(batch, images.astype(np.float32), strict=True)
            if item.held_out
        ]
        if held_out:
            self._ledger.keep_held_out(held_out)
        reader.advance(len(batch))
