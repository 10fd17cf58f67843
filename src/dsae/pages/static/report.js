/* A report: draws the charts that stand in its text as numbers. */
(function (dsae) {
  "use strict";
  document.querySelectorAll("[data-chart]").forEach(function (element) {
    var given = JSON.parse(element.dataset.given);
    if (given.form) given.form = dsae[given.form];
    dsae.mount(dsae.h(dsae[element.dataset.chart], given), element);
  });
})(dsae);
