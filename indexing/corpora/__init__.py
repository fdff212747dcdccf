"""Corpora of any format as a stream of records: JSON lines, JSON lists, CSV, Parquet, folders of DICOM files.

May import `indexing.images` and `indexing.records`.
"""
