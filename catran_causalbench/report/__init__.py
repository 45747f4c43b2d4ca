"""The report of a sweep: a page that opens offline, figures and tables."""
