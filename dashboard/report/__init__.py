"""The report: one :class:`~dashboard.report.parts.ReportData`, told on a web page and on paper."""

from dashboard.report.page import html_report
from dashboard.report.paper import pdf_report

__all__ = ["html_report", "pdf_report"]
