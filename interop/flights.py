"""Real records for the tests: US flights, one JSON object per record, keyed by the origin airport."""

import functools
import json
import os
import pathlib

HOME = pathlib.Path(os.environ.get("INTEROP_HOME", pathlib.Path.home() / ".cache/ottla-interop"))
SOURCE = HOME / "node/node_modules/vega-datasets/data/flights-3m.parquet"


@functools.cache
def flights(count=240_000):
    """The first `count` flights as (key, value) pairs of bytes, in the order of the data set."""
    import pyarrow.parquet

    table = pyarrow.parquet.ParquetFile(SOURCE).read_row_group(0) if count <= 100_000 else None
    if table is None or table.num_rows < count:
        table = pyarrow.parquet.read_table(SOURCE)
    records = []
    for flight in table.slice(0, count).to_pylist():
        flight["date"] = flight["date"].isoformat()
        value = json.dumps(flight, separators=(",", ":")).encode()
        records.append((flight["origin"].encode(), value))
    assert len(records) == count
    return records
