"""The report: one page about one or several runs, that opens from disk and asks for nothing.

`pictures` turns figures into drawings that the page can colour and a reader can point at, `layers`
makes the table of layers, `facts` says under which circumstances was measured, and `page` puts them
together. Names of layers and runs may hold anything: whatever comes from others is escaped.
"""

from sppkit.report.facts import Trained
from sppkit.report.page import make_report, save_report

__all__ = ["Trained", "make_report", "save_report"]
