"""The report of a sweep: a page that opens offline, figures and tables."""

from catran_causalbench.report.page import write_report

__all__ = ["write_report"]
