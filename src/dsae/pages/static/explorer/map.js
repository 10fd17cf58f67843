/* Latents or stored rows in the plane: near ones are alike. */
(function (dsae) {
  "use strict";
  var html = dsae.html;
  var LEGEND = 12;

  function split(pairs) {
    var n = pairs.length / 2, x = new Float32Array(n), y = new Float32Array(n);
    for (var i = 0; i < n; i++) { x[i] = pairs[2 * i]; y[i] = 65535 - pairs[2 * i + 1]; }
    return { x: x, y: y };
  }

  var places = { of: null };
  function placed(which) {
    var map = dsae.get("map");
    if (!map || !map[which]) return null;
    if (places.of !== map[which]) places = { of: map[which], at: split(map[which]) };
    return places.at;
  }

  // 64 colours are as many as one tells apart; the picture parses each only once.
  function ramp(values, log) {
    var low = Infinity, high = -Infinity, of = log ? Math.log10 : Number;
    for (var i = 0; i < values.length; i++) {
      var v = of(values[i]);
      if (isFinite(v)) { if (v < low) low = v; if (v > high) high = v; }
    }
    return {
      low: low, high: high,
      color: function (i) {
        var v = of(values[i]);
        return isFinite(v) ? dsae.spectrum(Math.round(63 * (high > low ? (v - low) / (high - low) : 1)) / 63) : "var(--rule)";
      }
    };
  }

  var scanned = {};
  // A latent's value in every stored row, from all shards of rows.
  function valuesOf(latent) {
    if (scanned[latent]) return scanned[latent];
    var made = scanned[latent] = { values: new Float32Array(dsae.index.n_stored).fill(NaN), share: 0 };
    dsae.scan(function (shard, i, position) {
      for (var p = shard.code.ptr[i]; p < shard.code.ptr[i + 1]; p++) if (shard.code.latent[p] === latent) made.values[position] = shard.code.value[p];
    }, function (share) { made.share = share; dsae.redraw(); });
    return made;
  }

  function Ramp(props) {
    var steps = [], form = props.percent ? dsae.percent : dsae.number;
    for (var k = 0; k < 24; k++) steps.push(html`<i style=${{ background: dsae.spectrum(k / 23), flex: 1 }}></i>`);
    function value(v) { return form(props.log ? Math.pow(10, v) : v); }
    return html`<div data-part="ramp" style=${{ display: "flex", gap: "8px", alignItems: "center", fontSize: "12.5px", maxWidth: "340px" }}><span>${value(props.low)}</span><span style=${{ display: "flex", flex: 1, height: "9px" }}>${steps}</span><span>${value(props.high)}</span></div>`;
  }

  function Labels(props) {
    var labels = dsae.index.labels, order = labels.names.map(function (_, l) { return l; });
    return html`<div class="legend dots">${order.slice(0, props.all ? order.length : 2 * LEGEND).map(function (l) {
      return html`<span><i style=${{ background: dsae.hue(l) }}></i>${labels.names[l]}</span>`;
    })}${!props.all && order.length > 2 * LEGEND ? html`<span class="quiet">and ${order.length - 2 * LEGEND} more</span>` : null}</div>`;
  }

  function Latents(props) {
    var at = placed("latents"), c = dsae.columns, by = props.by, index = dsae.index, list = dsae.list(), inside = new Uint8Array(index.n_latents);
    if (!at) return html`<p class="quiet">loading</p>`;
    list.forEach(function (i) { if (c.n_on[i]) inside[i] = 1; });
    var values = { rate: rates(), energy: c.energy, lift: c.lift, cosine: c.cosine }[by], scale = values ? ramp(values, by === "rate" || by === "energy" || by === "lift") : null;
    var color = by === "label" ? function (i) { return c.lift[i] > 1 && c.label[i] < index.labels.names.length ? dsae.hue(c.label[i]) : "var(--rule)"; } : scale.color;
    return html`<div>${by === "label" ? html`<${Labels}/>` : html`<${Ramp} low=${scale.low} high=${scale.high} log=${by !== "cosine"} percent=${by === "rate" || by === "energy"}/>`}
      <${dsae.Scatter} bare=${true} zoom=${true} x=${at.x} y=${at.y} height=${height()} color=${color} shown=${function (i) { return inside[i]; }}
        name=${dsae.name} here=${dsae.state.params.here === undefined ? null : Number(dsae.state.params.here)} onPick=${function (i) { dsae.go(dsae.toLatent(i)); }} title="map of latents"/>
      <p class="note">${dsae.count(list.length, "latent")} of the list${list.length < index.n_latents ? " as searched and filtered" : ""}; those that are never on are left out. ${(dsae.get("map") || {}).method || ""}</p></div>`;
  }

  var rate = null;
  function rates() {
    if (!rate) rate = Float32Array.from(dsae.columns.n_on, function (v) { return v / dsae.index.n_rows; });
    return rate;
  }

  function height() { return Math.max(Math.min(window.innerHeight - 330, 760), 340); }

  function Rows(props) {
    var at = placed("rows"), stored = dsae.get("stored"), by = props.by, index = dsae.index, latent = Number(dsae.state.params.latent || 0);
    if (!at || !stored) return html`<p class="quiet">loading</p>`;
    var scan = by === "latent" ? valuesOf(latent) : null, values = { error: stored.error, on: stored.n_on, latent: scan && scan.values }[by], scale = values ? ramp(values, by === "error") : null;
    var color = by === "label" && stored.label ? function (p) { return stored.label[p] < index.labels.names.length ? dsae.hue(stored.label[p]) : "var(--rule)"; } : scale ? scale.color : "var(--c1)";
    function name(p) {
      var label = stored.label ? dsae.label(stored.label[p]) : null;
      return "row " + stored.row[p] + (label === null ? "" : " \u00b7 " + label) + (scan && scan.values[p] === scan.values[p] ? " \u00b7 " + dsae.number(scan.values[p]) : "");
    }
    return html`<div>${by === "label" ? html`<${Labels}/>` : scale && isFinite(scale.low) ? html`<${Ramp} low=${scale.low} high=${scale.high} log=${by === "error"}/>` : null}
      ${scan && scan.share < 1 ? html`<p class="quiet">loading ${Math.round(100 * scan.share)} %</p>` : null}
      <${dsae.Scatter} bare=${true} zoom=${true} x=${at.x} y=${at.y} height=${height()} color=${color} name=${name}
        onPick=${function (p) { dsae.go(dsae.toRow(stored.row[p])); }} title="map of rows"/>
      <p class="note">${dsae.count(index.n_stored, "row")} stored${index.n_stored < index.n_rows ? " of " + dsae.number(index.n_rows) : ""}; grey ones have no value. ${(dsae.get("map") || {}).method || ""}</p></div>`;
  }

  function table(which) {
    var at = placed(which), stored = dsae.get("stored"), rows = [];
    for (var i = 0; at && i < at.x.length; i++) rows.push([which === "rows" ? stored.row[i] : i, at.x[i], 65535 - at.y[i]]);
    return { columns: [which === "rows" ? "row" : "latent", "x", "y"], rows: rows };
  }

  // Of the places, and of what colours them.
  function calls(which, by) {
    var said = dsae.said(), index = dsae.index, codes = said.model + ".encode(" + said.all + ")", of = {
      error: dsae.errorsLine(), on: "(abs(" + codes + ") > " + index.threshold + ").sum(axis=1)", latent: codes + "[:, " + Number(dsae.state.params.latent || 0) + "]"
    };
    return index.has_rows ? [dsae.shardLine("map"), which === "latents" ? dsae.described() : of[by]] : null;
  }

  function Plane() {
    var params = dsae.state.params, index = dsae.index, which = params.of || (index.map.latents ? "latents" : "rows");
    if (!index.map.latents && !index.map.rows) return html`<main><div class="title"><h1>Map</h1></div><p class="lead">This folder was written without a map.</p></main>`;
    var stored = which === "rows" ? dsae.get("stored") || {} : {};
    var choices = which === "latents" ? [["rate", "rate"], ["energy", "energy"], index.labels ? ["label", "label"] : null, index.labels ? ["lift", "lift"] : null, ["cosine", "cosine"]]
      : [stored.label && index.labels ? ["label", "label"] : null, stored.error ? ["error", "error"] : null, stored.n_on ? ["on", "latents on"] : null, ["latent", "value of a latent"]];
    choices = choices.filter(Boolean);
    var by = choices.some(function (c) { return c[0] === params.by; }) ? params.by : which === "latents" && index.labels ? "label" : choices[0][0];
    return html`<main><div class="title"><h1>Map</h1><span class="chips">${["latents", "rows"].filter(function (w) { return index.map[w]; }).map(function (w) {
        return html`<button type="button" class="button" aria-pressed=${String(which === w)} onClick=${function () { dsae.set({ of: w, by: null }); }}>${w}</button>`;
      })}</span><label class="small">colour <select aria-label="colour" value=${by} onChange=${function (e) { dsae.set({ by: e.target.value }); }}>${choices.map(function (c) { return html`<option value=${c[0]}>${c[1]}</option>`; })}</select></label>
      ${by === "latent" ? html`<label class="small">latent <input type="number" min="0" max=${index.n_latents - 1} value=${params.latent || 0} onChange=${function (e) { dsae.set({ latent: e.target.value }); }}/></label>` : null}
      <span class="quiet small">wheel to zoom, drag to move, click to open</span></div>
      <section>${which === "latents" ? html`<${Latents} by=${by} key="latents"/>` : html`<${Rows} by=${by} key="rows"/>`}</section>
      <${dsae.Foot} python=${calls(which, by)} shard="map" csv=${function () { return table(which); }} file=${"map-" + which}/></main>`;
  }

  dsae.Map = Plane;
})(dsae);
