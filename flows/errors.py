"""What can go wrong with data, named by what the caller must do.

DatasetError            root; its text is one line without a customer's value
├── SourceError         the source cannot be used: another path, name, file or permission is needed
├── GateBreached        the table lost or lacks too much: another source is needed, or a person's word that it is meant
└── ContractBroken      our own output breaks its schema: a fault of the cleaning, to be reported
"""

from __future__ import annotations


class DatasetError(Exception):
    """Root of everything the data stages raise on purpose."""


class SourceError(DatasetError):
    """The raw file cannot be had or is not the file we know; what lay there before is untouched."""


class GateBreached(DatasetError):
    """A bound of `data/params.yaml` is broken; nothing was written."""


class ContractBroken(DatasetError):
    """Prepared data does not keep its schema; nothing was written."""
