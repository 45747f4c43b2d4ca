"""The report of a sweep: a page that opens offline, with figures and tables."""
