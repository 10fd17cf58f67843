/* Numbers as text, and what every page needs: data from the page, elements, downloads. */
var dsae = { html: htmPreact.html, h: htmPreact.h };
(function (dsae) {
  "use strict";
  var DASH = "\u2013";

  // Three significant digits with thousands separators; the same as pages.number in Python.
  function number(value) {
    if (value === null || value === undefined || !isFinite(value)) return DASH;
    if (value !== 0 && Math.abs(value) < 1e-4) {
      var parts = value.toExponential(1).split("e");
      var power = parseInt(parts[1], 10);
      return parts[0] + "e" + (power < 0 ? "-" : "+") + (Math.abs(power) < 10 ? "0" : "") + Math.abs(power);
    }
    if (Number.isInteger(value) || Math.abs(value) >= 1000) {
      return String(Math.round(Math.abs(value))).replace(/\B(?=(\d{3})+$)/g, ",").replace(/^/, value < 0 ? "-" : "");
    }
    return String(Number(value.toPrecision(3)));
  }

  function percent(share) {
    return share === null || share === undefined || !isFinite(share) ? DASH : number(100 * share) + " %";
  }

  function size(bytes) {
    if (bytes === null || bytes === undefined) return DASH;
    var units = [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]];
    for (var i = 0; i < units.length; i++) {
      if (bytes >= units[i][1]) return Number((bytes / units[i][1]).toPrecision(3)) + " " + units[i][0];
    }
    return Math.round(bytes) + " B";
  }

  function factor(ratio) {
    return ratio && isFinite(ratio) ? number(Math.max(ratio, 1 / ratio)) + " \u00d7" : DASH;
  }

  // "1 row", "2 rows"; count(0, ...) says "no rows".
  function count(n, one, many) {
    return (n === 0 ? "no" : number(n)) + " " + (n === 1 ? one : many || one + "s");
  }

  // A field of a CSV file: text that a spreadsheet would run as a formula is quoted by an apostrophe.
  function field(value) {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return isFinite(value) ? String(value) : "";
    var text = String(value);
    if (/^[=+\-@\t\r]/.test(text)) text = "'" + text;
    return /[",\n\r]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
  }

  function csv(columns, rows) {
    return [columns].concat(rows).map(function (row) { return row.map(field).join(","); }).join("\n") + "\n";
  }

  function download(name, text, type) {
    var link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: type || "text/csv" }));
    link.download = name;
    link.click();
    setTimeout(function () { URL.revokeObjectURL(link.href); }, 1000);
  }

  // A colour of the style sheet as the browser resolves it, for canvases.
  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  }

  function mount(view, element) {
    htmPreact.render(view, element);
  }

  var inside = document.getElementById("data");
  dsae.data = inside ? JSON.parse(inside.textContent) : null;
  dsae.DASH = DASH;
  dsae.number = number;
  dsae.percent = percent;
  dsae.size = size;
  dsae.factor = factor;
  dsae.count = count;
  dsae.csv = csv;
  dsae.download = download;
  dsae.color = color;
  dsae.mount = mount;
})(dsae);
