"""What pages for a browser have in common: scripts and styles of the package, which fetch nothing.

Two pictures side by side at 100 %, for the contact sheet and the service; the tables of reports, sorted and filtered.
"""

from __future__ import annotations

from importlib.resources import files

_FILES = files("redaes.viewer")
SCRIPT = _FILES.joinpath("viewer.js").read_text(encoding="utf-8")
STYLE = _FILES.joinpath("viewer.css").read_text(encoding="utf-8")
REPORT_SCRIPT = SCRIPT + _FILES.joinpath("table.js").read_text(encoding="utf-8")
"""For a report: its tables with the class ``sortable``, and that of :func:`redaes.viewer.pair_table.pair_table`."""
REPORT_STYLE = STYLE + _FILES.joinpath("report.css").read_text(encoding="utf-8")
