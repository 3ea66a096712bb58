"""Reports: presentations of results, independent of the output format, and the formats.

- `document`, `chart`: `Report`, its tables, sections and charts
- `views`: from each result to a report
- `charts`: the charts of reports
- `formats`: from a report to a table, JSON, Markdown, CSV, a page and more
"""
