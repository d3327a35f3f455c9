"""English text as users have it: JSON lines, JSON, CSV, TSV, Parquet, plain text, folders and data sets of the hub.

`open_source` looks at all inputs and says what is wrong before any work; its blocks are cut cheaply in one process and
parsed in others, so millions of rows pass through a memory that stays flat. Importing this pulls in neither torch nor
pyarrow nor datasets.
"""

from lingualift_ds.data.sources.files import FORMATS
from lingualift_ds.data.sources.rows import FIELDS, Bad, Block, Row
from lingualift_ds.data.sources.source import Source, open_source

__all__ = ["FIELDS", "FORMATS", "Bad", "Block", "Row", "Source", "open_source"]
