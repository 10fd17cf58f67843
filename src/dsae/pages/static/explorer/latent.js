/* One latent: what it writes and reads, rows in which it is on, its values, labels and neighbours, and what if. */
(function (dsae) {
  "use strict";
  var html = dsae.html;
  var SHOWN = 12;  // bars of a list
  var FIFTHS = ["lowest fifth", "second fifth", "middle fifth", "fourth fifth", "highest fifth"];

  function lambda() {
    var given = Number(dsae.state.params.lambda);
    return dsae.state.params.lambda === undefined || !(given >= 0 && given <= 1) ? 0.5 : given;
  }

  // Features of a list by relevance at the slider's lambda.
  function ordered(list, at, reads) {
    var made = [];
    for (var k = 0; k < list.n; k++) made.push({ feature: list.feature[k], value: list.value[k], weight: dsae.relevance(list.value[k], list.feature[k], at, reads) });
    return made.sort(function (a, b) { return b.weight - a.weight; });
  }

  function featureBars(items) {
    return html`<${dsae.Bars} signed=${true} items=${items.map(function (item) {
      var name = dsae.feature(item.feature);
      return { name: name, value: item.value, title: name, href: dsae.address("latents", null, { q: name }) };
    })}/>`;
  }

  function Pixels(props) {
    return dsae.index.modalities.filter(function (m) { return props.from && props.from[m.name]; }).map(function (m) {
      var scale = (props.scale[m.name] || 1) / 127, values = dsae.flat(Float32Array.from(props.from[m.name], function (v) { return v * scale; }), m.shape);
      return html`<div style=${{ maxWidth: "190px", margin: "0 0 10px" }}><${dsae.Picture} values=${values} shape=${m.shape} palette="diverging" title=${props.title}/></div>`;
    });
  }

  function Writes(props) {
    var d = props.d, at = lambda(), index = dsae.index, of = d.n_writes;
    var told = index.exact ? "The atom: what a unit of it adds to the reconstruction."
      : index.one_layer ? "Weights of the decoder, in front of its output's activation." : "How the reconstruction answers to it at the mean code; the decoder has several layers.";
    return html`<section data-part="writes"><h2>Writes <span class="side">${dsae.count(of, "feature")}</span></h2>
      <${Pixels} from=${d.atom} scale=${d.atom_scale} title="atom"/>
      ${featureBars(ordered(d.writes, at).slice(0, SHOWN))}
      <input type="range" min="0" max="1" step="0.05" value=${at} aria-label="distinctive or large" data-lambda=""
        onInput=${function (e) { dsae.set({ lambda: e.target.value }); }}/>
      <h3 class="small" style=${{ fontWeight: 400 }}><span>distinctive</span><span>\u03bb = ${dsae.number(at)}</span><span>large</span></h3>
      <p class="note">${told} Ordered by |D| / base^(1 \u2212 \u03bb), base being ${index.exact || !index.one_layer ? "the variance of the feature" : "1"}.</p></section>`;
  }

  function Reads(props) {
    var d = props.d, index = dsae.index;
    var told = index.exact_reads ? "Weights of the encoder; a row adds weight times value, and the bias " + dsae.number(d.bias) + "."
      : "How it answers to each feature at the mean row; the encoder has several layers.";
    return html`<section data-part="reads"><h2>Reads <span class="side">${dsae.count(d.n_reads, "feature")}</span></h2>
      <${Pixels} from=${d.filter} scale=${d.filter_scale} title="filter"/>
      ${featureBars(ordered(d.reads, lambda(), true).slice(0, SHOWN))}<p class="note">${told} Ordered by |W|\u00b7base^\u03bb${d.reads.n < d.n_reads ? ", of the " + d.reads.n + " listed" : ""}.</p></section>`;
  }

  // Bins are the exponent and two bits of the mantissa of a float32.
  function edge(q) { return Math.pow(2, (q >> 2) - 127) * (1 + (q & 3) / 4); }

  function Values(props) {
    var d = props.d, c = dsae.columns, i = props.i;
    if (!c.n_on[i]) return html`<section><h2>Values</h2><p class="quiet">It is on in none of the rows.</p></section>`;
    function drawn(counts, title) {
      var last = counts.length;
      while (last > 1 && !counts[last - 1]) last -= 1;
      var first = 0;
      while (first < last - 1 && !counts[first]) first += 1;
      var edges = [];
      for (var b = first; b <= last; b++) edges.push(edge(d.bin + b));
      return html`<${dsae.Histogram} counts=${Array.from(counts).slice(first, last)} edges=${edges} logx=${true} log=${true} xLabel=${title} title="values where it is on"/>`;
    }
    var negative = d.negative && dsae.rangeOf(d.negative)[1] > 0 ? d.negative : null;
    var positive = d.hist;
    return html`<section data-part="values"><h2>Values where it is on <span class="side">${dsae.count(c.n_on[i], "row")}</span></h2>
      ${!negative || dsae.rangeOf(positive)[1] > 0 ? drawn(positive, "value") : null}
      ${negative ? drawn(negative, "value below zero, without its sign") : null}
      <p class="note">Both axes are logarithmic.</p></section>`;
  }

  function Labels(props) {
    var d = props.d, labels = dsae.index.labels, n = dsae.index.n_rows, overall = dsae.columns.n_on[props.i] / n;
    if (!labels || !d.labels || !d.labels.n.length) return null;
    var items = [];
    for (var k = 0; k < d.labels.n.length; k++) {
      var l = d.labels.label[k], rate = d.labels.n[k] / labels.counts[l];
      items.push({ name: dsae.label(l) || "(none)", value: rate, note: dsae.percent(rate) + " \u00b7 " + dsae.number(d.labels.lift[k]) + "\u00d7",
        href: dsae.address("compare", null, { a: "label:" + l, b: "rest" }) });
    }
    return html`<section data-part="labels"><h2>Labels <span class="side">rate \u00b7 lift over ${dsae.percent(overall)}</span></h2><${dsae.Bars} items=${items}/></section>`;
  }

  function Neighbours(props) {
    var d = props.d;
    function lines(list, form) {
      var made = [];
      for (var k = 0; k < (list ? list.latent.length : 0); k++) made.push(html`<tr><td class="wrap"><${dsae.Name} i=${list.latent[k]}/></td><td>${form(list, k)}</td></tr>`);
      return made.length ? html`<table class="tight"><tbody>${made}</tbody></table>` : html`<p class="quiet" style=${{ margin: 0 }}>none</p>`;
    }
    function lift(list, k) { return html`${dsae.number(list.lift[k])}\u00d7 <span class="quiet">${dsae.number(list.n[k])}</span>`; }
    return html`<section data-part="neighbours"><h2>Neighbours</h2>
      <h3>Atoms alike <span class="side">cosine</span></h3>${lines(d.cosine, function (list, k) { return dsae.number(list.value[k]); })}
      <h3 class="gap">Fire together <span class="side">lift, rows</span></h3>${lines(d.cofire, lift)}
      <h3 class="gap">Avoid each other <span class="side">lift, rows</span></h3>${lines(d.anti, lift)}</section>`;
  }

  function Examples(props) {
    var d = props.d, groups = [[], [], [], [], [], []], e = d.examples;
    for (var k = 0; k < e.row.length; k++) groups[e.group[k]].push([e.row[k], e.value[k], e.parts && e.parts[k]]);
    var pictures = dsae.index.modalities.some(function (m) { return m.shape; });
    function shown(list) {
      if (!dsae.get("stored")) return html`<p class="quiet">loading</p>`;
      return html`<div class=${pictures ? "rows pictures" : "rows"}>${list.map(function (pair) {
        var position = dsae.find(pair[0]);
        return position < 0 ? html`<div class="example" key=${pair[0]} data-row=${pair[0]}><div class="head"><span>row ${pair[0]}</span><span>${dsae.number(pair[1])}</span></div></div>`
          : html`<${dsae.Example} key=${pair[0]} position=${position} value=${pair[1]} reads=${d.reads} parts=${pair[2]} small=${pictures}/>`;
      })}</div>`;
    }
    var away = Array.from(e.row).some(function (r) { return dsae.get("stored") && dsae.find(r) < 0; });
    if (!e.row.length) return html`<section><h2>Rows</h2><p class="quiet">It is on in none of the rows.</p></section>`;
    return html`<section data-part="rows"><h2>Rows in which it is strongest <span class="side">value</span></h2>${shown(groups[0])}
      ${[5, 4, 3, 2, 1].filter(function (g) { return groups[g].length; }).map(function (g) {
        return html`<h3 class="gap">${FIFTHS[g - 1]} <span class="side">drawn at random from it</span></h3>${shown(groups[g])}`;
      })}${away ? html`<p class="note">Rows without a link were counted, but are not stored in this folder.</p>` : null}</section>`;
  }

  /* The reconstruction of a row if this latent had another value. */
  function WhatIf(props) {
    var i = props.i, d = props.d, params = dsae.state.params, index = dsae.index, examples = Array.from(new Set(d.examples.row));
    if (!index.has_rows || !examples.length) return null;
    var number = params.of === undefined ? examples[0] : Number(params.of), position = dsae.find(number);
    if (position < 0) return null;
    var row = dsae.row(position);
    if (!row) return html`<section><h2>What if</h2><p class="quiet">loading</p></section>`;
    if (!index.exact && !dsae.decodable(row)) return html`<section><h2>What if</h2><p class="note">${index.decoder ? "Not all of this row's code is in the folder" : "The layers of the decoder are not in the folder"}; <code>dsae.interpret.steer</code> computes it.</p></section>`;
    var at = Array.from(row.code.latent).indexOf(i), z = at < 0 ? 0 : row.code.value[at];
    var most = Math.max(Math.abs(dsae.columns.max[i]) || 1, Math.abs(z)) * 1.5, low = index.signed ? -most : 0;
    var v = params.v === undefined ? z : Number(params.v), change = new Map([[i, v]]), made = dsae.decoded(row, change);
    return html`<section data-part="whatif"><h2>What if <span class="side">it was ${dsae.number(z)} in this row</span></h2>
      <label class="small">Row <select value=${number} onChange=${function (e) { dsae.set({ of: e.target.value, v: null }); }}>
        ${(examples.indexOf(number) < 0 ? [number] : []).concat(examples).map(function (r) { return html`<option value=${r}>${r}</option>`; })}</select></label>
      <input type="range" min=${low} max=${most} step=${(most - low) / 200} value=${v} data-whatif="" aria-label="value of this latent" onInput=${function (e) { dsae.set({ v: e.target.value }); }}/>
      <h3 class="small" style=${{ fontWeight: 400 }}><span>${dsae.number(low)}</span><b>if it were ${dsae.number(v)}</b><span>${dsae.number(most)}</span></h3>
      <${Effect} row=${row} made=${made} d=${d} by=${v - z} change=${change}/>
      ${v === z ? null : html`<button type="button" class="button gap" onClick=${function () { dsae.set({ v: null }); }}>back to ${dsae.number(z)}</button>`}</section>`;
  }

  function Effect(props) {
    var made = props.made, d = props.d, by = props.by, row = props.row;
    if (made === undefined) return html`<p class="quiet">loading weights</p>`;
    var features = ordered(d.writes, 1).slice(0, 8).map(function (item) { return item.feature; }), errors = dsae.errors(row, made, props.change);
    var note = html`<p class="note">${errors ? dsae.meanError(true) + " " + dsae.number(errors[0]) + " before, " + dsae.number(errors[1]) + " after." : ""}</p>`;
    if (!made) {
      // The atoms, or the latents of the row, are too many for the folder; a change needs only what stands here.
      return html`<${dsae.Table} tight=${true} columns=${[{ key: "name", title: "feature", left: true, name: true }, { key: "change", title: "change" }]}
        rows=${ordered(d.writes, 1).slice(0, 8).map(function (item) { return { name: dsae.feature(item.feature), change: by * item.value }; })}/>${note}`;
    }
    var pictures = dsae.index.modalities.filter(function (m) { return dsae.pixels(m, made.before); });
    return html`${pictures.map(function (m) {
      var before = dsae.pixels(m, made.before), after = dsae.pixels(m, made.after), range = dsae.levels(m, before);
      var original = dsae.pictureOf(row, m);
      return html`<div class="three">${original && original.x ? html`<figure><${dsae.Pixels} modality=${m} values=${original.x} title="input"/><figcaption>input</figcaption></figure>` : null}
        <figure><${dsae.Picture} values=${before} shape=${m.shape} palette=${dsae.paletteOf(m)} low=${range[0]} high=${range[1]} title="before"/><figcaption>before</figcaption></figure>
        <figure><${dsae.Picture} values=${after} shape=${m.shape} palette=${dsae.paletteOf(m)} low=${range[0]} high=${range[1]} title="after"/><figcaption>after</figcaption></figure></div>`;
    })}
    ${pictures.length ? null : html`<${dsae.Table} tight=${true} columns=${[{ key: "name", title: "feature", left: true, name: true }, { key: "before", title: "before" }, { key: "after", title: "after" }]}
      rows=${features.map(function (j) { return { name: dsae.feature(j), before: dsae.inUnits(j, made.before[j]), after: dsae.inUnits(j, made.after[j]) }; })}/>`}
    ${note}`;
  }

  function Note(props) {
    return html`<section><h2>Your note <span class="side">kept by this browser</span></h2>
      <textarea data-note="" aria-label="note" placeholder="What does it stand for?" value=${dsae.note(props.i)}
        onInput=${function (e) { dsae.note(props.i, e.target.value); }}></textarea></section>`;
  }

  function table(i, d) {
    var rows = [];
    function all(list, kind, write) { for (var k = 0; k < (list ? (list.latent || list.feature || list.row || list.label).length : 0); k++) rows.push([kind].concat(write(list, k))); }
    all(d.writes, "writes", function (l, k) { return [l.feature[k], dsae.feature(l.feature[k]), l.value[k], null]; });
    all(d.reads, "reads", function (l, k) { return [l.feature[k], dsae.feature(l.feature[k]), l.value[k], null]; });
    all(d.examples, "example", function (l, k) { return [l.row[k], l.group[k] ? FIFTHS[l.group[k] - 1] : "strongest", l.value[k], null]; });
    all(d.labels, "label", function (l, k) { return [l.label[k], dsae.label(l.label[k]), l.lift[k], l.n[k]]; });
    all(d.cosine, "cosine", function (l, k) { return [l.latent[k], dsae.words(l.latent[k]), l.value[k], null]; });
    all(d.cofire, "fires together", function (l, k) { return [l.latent[k], dsae.words(l.latent[k]), l.lift[k], l.n[k]]; });
    all(d.anti, "avoids", function (l, k) { return [l.latent[k], dsae.words(l.latent[k]), l.lift[k], l.n[k]]; });
    return { columns: ["what", "number", "name", "value", "rows"], rows: rows };
  }

  // Of the latent, with the weight of the slider, and of another value in a row.
  function calls(i, d) {
    var params = dsae.state.params, said = dsae.said(), weight = params.lambda === undefined ? "" : ", weight=" + lambda();
    var row = params.of === undefined && d ? d.examples.row[0] : params.of, lines = [dsae.described(", latents=[" + i + "]" + weight)];
    if (params.v !== undefined && row !== undefined) lines.push("dsae.interpret.ablate(" + said.model + ", " + said.some("[" + row + "]") + ", [" + i + "], to=" + Number(params.v) + ")");
    return lines;
  }

  function Latent() {
    var i = Number(dsae.state.arg), index = dsae.index, c = dsae.columns;
    if (!(i >= 0 && i < index.n_latents && i === Math.floor(i))) {
      return html`<main><div class="title"><h1>No latent ${String(dsae.state.arg)}</h1></div><p class="lead">The model has latents 0 to ${dsae.number(index.n_latents - 1)}.</p></main>`;
    }
    var d = dsae.latent(i), shown = dsae.list(), at = shown.indexOf(i);
    return html`<main data-latent=${i}><div class="title"><h1>Latent ${i}</h1><span class="words">${dsae.words(i)}</span>
        <span class="steps"><span class="quiet small">${at < 0 ? "" : dsae.number(at + 1) + " of " + dsae.number(shown.length)}</span>
          <a class="button" href=${dsae.toLatent(dsae.step(i, -1))} title="before it in the list (k)">\u2190</a><a class="button" href=${dsae.toLatent(dsae.step(i, 1))} title="next in the list (j)">\u2192</a></span></div>
      <ul class="facts"><li><b data-fact="rate">${dsae.percent(c.n_on[i] / index.n_rows)}</b> <span>of rows (${dsae.number(c.n_on[i])})</span></li>
        <li><b data-fact="energy">${dsae.percent(c.energy[i])}</b> <span>of the energy</span></li><li><b data-fact="mean">${dsae.number(c.mean[i])}</b> <span>mean where on</span></li>
        <li><b data-fact="max">${dsae.number(c.max[i])}</b> <span>largest</span></li>${d ? html`<li><b data-fact="norm">${dsae.number(d.norm)}</b> <span>length of its atom</span></li>` : null}</ul>
      ${!d ? html`<p class="loading">loading</p>` : html`<div class="columns thirds"><div><${Writes} d=${d}/><${Reads} d=${d}/></div>
        <div><${Examples} d=${d}/></div>
        <div><${Values} d=${d} i=${i}/><${Labels} d=${d} i=${i}/><${WhatIf} d=${d} i=${i}/><${Neighbours} d=${d}/><${Note} i=${i}/></div></div>
      <${dsae.Foot} python=${calls(i, d)} shard=${"latents/" + Math.floor(i / index.per.latents)} csv=${function () { return table(i, d); }} file=${"latent-" + i}/>`}</main>`;
  }

  dsae.ordered = ordered;
  dsae.featureBars = featureBars;
  dsae.Latent = Latent;
})(dsae);
