/* Two rows or two groups of rows, by the latents in which they differ most. */
(function (dsae) {
  "use strict";
  var html = dsae.html;
  var SHOWN = 40;
  var scans = {};  // groups that need all stored rows, by their text

  // "row:17", "label:3", "latent:7" (rows in which it is on), "text:word", "rest" (all rows)
  function kindOf(text) {
    var at = (text || "").indexOf(":");
    return at < 0 ? [text || "rest", ""] : [text.slice(0, at), text.slice(at + 1)];
  }

  // {name, n, mean, rate} over latents; undefined while on its way, null if there is no such group.
  function group(text) {
    var kind = kindOf(text), index = dsae.index;
    if (kind[0] === "row") return ofRow(kind[1]);
    if (kind[0] === "label") return ofLabel(Number(kind[1]));
    if (kind[0] === "latent" || kind[0] === "text") return ofScan(text, kind);
    return { name: "all rows", n: index.n_rows, mean: function (i) { var c = dsae.columns; return c.overall ? c.overall[i] : c.n_on[i] ? c.mean[i] * c.n_on[i] / index.n_rows : 0; }, rate: function (i) { return dsae.columns.n_on[i] / index.n_rows; } };
  }

  function fires(value) { return Math.abs(value) > dsae.index.threshold; }

  function ofRow(text) {
    var number = dsae.rowOf(text);
    if (number === undefined || !dsae.get("stored")) return undefined;
    var position = dsae.find(number);
    if (position < 0) return null;
    var row = dsae.row(position), values = new Map();
    if (!row) return undefined;
    for (var k = 0; k < row.code.n; k++) values.set(row.code.latent[k], row.code.value[k]);
    return { name: dsae.rowName(row), n: 1, single: true, row: row, of: values, mean: function (i) { return values.get(i) || 0; }, rate: function (i) { return fires(values.get(i) || 0) ? 1 : 0; } };
  }

  function ofLabel(l) {
    var labels = dsae.index.labels;
    if (!labels || !(l < labels.names.length)) return null;
    var sums = dsae.get("labels/" + l), n = labels.counts[l];
    return sums && { name: labels.names[l], n: n, mean: function (i) { return n ? sums.sum[i] / n : 0; }, rate: function (i) { return n ? sums.n[i] / n : 0; } };
  }

  function ofScan(text, kind) {
    var known = scans[text], index = dsae.index;
    if (!known) {
      known = scans[text] = { done: false, share: 0, n: 0, sum: new Float64Array(index.n_latents), on: new Uint32Array(index.n_latents) };
      var latent = Number(kind[1]), needle = kind[1].toLowerCase();
      dsae.scan(function (shard, i) {
        var list = shard.code, inside = false, p;
        if (kind[0] === "text") inside = !!(shard.text && shard.text[i] && shard.text[i].toLowerCase().indexOf(needle) >= 0);
        else for (p = list.ptr[i]; p < list.ptr[i + 1]; p++) if (list.latent[p] === latent && fires(list.value[p])) inside = true;
        if (!inside) return;
        known.n += 1;
        for (p = list.ptr[i]; p < list.ptr[i + 1]; p++) { known.sum[list.latent[p]] += list.value[p]; known.on[list.latent[p]] += fires(list.value[p]) ? 1 : 0; }
      }, function (share) { known.share = share; dsae.redraw(); }).then(function () { known.done = true; dsae.redraw(); }, function (error) { known.wrong = error.message; dsae.redraw(); });
    }
    if (!known.done) return undefined;
    var name = kind[0] === "text" ? "stored rows with \u201c" + kind[1] + "\u201d" : "stored rows with latent " + kind[1] + " on";
    return { name: name, n: known.n, stored: true, mean: function (i) { return known.n ? known.sum[i] / known.n : 0; }, rate: function (i) { return known.n ? known.on[i] / known.n : 0; } };
  }

  var made = { key: null };
  // Latents by |difference of the means| times the length of the atom.
  function differences(a, b, key) {
    if (made.key === key) return made.list;
    var n = dsae.index.n_latents, norm = dsae.columns.norm, list = [];
    for (var i = 0; i < n; i++) {
      var va = a.mean(i), vb = b.mean(i);
      if (va !== vb) list.push({ i: i, a: va, b: vb, difference: va - vb, weight: Math.abs(va - vb) * (norm ? norm[i] : 1), rateA: a.rate(i), rateB: b.rate(i) });
    }
    list.sort(function (x, y) { return y.weight - x.weight || x.i - y.i; });
    made = { key: key, list: list };
    return list;
  }

  /* Bars of both sides about one axis. */
  function Butterfly(props) {
    var top = props.list.reduce(function (most, d) { return Math.max(most, Math.abs(d.a), Math.abs(d.b)); }, 0) || 1, single = props.single;
    function bar(value, right) {
      var width = Math.abs(value) / top * 100;
      return html`<span class="track" style=${{ display: "block" }}><i style=${{ left: right ? "0" : (100 - width).toFixed(1) + "%", width: width.toFixed(1) + "%", display: value ? null : "none", background: value < 0 ? "var(--c7)" : right ? "var(--plus)" : "var(--minus)" }}></i></span>`;
    }
    return html`<div class="scroll"><table class="tight butterfly"><thead><tr><th class="left">latent</th><th></th><th>${props.names[0]}</th><th class="left">${props.names[1]}</th><th class="left"></th><th>difference</th>${single ? null : html`<th class="far">on</th>`}</tr></thead>
      <tbody>${props.list.map(function (d) {
        return html`<tr data-latent=${d.i}><td class="wrap who"><${dsae.Name} i=${d.i}/></td><td>${dsae.number(d.a)}</td><td style=${{ width: "21%" }}>${bar(d.a, false)}</td><td style=${{ width: "21%" }}>${bar(d.b, true)}</td>
          <td class="left">${dsae.number(d.b)}</td><td><b data-difference="">${dsae.number(d.difference)}</b></td>${single ? null : html`<td class="quiet far">${dsae.percent(d.rateA)} / ${dsae.percent(d.rateB)}</td>`}</tr>`;
      })}</tbody></table></div>`;
  }

  function Chooser(props) {
    var kind = kindOf(props.value), labels = dsae.index.labels, key = props.name;
    function put(text) { var change = {}; change[key] = text; change.more = null; dsae.set(change); }
    function first(k) { return { row: "row:" + (dsae.get("stored") ? dsae.get("stored").row[0] : 0), label: "label:0", latent: "latent:0", text: "text:", rest: "rest" }[k]; }
    return html`<span class="chips"><b class=${key === "a" ? "c1" : "c2"}>${key.toUpperCase()}</b>
      <select aria-label=${key + ": what"} value=${kind[0]} onChange=${function (e) { put(first(e.target.value)); }}>
        ${labels ? html`<option value="label">rows of label</option>` : null}<option value="row">row</option><option value="latent">rows with latent</option>
        ${dsae.index.has.texts ? html`<option value="text">rows with text</option>` : null}<option value="rest">all rows</option></select>
      ${kind[0] === "label" ? html`<select aria-label=${key + ": label"} value=${kind[1]} onChange=${function (e) { put("label:" + e.target.value); }}>${labels.names.map(function (name, l) { return html`<option value=${l}>${name}</option>`; })}</select>`
        : kind[0] === "rest" ? null : html`<input type="text" size="8" aria-label=${key + ": which"} value=${kind[1]} onChange=${function (e) { put(kind[0] + ":" + e.target.value.trim()); }}/>`}</span>`;
  }

  function start() {
    var index = dsae.index, stored = dsae.get("stored");
    if (index.labels) return ["label:0", index.labels.names.length > 1 ? "label:1" : "rest"];
    return stored ? ["row:" + stored.row[0], "row:" + stored.row[Math.min(1, stored.row.length - 1)]] : ["rest", "rest"];
  }

  function call(a, b) {
    var said = dsae.said();
    function rows(text) {
      var kind = kindOf(text);
      if (kind[0] === "row") return said.some("[" + dsae.rowOf(kind[1]) + "]");
      if (kind[0] === "label") return said.some("[str(label) == " + JSON.stringify(dsae.label(Number(kind[1])) || "") + " for label in " + said.labels + "]");
      if (kind[0] === "latent") return said.some("abs(" + said.model + ".encode(" + said.all + ")[:, " + kind[1] + "]) > " + dsae.index.threshold);
      if (kind[0] === "text") return said.some("[" + JSON.stringify(kind[1].toLowerCase()) + " in (text or '').lower() for text in " + said.texts + "]");
      return said.rows;
    }
    // Lengths of a deep decoder's atoms depend on the rows around which they are taken.
    return "dsae.interpret.compare(" + [said.model, rows(a), rows(b)].join(", ") + (dsae.index.one_layer ? "" : ", around=" + said.rows) + ")";
  }

  function Result(props) {
    var a = group(props.a), b = group(props.b), params = dsae.state.params;
    if (a === null || b === null) return html`<section><p class="quiet">There is no such ${a === null ? "A" : "B"} in this folder.</p></section>`;
    if (!a || !b) {
      var share = Math.max.apply(null, [props.a, props.b].map(function (t) { return scans[t] && !scans[t].done ? scans[t].share : 0; }));
      return html`<section><p class="quiet">loading${share ? " " + Math.round(100 * share) + " % of the stored rows" : ""}</p></section>`;
    }
    var list = differences(a, b, props.a + "|" + props.b), most = Number(params.more || SHOWN), single = a.single && b.single;
    return html`<section data-part="difference"><h2>${list.length ? dsae.count(list.length, "latent") + " differ" : "No latent differs"} <span class="side">by ${single ? "difference" : "mean difference"}${dsae.columns.norm ? " \u00d7 length of the atom" : ""}</span></h2>
      <p class="note" style=${{ margin: "0 0 10px" }}>${single ? "" : dsae.count(a.n, "row") + " against " + dsae.count(b.n, "row") + ". "}${(a.stored || b.stored) && dsae.index.n_stored < dsae.index.n_rows ? "Groups made by a filter are counted over the stored rows only." : ""}</p>
      <${Butterfly} list=${list.slice(0, most)} names=${[a.name, b.name]} single=${single}/>
      ${list.length > most ? html`<button type="button" class="button gap" onClick=${function () { dsae.set({ more: String(most + 200) }); }}>more</button>` : null}</section>
    <${dsae.Foot} python=${call(props.a, props.b)} file="compare" shard="columns" csv=${function () {
      return { columns: ["latent", "words", "mean_a", "mean_b", "difference", "difference_x_norm", "rate_a", "rate_b"], rows: list.map(function (d) { return [d.i, dsae.words(d.i), d.a, d.b, d.difference, d.weight, d.rateA, d.rateB]; }) };
    }}/>`;
  }

  function Compare() {
    var params = dsae.state.params, given = start(), a = params.a || given[0], b = params.b || given[1];
    return html`<main><div class="title"><h1>Compare</h1></div>
      <section><div style=${{ display: "flex", flexWrap: "wrap", gap: "10px 36px", alignItems: "center" }}><${Chooser} name="a" value=${a}/><${Chooser} name="b" value=${b}/>
        <button type="button" class="button" onClick=${function () { dsae.set({ a: b, b: a }); }}>swap</button></div></section>
      <${Rows} a=${a} b=${b}/><${Result} a=${a} b=${b}/></main>`;
  }

  /* The two rows themselves, where rows are compared. */
  function Rows(props) {
    var both = [props.a, props.b].map(kindOf), index = dsae.index;
    if (both[0][0] !== "row" || both[1][0] !== "row" || !index.has_rows) return null;
    return html`<div class="columns halves">${both.map(function (kind) {
      var position = dsae.find(dsae.rowOf(kind[1]));
      return position < 0 ? html`<div></div>` : html`<div style=${{ marginBottom: "14px", maxWidth: index.has.texts ? "none" : "220px" }}><${dsae.Example} position=${position} value=${null}/></div>`;
    })}</div>`;
  }

  dsae.Compare = Compare;
})(dsae);
