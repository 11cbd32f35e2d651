"""The report: one :class:`~dashboard.report.parts.ReportData`, told on a web page and on paper."""

from dashboard.report.content import report_data
from dashboard.report.page import html_report
from dashboard.report.paper import pdf_report
from dashboard.report.parts import ReportData

__all__ = ["ReportData", "html_report", "pdf_report", "report_data"]
