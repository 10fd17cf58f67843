/* Health: is the code well used; About: what was seen, sampled and checked. */
(function (dsae) {
  "use strict";
  var html = dsae.html;

  function Hist(props) {
    var of = props.of;
    if (!of || !of.counts.length) return null;
    if (of.counts.length === 1) return html`<figure data-hist=${props.name}><h3>${props.title}</h3><p class="quiet">${dsae.number((of.edges[0] + of.edges[1]) / 2)}, without exception.</p></figure>`;
    return html`<figure data-hist=${props.name}><h3>${props.title}</h3><${dsae.Histogram} counts=${of.counts} edges=${of.edges} log=${props.log} logx=${props.logx} xLabel=${props.xLabel} form=${props.form} title=${props.title} size=${window.innerWidth < 640 ? [340, 170] : [590, 190]}/>
      ${props.note ? html`<figcaption>${props.note}</figcaption>` : null}</figure>`;
  }

  function tile(title, value, note, href, key) {
    return html`<div class="tile" data-tile=${key}><i>${title}</i><b>${href ? html`<a href=${href}>${value}</a>` : value}</b><span>${note}</span></div>`;
  }

  function measured() {
    var said = dsae.said(), index = dsae.index, threshold = index.threshold ? ", " + index.threshold : "";
    var given = said.model + ", " + said.rows, alike = "dsae.interpret.neighbours(" + (index.one_layer ? said.model : given) + ").cosine";
    if (index.modalities.length === 1) return ["dsae.metrics.evaluate(" + given + ")", dsae.errorsLine(), alike];
    return ["dsae.metrics.activation_rates(" + said.model + ".encode(" + said.rows + ")" + threshold + ")", said.model + ".fvu_table(" + said.rows + ")", dsae.errorsLine(), alike];
  }

  function Health() {
    var h = dsae.get("health"), index = dsae.index;
    if (!h) return html`<main><p class="loading">loading</p></main>`;
    function listed(filter) { return dsae.address("latents", null, { filter: filter }); }
    var of = "of " + dsae.number(index.n_latents) + " latents", q = h.error_quantiles || {};
    return html`<main><div class="title"><h1>Health</h1></div>
      <div class="tiles small-tiles">${tile("Never on", dsae.number(h.dead), of, listed("dead"), "dead")}${tile("Rare", dsae.number(h.rare), "on in less than 0.01 % of rows", listed("rare"), "rare")}
        ${tile("Frequent", dsae.number(h.frequent), "on in more than 10 % of rows", listed("frequent"), "frequent")}${tile("Duplicates", dsae.number(h.duplicates), "cosine above 0.9", listed("duplicates"), "duplicates")}
        ${tile("Constant", dsae.number(h.constant), "on in every row", listed("constant"), "constant")}
        ${tile("Empty atoms", dsae.number(h.empty), "write nothing", listed("empty"), "empty")}${tile("On per row", dsae.number(h.mean_l0), "latents, on average", null, "l0")}
        ${h.fvu === undefined || h.fvu === null ? null : tile("Unexplained", dsae.percent(h.fvu), "of the variance", null, "fvu")}</div>
      <section><h2>Use of the code</h2><div class="pair">
        <${Hist} name="rates" of=${{ counts: h.rates.counts, edges: h.rates.edges.map(function (v) { return Math.pow(10, v); }) }} logx=${true} title="Rate of each latent" xLabel="share of rows in which it is on" form=${dsae.percent} note="On a logarithmic scale, without those that are never on."/>
        <${Hist} name="l0" of=${h.l0} title="Latents on per row" xLabel="latents"/></div>
        ${(h.pairs || []).length ? html`<div data-part="pairs"><h3 class="gap">Atoms most alike</h3><${dsae.Table} tight=${true} rows=${h.pairs.map(function (p) { return { a: p[0], b: p[1], cosine: p[2] }; })}
          columns=${[{ key: "a", title: "latent", left: true, wrap: true, form: function (i) { return html`<${dsae.Name} i=${i}/>`; } }, { key: "b", title: "and", left: true, wrap: true, form: function (i) { return html`<${dsae.Name} i=${i}/>`; } }, { key: "cosine", title: "cosine" }]}/></div>` : null}</section>
      ${h.error ? html`<section><h2>Error</h2><div class="pair"><div><${Hist} name="error" of=${h.error} title=${dsae.meanError(true) + " of each row"} xLabel=${dsae.meanError()} note=${"Half of the rows lie below " + dsae.number(q["0.5"]) + ", nine in ten below " + dsae.number(q["0.9"]) + "; the largest is " + dsae.number(q["1"]) + "."}/>
          <h3 class="gap">Worst rows</h3><${dsae.Bars} items=${(h.worst || []).map(function (w) { return { name: "row " + w[0], value: w[1], href: dsae.toRow(w[0]) }; })}/></div>
        <div><h3>Features, by their share of the ${index.error}</h3><${dsae.Bars} form=${dsae.percent} items=${(h.features || []).map(function (f) { return { name: dsae.feature(f[0]), value: f[2], title: dsae.feature(f[0]) + (f[3] === null ? "" : ", " + dsae.percent(f[3]) + " of its variance unexplained") }; })}/></div></div>
        ${h.by_label ? html`<div data-part="by-label"><h3 class="gap">By label</h3><${dsae.Table} tight=${true} rows=${h.by_label.map(function (r) { return { label: dsae.label(r[0]) || "(none)", rows: r[1], error: r[2] }; })} columns=${[{ key: "label", title: "label", left: true }, { key: "rows", title: "rows" }, { key: "error", title: dsae.meanError() }]}/></div>` : null}</section>` : null}
      ${h.degrees || h.layers ? html`<section><h2>Weights</h2>${h.degrees ? html`<div class="pair"><${Hist} name="encoder" of=${h.degrees.encoder} title="Weights that each latent reads by" xLabel="weights left in the encoder"/><${Hist} name="decoder" of=${h.degrees.decoder} title="Weights that each latent writes by" xLabel="weights left in the decoder"/></div>` : null}
        ${h.layers ? html`<div class="gap" data-part="layers"><${dsae.Table} tight=${true} rows=${h.layers} columns=${[{ key: "name", title: "layer", left: true }, { key: "n_in", title: "in" }, { key: "n_out", title: "out" }, { key: "nnz", title: "weights left" }, { key: "density", title: "density", form: dsae.percent }, { key: "activation", title: "activation" }]}/></div>` : null}</section>` : null}
      <${dsae.Foot} python=${measured()} file="health" shard="health" csv=${function () {
        var rows = [];
        ["dead", "rare", "frequent", "constant", "empty", "duplicates"].forEach(function (key) { rows.push([key, h[key], null]); });
        rows.push(["mean_l0", h.mean_l0, null], ["fvu", h.fvu, null]);
        ["rates", "l0", "error"].forEach(function (key) { if (h[key]) h[key].counts.forEach(function (n, b) { rows.push([key + " histogram from", h[key].edges[b], n]); }); });
        return { columns: ["what", "value", "count"], rows: rows };
      }}/></main>`;
  }

  function Pairs(props) {
    if (!props.of || !props.of.length) return null;
    return html`<section><h2>${props.title}</h2><div class="scroll"><table class="tight"><tbody>${props.of.map(function (p) {
      return html`<tr><td class="quiet" style=${{ width: "38%" }}>${p[0]}</td><td class="left wrap">${typeof p[1] === "number" ? dsae.number(p[1]) : String(p[1])}</td></tr>`;
    })}</tbody></table></div></section>`;
  }

  function About() {
    var a = dsae.get("about");
    if (!a) return html`<main><p class="loading">loading</p></main>`;
    return html`<main><div class="title"><h1>About</h1></div><div class="columns halves"><div><${Pairs} title="Model" of=${a.model}/><${Pairs} title="Training" of=${a.training}/></div>
      <div><${Pairs} title="Data" of=${a.data}/>
        <section><h2>What was sampled</h2>${(a.sampled || []).length ? html`<ul style=${{ margin: 0, paddingLeft: "18px" }}>${a.sampled.map(function (s) { return html`<li>${s}</li>`; })}</ul>` : html`<p class="quiet">Nothing: every row and latent is counted and stored.</p>`}</section>
        <section data-part="checks"><h2>Checks</h2>${a.checks.length ? null : html`<p class="quiet">Nothing that this page says of the model is a sum that could be checked.</p>`}<${dsae.Table} tight=${true} rows=${a.checks || []} columns=${[{ key: "name", title: "check", left: true, wrap: true }, { key: "value", title: "measured" }, { key: "limit", title: "at most" }, { key: "passed", title: "", form: function (ok) { return html`<span class=${ok ? "ok" : "bad"}>${ok ? "passed" : "failed"}</span>`; } }]}/></section>
        <${Pairs} title="Versions" of=${a.versions}/>
        <section><h2>Keys</h2><p style=${{ margin: 0 }}><kbd>/</kbd> search \u00b7 <kbd>j</kbd> <kbd>k</kbd> next and previous latent of the list, or row \u00b7 <kbd>Enter</kbd> opens what was found \u00b7 <kbd>Esc</kbd> leaves the search</p></section></div></div>
      <${dsae.Foot} shard="about" file="about" csv=${function () {
        var rows = [];
        ["model", "training", "data", "versions"].forEach(function (key) { (a[key] || []).forEach(function (p) { rows.push([key, p[0], p[1]]); }); });
        (a.sampled || []).forEach(function (s) { rows.push(["sampled", s, null]); });
        (a.checks || []).forEach(function (c) { rows.push(["check", c.name, c.value]); });
        return { columns: ["part", "name", "value"], rows: rows };
      }}/></main>`;
  }

  dsae.Health = Health;
  dsae.About = About;
})(dsae);
