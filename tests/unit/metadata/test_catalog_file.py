"""Creating the file, refusing foreign and newer ones, and starting again without SQLAlchemy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from objstore.metadata.catalog_file import (
    FORMAT_VERSION,
    open_catalog_reader,
    open_catalog_writer,
)
from objstore.metadata.schema import ddl
from objstore.model.errors import UnknownFormat

SCHEMA_FILE = Path(__file__).parents[2] / "samples" / "catalog-1.sql"


def test_the_schema_of_a_format_never_changes():
    """A changed table under an old format number would meet old files at the first statement: it needs a new number."""
    assert FORMAT_VERSION == 1
    assert "\n".join(ddl()) == SCHEMA_FILE.read_text(encoding="utf-8")


def test_a_second_start_does_not_import_sqlalchemy(tmp_path):
    """Its import takes half of the time that a server may take to start."""
    path = tmp_path / "catalog.sqlite"
    open_catalog_writer(path).close()
    program = (
        "import sys; from pathlib import Path;"
        "from objstore.metadata import CatalogStore;"
        "CatalogStore(Path(sys.argv[1]), on_fatal=print);"
        "sys.exit('sqlalchemy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == 0


def test_a_newer_format_is_refused(tmp_path):
    """An old program must not write into what it does not understand."""
    path = tmp_path / "catalog.sqlite"
    open_catalog_writer(path).close()
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA user_version={FORMAT_VERSION + 1}")
    connection.close()
    with pytest.raises(UnknownFormat):
        open_catalog_writer(path)
    with pytest.raises(UnknownFormat):
        open_catalog_reader(path)
