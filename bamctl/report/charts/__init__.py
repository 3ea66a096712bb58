"""The pictures of reports, described by data; `report.formats` draws them."""
