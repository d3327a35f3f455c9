"""The report on results folders: means and intervals, what got worse, tables, pictures and a page."""
