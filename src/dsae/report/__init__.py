"""Reports: one HTML file about a model, rendered from plain data."""

from dsae.report._collect import collect as collect
from dsae.report._render import render as render
from dsae.report._write import write_report as write_report
